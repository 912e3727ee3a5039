"""ipyparallel with a load-balanced view, its profile in a folder of its own."""

import logging
import os
from typing import Any

from tests.benchmarks.peer import Peer
from tests.benchmarks.tasks import nap, noop


class LoadBalanced(Peer):
    chunksize = 1

    def start(self) -> None:
        os.environ["IPYTHONDIR"] = str(self.folder)
        import ipyparallel

        self.cluster: Any = ipyparallel.Cluster(n=self.workers, log_level=logging.ERROR)
        self.client: Any = self.cluster.start_and_connect_sync(activate=False)
        self.view: Any = self.client.load_balanced_view()

    def map_noops(self, n: int) -> list[int]:
        return list(self.view.map_sync(noop, range(n), chunksize=self.chunksize))

    def call(self, value: int) -> int:
        return int(self.view.apply_sync(noop, value))

    def sleep_map(self, durations_s: list[float]) -> None:
        self.view.map_sync(nap, durations_s, chunksize=self.chunksize)

    def stop(self) -> None:
        self.client.close()
        self.cluster.stop_cluster_sync()


class Chunked(LoadBalanced):
    chunksize = 100
