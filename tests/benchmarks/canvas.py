"""How long a chord takes, and what joining the items of a large map costs: medians of a few."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

from tests.benchmarks.peer import Peer

RUNS = 5


def measure(peer: Peer, header: int, items: int) -> dict[str, float]:
    peer.chord(header // 10)
    metrics = {"chord_s": median(_timed(peer.chord, header) for _ in range(RUNS))}
    # Imported here: a joined map is nbqueue's alone.
    from tests.benchmarks.nbqueue_peer import Nbqueue

    if isinstance(peer, Nbqueue):
        peer.joined_map(items)
        pairs = [
            (_timed(peer.joined_map, items), _timed(peer.map_noops, items)) for _ in range(RUNS)
        ]
        joined, alone = zip(*pairs, strict=True)
        metrics["join"] = median(joined) / median(alone)
    return metrics


def _timed(call: Callable[[int], Any], n: int) -> float:
    began = time.perf_counter()
    value = call(n)
    took = time.perf_counter() - began
    if value not in (n * (n - 1) // 2, list(range(n))):
        raise AssertionError(f"{call.__name__}({n}) gave a wrong value")
    return took
