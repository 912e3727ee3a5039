"""When which worker ran what: a job's columns in, a bounded picture of them out. Pure.

    JobState ──copy (under its lock)──► Columns ──timeline──► Timeline: a static page
                                                └──message──► bars or slices: the job widget

On a page, each worker's time is cut into slices: how much of each it was busy. The widget, which
can be looked at closely, gets a bar an item as long as there are only a few thousand: more would
lie on top of one another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbqueue.core import states
from nbqueue.core.columns import NOWHERE
from nbqueue.core.fold import JobState

if TYPE_CHECKING:
    import numpy as np

    Column = np.ndarray[Any, np.dtype[Any]]

PAGE_SLICES = 120
"""Slices of time in a page's lane: two pixels each at the width of a notebook's output."""

PAGE_LANES = 16
"""Most workers on a page, those that ran most items; the others are counted."""

BARS = 3_000
"""Most items that get a bar each. Higher: more to send each second than can be told apart."""

SLICES = 400
"""Slices of time in the widget otherwise: two pixels each at the width of a notebook's output."""

LANES = 64
"""Most workers in the widget, those that ran most items; the others are counted."""

_INSTANT_S = 1e-6
"""Shortest time that is cut into slices: a job may begin and end in the same instant."""


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


@dataclass(frozen=True)
class Columns:
    """What the picture is made of, copied while the job's lock is held."""

    states: Column
    started: Column
    run_s: Column
    worker: Column
    workers: list[str]


def copy(state: JobState) -> Columns:
    """Copy what a timeline needs; to be called under the job's lock."""
    import numpy as np

    return Columns(
        states=np.frombuffer(bytes(state.states), dtype=np.uint8),
        started=np.array(state.started, dtype=np.float64),
        run_s=np.array(state.run_s, dtype=np.float64),
        worker=np.array(state.worker, dtype=np.uint16),
        workers=list(state.workers),
    )


def timeline(columns: Columns, now: float) -> Timeline:
    """Give the busiest workers' lanes; items without an end are taken to run until ``now``."""
    begun = _begun(columns, now)
    if not len(begun.items):
        return Timeline()
    first, span_s = begun.first, begun.last - begun.first
    shown, n_workers = _busiest(begun, columns.workers, PAGE_LANES)
    shares = _shares(
        _within(begun, shown), first, max(span_s, _INSTANT_S), (len(shown), PAGE_SLICES)
    )
    return Timeline(
        lanes=tuple(
            Lane(name, items, tuple(busy.round(3).tolist()))
            for (_, name, items), busy in zip(shown, shares, strict=True)
        ),
        workers=n_workers,
        span_s=span_s,
    )


def message(columns: Columns, now: float) -> tuple[dict[str, Any], list[bytes]]:
    """Give the timeline as a message and its buffers.

    With ``form`` "bars" these are ``start`` and ``length`` (float32 seconds from ``first``), ``item
    << 4 | state`` (uint32) and ``lane`` (uint16); with "slices", a row of `SLICES` bytes a lane:
    the share of busy time (0 to 255), then 1 where an item failed.
    """
    begun = _begun(columns, now)
    if not len(begun.items):
        return {"form": "bars", "lanes": [], "items": [], "more": 0, "first": now, "span": 0.0}, []
    shown, n_workers = _busiest(begun, columns.workers, LANES)
    begun = _within(begun, shown)
    first, span_s = begun.first, max(begun.last - begun.first, _INSTANT_S)
    head = {
        "lanes": [name for _, name, _ in shown],
        "items": [items for _, _, items in shown],
        "more": n_workers - len(shown),
        "first": first,
        "span": span_s,
    }
    codes = columns.states[begun.items]
    if len(begun.items) <= BARS:
        return {"form": "bars", **head}, _bars(begun, codes)
    return {"form": "slices", "slices": SLICES, **head}, _slices(begun, codes, span_s, len(shown))


# -- which items, in which lanes -------------------------------------------------------------------


