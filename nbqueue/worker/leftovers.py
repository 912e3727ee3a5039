"""What a cell leaves behind without anybody having asked for it: whether it is to come back.

The value of its last expression often is the point of the cell (a score), but it may be a glance at
something large, or what a plotting function happens to return. So it is tried: pickled to nowhere,
until that proves too much. Names are brought back as they are, but for those of what is of no use
elsewhere.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from itertools import islice
from typing import Any

import cloudpickle

from nbqueue.store.cell import NotBrought

MOST_BYTES = 100_000
"""Higher: a sweep that ends with a look at its data sends all of it back, an item at a time."""

_PICTURES = "matplotlib"
"""A line, an axis or a figure is its whole figure, pickled, and opens again where it arrives. What
it looks like is among the item's outputs."""


def left(value: Any, pictures: bool) -> bool:
    """Say whether a name's value stays: a closed file, and without ``pictures`` one of those."""
    if isinstance(value, io.IOBase):
        return value.closed
    return not pictures and (_is_picture(value) or any(map(_is_picture, _first_of(value))))


def _first_of(value: Any) -> Iterable[Any]:
    """Give the first of the things in a container: they are of one kind, if they are pictures."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        value = value.flat if _is_array(value) else ()
    return islice(value, 1)


def _is_array(value: Any) -> bool:
    return type(value).__module__ == "numpy" and getattr(value, "dtype", None) == "O"


def _is_picture(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == _PICTURES


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
        if _is_picture(obj):
            raise _Picture
        return super().reducer_override(obj)
