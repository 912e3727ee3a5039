"""When which worker was busy: columns of a job's items in, a lane of shares a worker out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Column = np.ndarray[Any, np.dtype[Any]]

BINS = 120
"""Slices of time in a lane: two pixels each at the width of a notebook's output."""

LANES = 16
"""Workers shown, the busiest first; the rest are only counted."""

_NOWHERE = 0xFFFF


@dataclass(frozen=True)
class Lane:
    """One worker process over the job's life."""

    worker: str
    items: int
    """How many items it has finished or is running."""
    busy: tuple[float, ...]
    """Share of each slice of time, 0 to 1, in which it ran an item of this job."""


@dataclass(frozen=True)
class Timeline:
    """The busiest workers, over the time from the first item's beginning to the latest end."""

    lanes: tuple[Lane, ...] = ()
    workers: int = 0
    """How many there are."""
    span_s: float = 0.0


def timeline(
    started: Column, run_s: Column, worker: Column, workers: list[str], now: float
) -> Timeline:
    """Give the lanes of a job; items without an end are taken to run until ``now``.

    The busy time before an instant ``t`` is the sum over items of ``max(0, t - start)`` less that
    of ``max(0, t - end)``; both are running sums of two histograms, so a million items cost as many
    additions and no loop.
    """
    import numpy as np

    known = np.flatnonzero(~np.isnan(started) & (worker != _NOWHERE))
    if not len(known):
        return Timeline()
    start, length, lane = started[known], run_s[known].astype(float), worker[known].astype(np.int64)
    end = np.where(np.isnan(length), np.maximum(now, start), start + length)
    first, last = float(start.min()), float(end.max())
    width = max(last - first, 1e-6) / BINS
    counts = np.bincount(lane, minlength=len(workers))
    busy = _elapsed(start - first, lane, width, len(workers))
    busy -= _elapsed(end - first, lane, width, len(workers))
    shares = np.clip(np.diff(busy, axis=1, prepend=0.0) / width, 0, 1)
    order = [int(k) for k in np.argsort(-counts, kind="stable") if counts[k]]
    chosen = sorted(order[:LANES], key=lambda k: workers[k])
    return Timeline(
        lanes=tuple(
            Lane(workers[k], int(counts[k]), tuple(shares[k].round(3).tolist())) for k in chosen
        ),
        workers=len(order),
        span_s=last - first,
    )


def _elapsed(at: Column, lane: Column, width: float, lanes: int) -> Column:
    """Give, for each lane and right edge of a slice, the sum of ``max(0, edge - at)``."""
    import numpy as np

    slot = np.minimum((at / width).astype(np.int64), BINS - 1)
    flat = lane * BINS + slot
    number = np.bincount(flat, minlength=lanes * BINS).reshape(lanes, BINS).cumsum(axis=1)
    total = np.bincount(flat, weights=at, minlength=lanes * BINS).reshape(lanes, BINS)
    edges = width * np.arange(1, BINS + 1)
    elapsed: Column = edges * number - total.cumsum(axis=1)
    return elapsed
