"""How evenly naps fall on the workers, as a multiple of the ideal: total nap time / workers.

In the mixed list both long naps stand in its first half: halving the list once and for all gives
1.33 times the ideal, and a chunk of 100 that holds both gives 1.2 times at best.
"""

import time

from tests.benchmarks.peer import Peer

EVEN_S = [0.01] * 400
MIXED_S = [0.01] * 40 + [0.5] + [0.01] * 20 + [0.5] + [0.01] * 140


def measure(peer: Peer, workers: int) -> dict[str, float]:
    peer.sleep_map([0.001] * 10 * workers)
    return {
        "balance_even": _times_ideal(peer, EVEN_S, workers),
        "balance_mixed": _times_ideal(peer, MIXED_S, workers),
    }


def _times_ideal(peer: Peer, durations_s: list[float], workers: int) -> float:
    began = time.perf_counter()
    peer.sleep_map(durations_s)
    return (time.perf_counter() - began) / (sum(durations_s) / workers)
