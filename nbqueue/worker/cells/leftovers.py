"""What a cell leaves behind without anybody having asked for it: whether it is to come back.

The value of its last expression often is the point of the cell (a score), but it may be a glance at
something large, or what a plotting function happens to return. So it is tried: pickled to nowhere,
until that proves too much. Names are brought back as they are, but for those of what is of no use
elsewhere.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Iterable
from itertools import islice
from typing import Any

import cloudpickle

from nbqueue.store.code.cell import NotBrought

MOST_BYTES = 100_000
"""Higher: a sweep that ends with a look at its data sends all of it back, an item at a time."""

_PICTURES = "matplotlib"
"""A line, an axis or a figure is its whole figure, pickled, and opens again where it arrives. What
it looks like is among the item's outputs."""

_WIDGETS = "ipywidgets"


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


def without_widgets(names: dict[str, Any]) -> dict[str, Any]:
    """Give names with a `NotBrought` for each widget: it pickles, but cannot be read elsewhere."""
    return {
        name: NotBrought(type(value).__name__, "a widget stays in the process that made it")
        if _is_widget(type(value))
        else value
        for name, value in names.items()
    }


def _is_widget(kind: type) -> bool:
    return _WIDGETS in sys.modules and any(
        base.__module__.partition(".")[0] == _WIDGETS for base in kind.__mro__
    )


class _TooLarge(Exception):
    """More than `MOST_BYTES`."""


class _Unwanted(Exception):
    """Something of matplotlib's, or a widget."""


def kept(value: Any) -> Any:
    """Give what comes back: the value, a `NotBrought` when it is too large, or ``None``."""
    scale = _Scale()
    try:
        _Trial(scale, protocol=5).dump(value)
        pickle.loads(b"".join(scale.parts))  # noqa: S301 - it was made here and now
    except _TooLarge:
        reason = f"it takes more than {MOST_BYTES // 1000} kB; with a name it would come back"
        return NotBrought(type(value).__name__, reason)
    except Exception:  # a picture, or whatever the classes of its parts raise: it stays there
        return None  # (and so does what can be pickled, but not read again)
    return value


class _Scale:
    """A file that takes no more than it should."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._left = MOST_BYTES

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self._left -= size
        if self._left < 0:
            raise _TooLarge
        self.parts.append(bytes(data))
        return size


class _Trial(cloudpickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if _is_picture(obj) or _is_widget(type(obj)):
            raise _Unwanted
        return super().reducer_override(obj)
