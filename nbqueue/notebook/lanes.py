"""When which worker ran what: a job's columns in, bars or shares of busy time out, bounded.

A few thousand items are a bar each. More would lie on top of one another, so then each worker's
time is cut into slices: how much of a slice it was busy, and whether an item failed in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from nbqueue.core import states

if TYPE_CHECKING:
    from nbqueue.core.fold import JobState

    Column = np.ndarray[Any, np.dtype[Any]]

BARS = 3_000
"""Most items that get a bar each. Higher: more to send each second than can be told apart."""

SLICES = 400
"""Slices of time otherwise: two pixels each at the width of a notebook's output."""

LANES = 64
"""Most workers shown, those that ran most items; the others are counted."""

_NOWHERE = 0xFFFF


@dataclass(frozen=True)
class Columns:
    """What the picture is made of, copied while the job's lock is held."""

    states: Column
    started: Column
    run_s: Column
    worker: Column
    workers: list[str] = field(default_factory=list)


def copy(state: JobState) -> Columns:
    """Copy what `lanes` needs; to be called under the job's lock."""
    return Columns(
        states=np.frombuffer(bytes(state.states), dtype=np.uint8),
        started=np.array(state.started, dtype=np.float64),
        run_s=np.array(state.run_s, dtype=np.float64),
        worker=np.array(state.worker, dtype=np.uint16),
        workers=list(state.workers),
    )


def lanes(columns: Columns, now: float) -> tuple[dict[str, Any], list[bytes]]:
    """Give the timeline as a message and its buffers.

    With ``kind`` "bars" these are ``start`` and ``length`` (float32 seconds from ``first``), ``item
    << 4 | state`` (uint32) and ``lane`` (uint16); with "slices", a row of `SLICES` bytes a lane:
    the share of busy time (0 to 255), then 1 where an item failed.
    """
    known = np.flatnonzero(~np.isnan(columns.started) & (columns.worker != _NOWHERE))
    if not len(known):
        return {"kind": "bars", "lanes": [], "items": [], "more": 0, "first": now, "span": 0.0}, []
    counts = np.bincount(columns.worker[known], minlength=len(columns.workers))
    busiest = [int(k) for k in np.argsort(-counts, kind="stable") if counts[k]]
    shown = sorted(busiest[:LANES], key=lambda k: columns.workers[k])
    lane_of = np.full(len(columns.workers), len(shown), dtype=np.int64)
    lane_of[shown] = np.arange(len(shown))
    known = known[lane_of[columns.worker[known]] < len(shown)]
    start, run_s = columns.started[known], columns.run_s[known]
    end = np.where(np.isnan(run_s), np.maximum(now, start), start + run_s)
    first, last = float(start.min()), float(end.max())
    span = max(last - first, 1e-6)
    head = {
        "lanes": [columns.workers[k] for k in shown],
        "items": [int(counts[k]) for k in shown],
        "more": len(busiest) - len(shown),
        "first": first,
        "span": span,
    }
    lane, code = lane_of[columns.worker[known]], columns.states[known]
    if len(known) <= BARS:
        buffers = [
            (start - first).astype("<f4").tobytes(),
            (end - start).astype("<f4").tobytes(),
            ((known << 4) | code).astype("<u4").tobytes(),
            lane.astype("<u2").tobytes(),
        ]
        return {"kind": "bars", **head}, buffers
    width = span / SLICES
    busy = _elapsed(start - first, lane, width, len(shown))
    busy -= _elapsed(end - first, lane, width, len(shown))
    share = np.clip(np.diff(busy, axis=1, prepend=0.0) / width, 0, 1)
    failed = np.zeros(len(shown) * SLICES, dtype=np.uint8)
    bad = code == states.FAILURE_CODE
    failed[lane[bad] * SLICES + _slot(end[bad] - first, width)] = 1
    return {"kind": "slices", "slices": SLICES, **head}, [
        (share * 255).round().astype(np.uint8).tobytes(),
        failed.tobytes(),
    ]


def _slot(at: Column, width: float) -> Column:
    return np.minimum((at / width).astype(np.int64), SLICES - 1)


def _elapsed(at: Column, lane: Column, width: float, n_lanes: int) -> Column:
    """Give, for each lane and right edge of a slice, the sum of ``max(0, edge - at)``.

    Busy time is that of the items' starts less that of their ends; both are running sums of
    histograms, so a million items take no loop.
    """
    flat = lane * SLICES + _slot(at, width)
    size = n_lanes * SLICES
    number = np.bincount(flat, minlength=size).reshape(n_lanes, SLICES).cumsum(axis=1)
    total = np.bincount(flat, weights=at, minlength=size).reshape(n_lanes, SLICES)
    edges = width * np.arange(1, SLICES + 1)
    elapsed: Column = edges * number - total.cumsum(axis=1)
    return elapsed
