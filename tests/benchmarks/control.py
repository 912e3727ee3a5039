"""How long a question to workers that are known takes: the median of many."""

import time
from statistics import median

from tests.benchmarks.peer import Peer


def measure(peer: Peer, times: int) -> dict[str, float]:
    peer.ask()  # who is there
    trips_ms: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        answers = peer.ask()
        trips_ms.append((time.perf_counter() - began) * 1000)
        if answers != 1:
            raise AssertionError(f"{answers} workers answered")
    return {"control_ms": median(trips_ms)}
