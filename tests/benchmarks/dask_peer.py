"""dask.distributed on this machine: one process a worker, one thread each, no fixed port."""

from typing import Any

from tests.benchmarks.peer import Peer
from tests.benchmarks.tasks import nap, noop


class Dask(Peer):
    def start(self) -> None:
        from distributed import Client, LocalCluster

        self.cluster: Any = LocalCluster(
            n_workers=self.workers,
            threads_per_worker=1,
            dashboard_address=":0",
            local_directory=str(self.folder),
        )
        self.client: Any = Client(self.cluster)

    def map_noops(self, n: int) -> list[int]:
        # pure=False: otherwise a second map of the same arguments is answered from memory.
        return list(self.client.gather(self.client.map(noop, range(n), pure=False)))

    def call(self, value: int) -> int:
        return int(self.client.submit(noop, value, pure=False).result())

    def sleep_map(self, durations_s: list[float]) -> None:
        self.client.gather(self.client.map(nap, durations_s, pure=False))

    def stop(self) -> None:
        self.client.close()
        self.cluster.close()
