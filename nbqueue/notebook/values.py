"""The user's values in a picture: as far as this process has them, in few characters.

Packed arguments and results come in, texts go out. What would have to be fetched from the store
(blobs), or cannot be unpickled here, is told as such.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

from nbqueue.client import expansion
from nbqueue.notebook.brief import brief, cut
from nbqueue.store.values import arguments
from nbqueue.store.values.arguments import Block
from nbqueue.store.values.results import Column


class _NoBlobs:
    """A blob store without blobs: what would need one is not shown."""

    def put(self, value: bytes | memoryview) -> str:
        raise LookupError("a picture stores nothing")

    def get(self, address: str) -> memoryview:
        raise LookupError("a picture does not fetch large values")


_NO_BLOBS = _NoBlobs()


@lru_cache(maxsize=8)
def block(packed: bytes) -> Block | None:
    """Read an argument block; ``None`` when that needs a blob, or a class that is missing."""
    try:
        return arguments.read(packed, _NO_BLOBS)
    except Exception:  # unpickling is the user's code
        return None


@lru_cache(maxsize=8)
def _column(results: bytes) -> Column:
    return Column(results, _NO_BLOBS)


_FIELDS = 12
"""Most columns that results take."""

_UNKNOWN = object()
"""Stands for a value that this process would have to fetch."""


def result(results: bytes, place: int) -> Any:
    """Give one result out of a packed column of them, or what `outcome` shows in its place."""
    try:
        return _column(results)[place]
    except Exception:  # a blob, or the user's code
        return _UNKNOWN


def fields(results: Sequence[Any]) -> tuple[str, ...]:
    """Give the columns of results that hold things by name, as a DataFrame would have them."""
    held = [expansion.fields(value) for value in results if value is not None]
    if any(each is None for each in held):
        return ()
    return tuple(islice(dict.fromkeys(name for each in held for name in each or ()), _FIELDS))


def outcome(names: Sequence[str], value: Any) -> list[str]:
    """Give the cells of a result: one for each of its `fields`, or one for all of it."""
    if not names:
        return ["" if value is None else _shown(value)]
    row = (None if value is None else expansion.fields(value)) or {}
    return [_shown(row[name]) if name in row else "" for name in names]


def _shown(value: Any) -> str:
    if value is _UNKNOWN:
        return "(large)"
    return cut(value, 60) if isinstance(value, str) else brief(value)


def bound(params: Sequence[str], found: tuple[tuple[Any, ...], dict[str, Any]] | None) -> list[str]:
    """Give the cells of the parameters: defaults are left blank."""
    args, kwargs = found or ((), {})
    named = dict(zip(params, args, strict=False)) | kwargs
    return [_shown(named[name]) if name in named else "" for name in params]