@dataclass(frozen=True)
class _Runs:
    """Items that have begun: when they ran and where."""

    items: Column
    start: Column
    end: Column
    lane: Column
    """The number of each item's worker, or of its lane once that has been decided."""

    @property
    def first(self) -> float:
        return float(self.start.min())

    @property
    def last(self) -> float:
        return float(self.end.max())


_Shown = list[tuple[int, str, int]]
"""Number, name and count of items of each worker that gets a lane, by name."""


def _begun(columns: Columns, now: float) -> _Runs:
    import numpy as np

    items = np.flatnonzero(~np.isnan(columns.started) & (columns.worker != NOWHERE))
    start, run_s = columns.started[items], columns.run_s[items]
    end = np.where(np.isnan(run_s), np.maximum(now, start), start + run_s)
    return _Runs(items, start, end, columns.worker[items].astype(np.int64))


def _busiest(runs: _Runs, workers: list[str], most: int) -> tuple[_Shown, int]:
    """Give the workers that ran most items, and how many have run any."""
    import numpy as np

    counts = np.bincount(runs.lane, minlength=len(workers))
    order = [int(k) for k in np.argsort(-counts, kind="stable") if counts[k]]
    chosen = sorted(order[:most], key=lambda k: workers[k])
    return [(k, workers[k], int(counts[k])) for k in chosen], len(order)


def _within(runs: _Runs, shown: _Shown) -> _Runs:
    """Give the items of the workers shown, each with the number of its lane."""
    import numpy as np

    lane_of = np.full(runs.lane.max() + 1, len(shown), dtype=np.int64)
    lane_of[[k for k, _, _ in shown]] = np.arange(len(shown))
    lane = lane_of[runs.lane]
    kept = lane < len(shown)
    return _Runs(runs.items[kept], runs.start[kept], runs.end[kept], lane[kept])


# -- what is drawn ---------------------------------------------------------------------------------


def _bars(runs: _Runs, codes: Column) -> list[bytes]:
    return [
        (runs.start - runs.first).astype("<f4").tobytes(),
        (runs.end - runs.start).astype("<f4").tobytes(),
        ((runs.items << 4) | codes).astype("<u4").tobytes(),
        runs.lane.astype("<u2").tobytes(),
    ]


def _slices(runs: _Runs, codes: Column, span_s: float, n_lanes: int) -> list[bytes]:
    import numpy as np

    shares = _shares(runs, runs.first, span_s, (n_lanes, SLICES))
    bad = codes == states.FAILURE_CODE
    failed = np.zeros((n_lanes, SLICES), dtype=np.uint8)
    failed[runs.lane[bad], _slot(runs.end[bad] - runs.first, span_s / SLICES, SLICES)] = 1
    return [(shares * 255).round().astype(np.uint8).tobytes(), failed.tobytes()]


def _shares(runs: _Runs, first: float, span_s: float, shape: tuple[int, int]) -> Column:
    """Give the share of each slice of time in which each lane was busy: ``shape`` (lanes, slices).

    The busy time before an instant ``t`` is the sum over items of ``max(0, t - start)`` less that
    of ``max(0, t - end)``; both are running sums of two histograms, so a million items cost as many
    additions and no loop.
    """
    import numpy as np

    width = span_s / shape[1]
    busy = _elapsed(runs.start - first, runs.lane, width, shape)
    busy -= _elapsed(runs.end - first, runs.lane, width, shape)
    shares: Column = np.clip(np.diff(busy, axis=1, prepend=0.0) / width, 0, 1)
    return shares


def _elapsed(at: Column, lane: Column, width: float, shape: tuple[int, int]) -> Column:
    """Give, for each lane and right edge of a slice, the sum of ``max(0, edge - at)``."""
    import numpy as np

    size, slices = shape[0] * shape[1], shape[1]
    flat = lane * slices + _slot(at, width, slices)
    number = np.bincount(flat, minlength=size).reshape(shape).cumsum(axis=1)
    total = np.bincount(flat, weights=at, minlength=size).reshape(shape)
    elapsed: Column = width * np.arange(1, slices + 1) * number - total.cumsum(axis=1)
    return elapsed


def _slot(at: Column, width: float, slices: int) -> Column:
    import numpy as np

    return np.minimum((at / width).astype(np.int64), slices - 1)
