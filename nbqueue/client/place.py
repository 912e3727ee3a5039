"""Where in a notebook this process is at: which cell runs, for whoever wants to know it again.

The notebook's room says it (`cell`); in a script there is no cell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Cell(NamedTuple):
    """A run of a cell."""

    id: str
    """The cell's, as its front end knows it; empty where that has none."""
    run: str
    """Of this run of it alone."""


def _nowhere() -> None:
    """Give none: this is no notebook."""


cell: Callable[[], Cell | None] = _nowhere
"""Gives the cell that runs; ``None`` outside of notebooks. Set by the notebook's room."""


def home_of(function: Any, found: Cell) -> tuple[str, str]:
    """Give what a function of a cell is known by when that is run again: the cell, and its name.

    Without an id, a cell is known by its text: IPython names the file of a cell's code after it.
    """
    code = getattr(function, "__code__", None)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return found.id or str(getattr(code, "co_filename", "")), name
