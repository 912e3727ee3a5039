"""How many no-ops a second a map gets through, from the call to the last result in hand."""

import time
from statistics import median

from tests.benchmarks.peer import Peer

# The fast peers finish in tenths of a second, so they run again until this much was measured.
MEASURE_FOR_S = 2.0
AT_MOST_RUNS = 5


def measure(peer: Peer, noops: int) -> dict[str, float]:
    peer.map_noops(max(1, noops // 20))
    rates: list[float] = []
    began = time.perf_counter()
    while len(rates) < AT_MOST_RUNS and time.perf_counter() - began < MEASURE_FOR_S:
        run_began = time.perf_counter()
        values = peer.map_noops(noops)
        rates.append(noops / (time.perf_counter() - run_began))
        if values != list(range(noops)):
            raise AssertionError("the map gave wrong values, or in the wrong order")
    return {"throughput": median(rates)}
