"""Values of the user's in few characters: what an item was called with, what it returned.

Somebody else's ``repr`` runs here, so it may raise and may be long; arrays and frames are told by
their shape, because nobody reads their numbers in a table's cell.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

_CHARACTERS = 60
"""Longest text of one value."""


class _Short(reprlib.Repr):
    """Cuts containers before their elements are looked at, so that a million of them cost nothing.

    >>> _Short().repr(list(range(1000)))
    '[0, 1, 2, 3, 4, 5, ...]'
    """

    def repr1(self, x: Any, level: int) -> str:
        if type(x) is float:
            return f"{x:.6g}"
        shape = _shape(x)
        return super().repr1(x, level) if shape is None else shape

    def repr_instance(self, x: Any, level: int) -> str:
        return repr(x)


_short = _Short()
_short.maxstring = _short.maxother = _short.maxlong = _CHARACTERS


class _Full(_Short):
    """As above, for when there is room: strings and numbers whole, a hundred of a container."""

    def repr1(self, x: Any, level: int) -> str:
        return repr(x) if type(x) is float else super().repr1(x, level)


_full = _Full()
_full.maxstring = _full.maxother = _full.maxlong = 20_000
_full.maxlist = _full.maxtuple = _full.maxdict = _full.maxset = _full.maxfrozenset = 100


def brief(value: Any, characters: int = _CHARACTERS) -> str:
    r"""Give a value as one line of at most so many characters.

    >>> brief(0.1 + 0.2), brief("a\nb"), brief(None)
    ('0.3', "'a\\nb'", 'None')
    """
    try:
        text = _short.repr(value)
    except Exception:  # it is the user's code: anything may come out
        text = f"<{type(value).__qualname__}>"
    return cut(" ".join(text.split()), characters)


def full(value: Any, characters: int) -> str:
    """Give a value as it would be written, where there is room for many characters.

    >>> full({"auc": 0.123456789, "fold": list(range(8))}, 100)
    "{'auc': 0.123456789, 'fold': [0, 1, 2, 3, 4, 5, 6, 7]}"
    """
    try:
        return cut(_full.repr(value), characters)
    except Exception:  # as above
        return brief(value)


def call(params: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Give the arguments of a call as they would be written.

    >>> call(("depth", "lr"), (3, 0.1), {})
    'depth=3, lr=0.1'
    """
    parts = [
        f"{params[k]}={brief(value, 40)}" if k < len(params) else brief(value, 40)
        for k, value in enumerate(args[:8])
    ]
    parts += [f"{name}={brief(value, 40)}" for name, value in list(kwargs.items())[:8]]
    return cut(", ".join(parts), 2 * _CHARACTERS)


def cut(text: str, characters: int) -> str:
    """Give a text, with an ellipsis for what is more than so many characters."""
    return text if len(text) <= characters else text[: characters - 1] + "…"


def _shape(value: Any) -> str | None:
    """Name an array or a frame by its type and shape; ``None`` for anything else."""
    kind = type(value)
    if kind.__module__.partition(".")[0] not in ("numpy", "pandas", "polars", "pyarrow"):
        return None
    shape = getattr(value, "shape", None)
    if not isinstance(shape, tuple):
        return None
    if not shape:  # one number
        return f"{value:.6g}" if isinstance(value, float) else str(value)
    return f"{kind.__name__} {' × '.join(map(str, shape))}"
