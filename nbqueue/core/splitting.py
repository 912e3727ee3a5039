"""Arithmetic of ranges: which items travel together, and how a range is divided.

A *range* is ``(start, stop)``, half-open, never empty. Ranges are divided lazily: a worker
that has spent its time budget gives away what is left in halves (lazy binary splitting:
Tzannes, Caragea, Barua and Vishkin, PPoPP 2010), so that neither a chunk size nor the number
of workers needs to be known. Everything here is pure; the property tests hold it to one rule:
whatever the order of divisions, every index appears exactly once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

Range = tuple[int, int]

FIRST_SPLIT_PARTS = 8
"""Into how many ranges a job's first message divides. Each costs a message (about 1.5 ms of a
worker's main process); fewer leave workers idle for the first doublings."""


def parts_of_rest(*, whole: bool, waiting: int) -> int:
    """Say into how many ranges a rest is divided that goes back to the queue.

    Into one if other messages are ``waiting`` there: then no worker is idle that could use another
    range, and each would only take the turn of somebody's job. So a job has as many ranges in the
    queue as it takes to keep the workers busy, however long it is, and jobs take turns.
    """
    if waiting:
        return 1
    return FIRST_SPLIT_PARTS if whole else 2


def divide(start: int, stop: int, parts: int) -> list[Range]:
    """Divide a range into at most ``parts`` ranges whose sizes differ by at most one, in order."""
    count = stop - start
    parts = max(1, min(parts, count))
    edges = [start + count * k // parts for k in range(parts + 1)]
    return [(a, b) for a, b in pairwise(edges) if a < b]


def share_out(start: int, stop: int, parts: int, chunksize: int | None) -> list[Range]:
    """Divide a range, at multiples of ``chunksize`` where the caller fixed one."""
    if chunksize is None:
        return divide(start, stop, parts)
    first, last = start // chunksize, -(-stop // chunksize)
    return [
        (max(a * chunksize, start), min(b * chunksize, stop)) for a, b in divide(first, last, parts)
    ]


def runs_of(indices: Iterable[int]) -> list[Range]:
    """Join ascending indices into ranges; an index that does not ascend opens a new range."""
    runs: list[Range] = []
    start = stop = -1
    for i in indices:
        if i == stop:
            stop += 1
            continue
        if stop > start:
            runs.append((start, stop))
        start, stop = i, i + 1
    if stop > start:
        runs.append((start, stop))
    return runs


def count(runs: Iterable[Range]) -> int:
    """Count the items in some ranges."""
    return sum(b - a for a, b in runs)


def first_of(runs: Sequence[Range], n: int) -> tuple[list[Range], list[Range]]:
    """Divide ascending ranges into their first ``n`` items and the others."""
    first: list[Range] = []
    for k, (a, b) in enumerate(runs):
        if b - a > n:
            if n:
                first.append((a, a + n))
            return first, [(a + n, b), *runs[k + 1 :]]
        first.append((a, b))
        n -= b - a
    return first, []


def below(runs: Iterable[Range], stop: int) -> list[Range]:
    """Give what of some ranges comes before ``stop``."""
    return [(a, min(b, stop)) for a, b in runs if a < stop]


def indices(runs: Iterable[Range]) -> Iterator[int]:
    """Walk the items of some ranges in order."""
    for a, b in runs:
        yield from range(a, b)


def undone(start: int, stop: int, bitmap: bytes, first_byte: int) -> list[Range]:
    """List the ranges within ``[start, stop)`` whose bit is unset in a done-bitmap.

    ``bitmap`` is a slice of the whole bitmap that begins at byte ``first_byte``; bytes past its
    end count as zeros. Bit 0 is the highest bit of byte 0, as in Redis's SETBIT.
    """
    found: list[Range] = []
    at = start
    for touched in _SOME_SET.finditer(bitmap):  # most of a bitmap that is asked about is unset
        for place in range(touched.start(), touched.end()):
            first = (first_byte + place) * 8
            for i in range(max(first, at), min(first + 8, stop)):
                if bitmap[place] & (0x80 >> (i & 7)):
                    if i > at:
                        found.append((at, i))
                    at = i + 1
    if at < stop:
        found.append((at, stop))
    return found


_SOME_SET = re.compile(rb"[^\0]+")
