"""The round trip of one call: the median of many, one after the other, after a warm-up."""

import time
from statistics import median

from tests.benchmarks.peer import Peer

WARM_UP = 100


def measure(peer: Peer, calls: int) -> dict[str, float]:
    for value in range(WARM_UP):
        peer.call(value)
    trips_ms: list[float] = []
    for value in range(calls):
        began = time.perf_counter()
        got = peer.call(value)
        trips_ms.append((time.perf_counter() - began) * 1000)
        if got != value:
            raise AssertionError(f"call({value}) gave {got!r}")
    return {"one_call_ms": median(trips_ms)}
