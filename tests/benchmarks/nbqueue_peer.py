"""nbqueue on a cluster of its own, through the public API only."""

from typing import Any

from tests.benchmarks import tasks
from tests.benchmarks.peer import Peer


class Nbqueue(Peer):
    def start(self) -> None:
        # Here, not above: a peer's module pays for its library when it starts.
        import nbqueue as nq

        self.cluster: Any = nq.LocalCluster(self.workers)
        self.client: Any = self.cluster.connect()
        self.control: Any = nq.control
        self.noop: Any = nq.task(tasks.noop)
        self.nap: Any = nq.task(tasks.nap)
        self.total: Any = nq.task(tasks.total)
        self.canvas: Any = nq
        self.nap.map([0.01] * 10 * self.workers).result()

    def map_noops(self, n: int) -> list[int]:
        return list(self.noop.map(range(n)).result())

    def call(self, value: int) -> int:
        return int(self.noop.submit(value).result())

    def ask(self) -> int:
        return len(self.control.stats())

    def chord(self, n: int) -> int:
        header = (self.noop.s(value) for value in range(n))
        return int(self.canvas.chord(header)(self.total.s()).result())

    def joined_map(self, n: int) -> int:
        """Give the sum of what a map of no-ops gave, taken by a worker."""
        return int(self.canvas.run(self.canvas.map(self.noop, range(n)) | self.total.s()).result())

    def sleep_map(self, durations_s: list[float]) -> None:
        self.nap.map(durations_s).result()

    def stop(self) -> None:
        self.client.close()
        self.cluster.close()
