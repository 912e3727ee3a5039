"""Peers on one machine without a broker: the standard library's pool, and joblib's."""

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from tests.benchmarks.peer import Peer
from tests.benchmarks.tasks import nap, noop


class Pool(Peer):
    chunksize = 1

    def start(self) -> None:
        self.pool = ProcessPoolExecutor(self.workers)

    def map_noops(self, n: int) -> list[int]:
        return list(self.pool.map(noop, range(n), chunksize=self.chunksize))

    def call(self, value: int) -> int:
        return self.pool.submit(noop, value).result()

    def sleep_map(self, durations_s: list[float]) -> None:
        list(self.pool.map(nap, durations_s, chunksize=self.chunksize))

    def stop(self) -> None:
        self.pool.shutdown()


class ChunkedPool(Pool):
    chunksize = 100


class Joblib(Peer):
    """As its documentation writes it: a new `Parallel` a map, `delayed(f)(x)` for every item."""

    def start(self) -> None:
        import joblib

        self.joblib: Any = joblib
        self.sleep_map([0.01] * 10 * self.workers)

    def _run(self, function: Callable[[Any], Any], values: Iterable[Any]) -> list[Any]:
        delayed = self.joblib.delayed
        return list(self.joblib.Parallel(n_jobs=self.workers)(delayed(function)(v) for v in values))

    def map_noops(self, n: int) -> list[int]:
        return self._run(noop, range(n))

    def sleep_map(self, durations_s: list[float]) -> None:
        self._run(nap, durations_s)

    def stop(self) -> None:
        # Without this loky's workers stay until their idle timeout, past the measurement.
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(wait=True)


class HoistedJoblib(Joblib):
    """`delayed(f)` made once a map. Making it for each item costs about 1 µs, which no-ops show."""

    def _run(self, function: Callable[[Any], Any], values: Iterable[Any]) -> list[Any]:
        call = self.joblib.delayed(function)
        return list(self.joblib.Parallel(n_jobs=self.workers)(call(value) for value in values))
