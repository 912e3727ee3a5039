"""Celery as its users have it: an app with default settings, a prefork worker, a private Redis."""

import importlib
import os
import subprocess
import sys
from typing import Any

from tests.benchmarks.peer import Peer
from tests.benchmarks.private_redis import PrivateRedis

APP = "tests.benchmarks.celery_app"
STARTS_WITHIN_S = 60
ENDS_WITHIN_S = 300


class Delay(Peer):
    def start(self) -> None:
        self.redis = PrivateRedis(self.folder)
        self.redis.start()
        # Read by the module that the worker and this process import alike.
        os.environ["NBQUEUE_BENCH_CELERY_URL"] = self.redis.url  # URL_VARIABLE of APP
        self.module: Any = importlib.import_module(APP)
        options = ["-P", "prefork", "-c", str(self.workers), "-l", "error"]
        with (self.folder / "worker.log").open("w") as log:
            self.worker = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", APP, "worker", *options],
                stdout=log,
                stderr=log,
            )
        self.module.noop.delay(0).get(timeout=STARTS_WITHIN_S)

    def map_noops(self, n: int) -> list[int]:
        raise NotImplementedError("delay().get() is for one call; see Group and Chunks")

    def call(self, value: int) -> int:
        return int(self.module.noop.delay(value).get(timeout=STARTS_WITHIN_S))

    def ask(self) -> int:
        return len(self.module.app.control.inspect().stats() or {})

    def sleep_map(self, durations_s: list[float]) -> None:
        raise NotImplementedError("delay().get() is for one call; see Group and Chunks")

    def stop(self) -> None:
        self.worker.terminate()
        self.worker.wait(30)
        self.module.app.close()
        self.redis.stop()


class Group(Delay):
    def _gather(self, task: Any, values: list[Any]) -> list[Any]:
        from celery import group

        result = group(task.s(value) for value in values).apply_async()
        return list(result.get(timeout=ENDS_WITHIN_S))

    def map_noops(self, n: int) -> list[int]:
        return self._gather(self.module.noop, list(range(n)))

    def sleep_map(self, durations_s: list[float]) -> None:
        self._gather(self.module.nap, durations_s)

    def chord(self, n: int) -> int:
        from celery import chord

        header = (self.module.noop.s(value) for value in range(n))
        return int(chord(header)(self.module.total.s()).get(timeout=ENDS_WITHIN_S))


class Chunks(Group):
    size = 100

    def _gather(self, task: Any, values: list[Any]) -> list[Any]:
        # As a group: `chunks(...).apply_async()` of a single chunk would come back unnested.
        result = task.chunks([(value,) for value in values], self.size).group().apply_async()
        return [item for chunk in result.get(timeout=ENDS_WITHIN_S) for item in chunk]
