"""How large a job may be, so that an iterable without an end does not fill the store.

A job is sent when all of its arguments are in the store, never in part; so what reads an iterable
has to be told where to stop. What is known to be too large beforehand is refused before anything is
read. The limits are those of the process that reads: a client's, or a worker's where a workflow
fans out over a result.
"""

from __future__ import annotations

import operator
import os
import reprlib
from collections.abc import Iterable, Iterator
from itertools import count, repeat
from math import inf, prod
from typing import Any, TypeVar, cast

from nbqueue.core.errors import JobTooLarge, UsageError
from nbqueue.core.settings import JOB_BYTES, JOB_ITEMS

ITEMS = "NBQUEUE_MAX_ITEMS"
BYTES = "NBQUEUE_MAX_ARGUMENT_BYTES"

T = TypeVar("T")

_SIZED = frozenset({list, tuple, dict, set, frozenset, str, bytes, bytearray})

_ADVICE = (
    "A task's imap() runs what does not fit into one job, also what does not end, in bounded "
    "memory; for a larger job, set"
)


class Bounds:
    """The limits of one job, and how much of them is used."""

    def __init__(self) -> None:
        self._most_items = _limit(ITEMS, JOB_ITEMS)
        self._most_bytes = _limit(BYTES, JOB_BYTES)
        self._items = self._bytes = 0

    def check_ahead(self, *iterables: Any) -> None:
        """Refuse what is known to give too much when read side by side, before it is read.

        Raises:
            JobTooLarge: it does.
        """
        sizes = [_size(iterable) for iterable in iterables]
        known = [size for size in sizes if size is not None]
        if len(known) < len(sizes) or min(known, default=0) <= self._most_items:
            return
        shortest = min(known)
        named = reprlib.repr(iterables[known.index(shortest)])
        what = f"{named} never ends" if shortest == inf else f"{named} has {shortest:,} items"
        raise JobTooLarge(
            f"{what}, and a job may have {self._most_items:,} items; nothing was sent. {_ADVICE} "
            f"${ITEMS}"
        )

    def check_product(self, *iterables: Any) -> None:
        """Refuse iterables whose combinations are known to be too many, before they are read.

        Raises:
            JobTooLarge: they are, or one of them alone gives more than a job may have.
        """
        for iterable in iterables:
            self.check_ahead(iterable)
        sizes = [_size(iterable) for iterable in iterables]
        known = [size for size in sizes if size is not None]
        if len(known) == len(sizes) and prod(known) > self._most_items:
            raise JobTooLarge(
                f"{' × '.join(f'{size:,}' for size in known)} combinations are {prod(known):,} "
                f"items, and a job may have {self._most_items:,}; nothing was sent. {_ADVICE} "
                f"${ITEMS}"
            )

    def add(self, items: int, packed_bytes: int) -> None:
        """Count arguments that are about to be stored.

        Raises:
            JobTooLarge: they would be too many, or too large, with those before.
        """
        self._items += items
        self._bytes += packed_bytes
        if self._items > self._most_items:
            raise JobTooLarge(
                f"{self._items:,} items were read and there may be more, and a job may have "
                f"{self._most_items:,}; nothing was sent. Does what was mapped over end? {_ADVICE} "
                f"${ITEMS}"
            )
        if self._bytes > self._most_bytes:
            raise JobTooLarge(
                f"the arguments of the first {self._items:,} items are {self._bytes:,} bytes, and "
                f"those of a job may be {self._most_bytes:,}; nothing was sent. Pass what they are "
                f"made from (a path, a URL, a seed), or what they share once (nq.put). {_ADVICE} "
                f"${BYTES}"
            )


def check_ahead(*iterables: Any) -> None:
    """Refuse what is known to give more than a job may have, before it is read.

    Raises:
        JobTooLarge: it does.
    """
    Bounds().check_ahead(*iterables)


def within(iterable: Iterable[T]) -> Iterator[T]:
    """Give the elements of an iterable that has to be in memory as a whole.

    Raises:
        JobTooLarge: they are more than a job may have.
    """
    bounds = Bounds()
    for element in iterable:
        bounds.add(1, 0)
        yield element


def _limit(name: str, default: int) -> int:
    said = os.environ.get(name)
    if not said:
        return default
    if not said.isdecimal() or int(said) < 1:
        raise UsageError(f"${name} is {said!r}: give a whole number, 1 or more")
    return int(said)


def _size(iterable: Iterable[Any]) -> float | None:
    """Say how many elements there are to come, as far as that is known without reading them."""
    if isinstance(iterable, count):
        return inf
    if isinstance(iterable, repeat):
        left = operator.length_hint(iterable, -1)
        return inf if left < 0 else left
    if isinstance(iterable, range):  # len() of a long one raises OverflowError
        return max(0, -((iterable.start - iterable.stop) // iterable.step))
    # By their very types: a frame's length is not how many elements it gives, and Celery's `regen`
    # is a list that reads all of a generator to know its length.
    return len(cast("Any", iterable)) if type(iterable) in _SIZED else None
