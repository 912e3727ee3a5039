"""Ray on this machine, without its dashboard and with a small object store."""

import os
import shutil
import tempfile
from typing import Any

from tests.benchmarks.peer import Peer
from tests.benchmarks.tasks import nap, noop

# The smallest that Ray accepts with room to spare; no-ops and naps store next to nothing.
OBJECT_STORE_BYTES = 100 * 1024 * 1024


class Ray(Peer):
    def start(self) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        self.ray: Any = ray
        # Not in `self.folder`: Ray appends some 70 characters and a Unix socket's path is bounded.
        self.ray_folder = tempfile.mkdtemp(prefix="nbqray")
        ray.init(
            address="local",
            num_cpus=self.workers,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            log_to_driver=False,
            logging_level="error",
            _temp_dir=self.ray_folder,
        )
        self.noop: Any = ray.remote(noop)
        self.nap: Any = ray.remote(nap)
        ray.get([self.nap.remote(0.01) for _ in range(10 * self.workers)])

    def map_noops(self, n: int) -> list[int]:
        return list(self.ray.get([self.noop.remote(value) for value in range(n)]))

    def call(self, value: int) -> int:
        return int(self.ray.get(self.noop.remote(value)))

    def sleep_map(self, durations_s: list[float]) -> None:
        self.ray.get([self.nap.remote(duration) for duration in durations_s])

    def stop(self) -> None:
        self.ray.shutdown()
        shutil.rmtree(self.ray_folder, ignore_errors=True)
