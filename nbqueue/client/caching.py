"""What a job's results are cached under, and a word where they would never be found again."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Literal

from nbqueue.client.saying import say
from nbqueue.store.code.cell import Cell
from nbqueue.store.values.cache import FRESH
from nbqueue.store.values.identity import identity, is_steady

Mode = bool | Literal["refresh"]

_looked: weakref.WeakSet[Any] = weakref.WeakSet()
"""Functions that were looked at. (A cell is another object each time that it is run.)"""


def key(sent: Callable[..., Any] | Cell, name: str, mode: Mode) -> str:
    """Give what results of a function or cell are cached under; empty without a cache."""
    if not mode:
        return ""
    meant = sent.meaning if isinstance(sent, Cell) else sent
    digest = identity(meant)
    if _is_new(sent) and digest != identity(meant):
        values = _captured(sent)
        which = ", ".join(each for each, value in values.items() if not is_steady(value))
        say(
            f"results of {name!r} are never found in the cache again: what it uses"
            f"{f' ({which})' if which else ''} does not pickle the same way twice"
        )
    return FRESH + digest if mode == "refresh" else digest


def _is_new(sent: Any) -> bool:
    try:
        if sent in _looked:
            return False
        _looked.add(sent)
    except TypeError:  # it has no hash, or cannot be referred to weakly
        return True
    return True


def _captured(sent: Callable[..., Any] | Cell) -> Mapping[str, Any]:
    if isinstance(sent, Cell):
        return dict(sent.namespace)
    try:
        found = inspect.getclosurevars(sent)
    except TypeError:  # some other callable
        return {}
    return {**found.globals, **found.nonlocals}
