"""The value of a cell's last expression: whether it is to come back though nobody gave it a name.

Often it is the point of the cell (a score), but it may be a glance at something large, or what a
plotting function happens to return. So it is tried: pickled to nowhere, until that proves too much.
"""

from __future__ import annotations

from typing import Any

import cloudpickle

from nbqueue.store.cell import NotBrought

MOST_BYTES = 100_000
"""Higher: a sweep that ends with a look at its data sends all of it back, an item at a time."""

_PICTURES = "matplotlib"
"""A line, an axis or a figure is its whole figure, pickled, and opens again where it arrives. What
it looks like is among the item's outputs."""


class _TooLarge(Exception):
    """More than `MOST_BYTES`."""


class _Picture(Exception):
    """Something of matplotlib's."""


def kept(value: Any) -> Any:
    """Give what comes back: the value, a `NotBrought` when it is too large, or ``None``."""
    try:
        _Trial(_Scale(), protocol=5).dump(value)
    except _TooLarge:
        reason = f"it takes more than {MOST_BYTES // 1000} kB; with a name it would come back"
        return NotBrought(type(value).__name__, reason)
    except Exception:  # a picture, or whatever the classes of its parts raise: it stays there
        return None
    return value


class _Scale:
    """A file that only adds up."""

    def __init__(self) -> None:
        self.left = MOST_BYTES

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self.left -= size
        if self.left < 0:
            raise _TooLarge
        return size


class _Trial(cloudpickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if type(obj).__module__.partition(".")[0] == _PICTURES:
            raise _Picture
        return super().reducer_override(obj)
