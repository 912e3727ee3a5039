"""Signatures as text: short, the same every time, and nothing is asked of anybody.

add(1, 2)   a | b   group(f(1), f(2), … 998 more)   chord(group(…), total())   map(f, range(3))
"""

from __future__ import annotations

import itertools
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sized
from typing import Any

from celery import canvas
from celery.canvas import _chain

_MEMBERS = 3
"""So many members of a group are written."""

_CHARS = 40
"""Longest text of an argument."""


_PLAIN: Any = object.__repr__
"""The repr that is an address."""


class _Values(reprlib.Repr):
    """Values as short texts; objects without a repr of their own by their type alone."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = _CHARS
        self.maxlist = self.maxtuple = self.maxset = self.maxdict = 4

    def repr_instance(self, x: Any, level: int) -> str:
        kind = type(x)
        shape = getattr(x, "shape", None)
        if isinstance(shape, tuple) and all(isinstance(n, int) for n in shape):
            return f"<{kind.__name__} {' × '.join(map(str, shape))}>"
        if getattr(kind, "__repr__", None) is _PLAIN:
            return f"<{kind.__name__}>"
        if callable(x) and hasattr(x, "__name__"):
            return str(x.__name__)
        if isinstance(x, range):
            return repr(x)
        return " ".join(super().repr_instance(x, level).split())


_values = _Values()


def value(shown: Any) -> str:
    """Give a value as a short text."""
    text = _values.repr(shown)
    return text if len(text) <= _CHARS else f"{text[: _CHARS - 1]}…"


def iterable(shown: Any) -> str:
    """Give what a map goes over as a short text; it is not read."""
    if type(shown) in (list, tuple, range, dict, set, frozenset):
        return value(shown)
    # (Of a generator Celery's list of it has a length, but finds it by running the generator.)
    if isinstance(shown, list) or not isinstance(shown, Sized):
        return "…"
    return f"{len(shown):,} values"


def called(name: str, args: Iterable[str], kwargs: Mapping[str, Any]) -> str:
    """Give a call: arguments that are texts already, and keyword arguments."""
    named = (f"{key}={value(v)}" for key, v in kwargs.items())
    return f"{name}({', '.join([*args, *named])})"


def written(signature: Any) -> str:
    """Give a signature as a text."""
    if not isinstance(signature, canvas.Signature):
        return value(signature)
    for kind, form in _FORMS:
        if isinstance(signature, kind):
            return form(signature)
    return called(signature.task, map(value, signature.args), signature.kwargs)


def _chained(signature: Any) -> str:
    parts = list(itertools.islice(signature.tasks, 2 * _MEMBERS + 1))
    shown = " | ".join(map(written, parts[: 2 * _MEMBERS])) or "chain()"
    if len(parts) > 2 * _MEMBERS:
        shown += f" | … {len(signature.tasks) - 2 * _MEMBERS} more"
    return shown


def _grouped(signature: Any) -> str:
    return _group_of(signature.tasks)


def _chorded(signature: Any) -> str:
    header = signature.tasks
    header = header.tasks if isinstance(header, canvas.group) else header
    body = "" if signature.body is None else f", {written(signature.body)}"
    return f"chord({_group_of(header)}{body})"


def _group_of(tasks: Any) -> str:
    parts = list(itertools.islice(tasks, _MEMBERS + 1))
    shown = ", ".join(map(written, parts[:_MEMBERS]))
    if len(parts) > _MEMBERS:
        # Of a generator nobody knows how many are left, unless it is run.
        left = f"{len(tasks) - _MEMBERS:,} more" if type(tasks) in (list, tuple) else "more"
        shown += f", … {left}"
    return f"group({shown})"


def _mapped(signature: Any) -> str:
    name = {canvas.xmap: "map", canvas.xstarmap: "starmap", canvas.chunks: "chunks"}
    kind = next(name[k] for k in name if isinstance(signature, k))
    found = signature.kwargs
    task = getattr(found["task"], "name", found["task"])
    it = [] if found["it"] is None else [iterable(found["it"])]
    n = [str(found["n"])] if "n" in found else []
    return f"{kind}({', '.join([str(task), *it, *n])})"


_FORMS: tuple[tuple[Any, Callable[[Any], str]], ...] = (
    (_chain, _chained),
    (canvas.group, _grouped),
    (canvas.chord, _chorded),
    ((canvas.xmap, canvas.xstarmap, canvas.chunks), _mapped),
)
