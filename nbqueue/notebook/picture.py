"""`JobPicture`: what a job's displays show, as it is at one moment.

    Live ──taking──► JobPicture ──views──► text, HTML, PNG

A picture is frozen and bounded however large the job is. Nothing in it leads back to the job or the
store, so views need neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nbqueue.core import states
from nbqueue.notebook.timeline import Timeline

CELLS = 10_000
"""Most cells of the grid; more items share one. More would be smaller than a person can see."""

FEW_FAILED, SOME_FAILED = 6, 7
"""Codes of cells that stand for several items, of which less than a tenth, or half, failed."""


@dataclass(frozen=True)
class Grid:
    """The items' states, a cell an item or several."""

    codes: bytes
    """State codes, and of cells of several items also `FEW_FAILED` and `SOME_FAILED`."""
    per_cell: int = 1


@dataclass(frozen=True)
class Failure:
    """One kind of error, with the first item that had it."""

    item: int
    error: str
    call: str
    """What the item was called with; empty when this process does not know."""
    times: int
    """How many of the failed items that were looked at had it."""


@dataclass(frozen=True)
class Running:
    """An item that runs now."""

    item: int
    call: str
    worker: str
    for_s: float
    fraction: float | None
    """How far it is, 0 to 1, if it says so."""
    says: str
    """The numbers behind the fraction, as reported."""


@dataclass(frozen=True)
class Row:
    """One item of the table: texts in the order of the picture's columns."""

    item: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Said:
    """What one item printed and displayed, as nbformat outputs."""

    item: int
    call: str
    outputs: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class StepShown:
    """One step of a workflow."""

    task: str
    counts: tuple[int, ...]
    """Items by state's code; all 0 while it is not known how many there will be."""
    rescue: bool = False
    """It is called because something has failed."""

    @property
    def n(self) -> int:
        """How many items it has, as far as is known."""
        return sum(self.counts)


@dataclass(frozen=True)
class JobPicture:
    """A job at one moment."""

    name: str
    task: str
    state: str
    n: int
    counts: Mapping[str, int]
    """Items by state, in the order of `states.NAMES`."""
    finished: bool
    elapsed_s: float
    items_per_s: float | None = None
    eta_s: float | None = None
    """Seconds until the end; ``None`` when nothing has ended yet or all has."""
    grid: Grid = Grid(b"")
    failures: tuple[Failure, ...] = ()
    failures_left: int = 0
    """Failed items that `failures` says nothing about."""
    traceback: str = ""
    """The worker's traceback of the first failure."""
    running: tuple[Running, ...] = ()
    timeline: Timeline = field(default_factory=Timeline)
    columns: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    said: tuple[Said, ...] = ()
    said_left: int = 0
    """Items with outputs that `said` leaves out."""
    steps: tuple[StepShown, ...] = ()
    """Of a workflow."""
    steps_left: int = 0
    """Steps that `steps` leaves out."""
    note: str = ""
    """Why nothing more is heard of a job that has not ended."""
    cached: int = 0
    """Items whose results came from the cache."""


def without_error(picture: JobPicture) -> JobPicture:
    """Give the picture of a single call without its error, for where the error stands beside it."""
    if picture.n != 1 or not picture.failures:
        return picture
    said = [
        replace(s, outputs=tuple(o for o in s.outputs if o["output_type"] != "error"))
        for s in picture.said
    ]
    said = [s for s in said if s.outputs]
    return replace(picture, failures=(), traceback="", said=tuple(said))


def grid(codes: bytes, cells: int = CELLS) -> Grid:
    """Give the grid of items' state codes, several items to a cell where there are many.

    A cell of several is FAILURE, `SOME_FAILED` or `FEW_FAILED` if any has failed,
    else REVOKED if any was cancelled, STARTED if they are under way, or what all of them are.
    """
    import numpy as np

    per = -(-len(codes) // cells) if codes else 1
    if per == 1:
        return Grid(codes)
    whole = -(-len(codes) // per) * per
    # The last cell is filled up with the last item, not with a state that nothing has.
    items = np.frombuffer(codes + codes[-1:] * (whole - len(codes)), np.uint8).reshape(-1, per)
    failed = (items == states.FAILURE_CODE).sum(axis=1)
    same = (items == items[:, :1]).all(axis=1)
    out = np.where(same, items[:, 0], states.STARTED_CODE).astype(np.uint8)
    out[(items == states.REVOKED_CODE).any(axis=1)] = states.REVOKED_CODE
    out[failed > 0] = FEW_FAILED
    out[10 * failed >= per] = SOME_FAILED
    out[2 * failed >= per] = states.FAILURE_CODE
    return Grid(out.tobytes(), per)
