"""Which items of a job are lost: they have no outcome, and no message that is to run them.

On Redis a worker takes a message out of its queue with one command and notes with the next that
it holds it. If it dies in between, or if what Redis sent it never arrived (its connection was cut
while it waited, or a process that it had forked keeps its connection open), the message is
nowhere. That is found out from outside, by looking where messages can be
(`store.messages.lookout`):

- *in the queue*. A short queue is seen whole. Of a long one only the oldest messages are: those are
  taken first, so a job whose latest sign of life is older than the job of the oldest message there
  has none left in it.
- *held by a worker*, for as long as its lease lasts: an item of four hours is never taken for lost.
- *kept in the store* until it is due: a retry, an ``eta``, a limit of its task.

An item is lost if it is none of these at two looks in a row, and the job's log has not grown in
between, nor for some time before: a message that was on its way from one place to another has
arrived by then. To be wrong is harmless (an item runs twice, and is recorded once), and rare.

A message is seen by its description, which names its items from the first to the last, and by the
note of which of them it has passed on (`worker.reporting.passing`).

No I/O, no clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nbqueue.core.splitting import Range

QUIET_S = 2.0
"""How long nothing must have happened to a job. Shorter: jobs whose messages are on their way are
looked at for nothing; longer: what is lost comes back later."""

_MOST = 64
"""Most messages that a job's lost items are sent in; workers divide them further."""

_SOME_UNSET = re.compile(rb"\x00+|[^\x00\xff]")


@dataclass(frozen=True)
class Sight:
    """What one look saw of a job."""

    last: str
    """Its latest record."""
    missing: tuple[Range, ...]
    """Items without an outcome that no message is about, ascending."""


def lost(before: Sight | None, now: Sight) -> tuple[Range, ...]:
    """Give the items that are lost, by two looks in a row.

    >>> lost(Sight("5-0", ((0, 4),)), Sight("5-0", ((2, 9),)))
    ((2, 4),)
    >>> lost(Sight("5-0", ((0, 4),)), Sight("6-0", ((2, 9),)))
    ()
    """
    if before is None or before.last != now.last:
        return ()
    return tuple(without(now.missing, without(now.missing, before.missing)))


def is_quiet(now: float, happened: float) -> bool:
    """Say whether nothing has happened to a job for long enough."""
    return now - happened >= QUIET_S


def is_behind(happened: float, oldest: Iterable[float]) -> bool:
    """Say whether a long queue cannot hold a message of a job any more.

    ``happened``: the job's latest sign of life. ``oldest``: when the jobs were submitted whose
    messages are the next ones to be taken, one for each list that the queue consists of.
    """
    return all(submitted > happened + QUIET_S for submitted in oldest)


def open_items(n: int, bitmap: bytes) -> list[Range]:
    """List the items below ``n`` whose bit is unset in a done-bitmap; bytes past its end are zeros.

    >>> open_items(20, bytes([0b11101111, 0xFF]))
    [(3, 4), (16, 20)]
    """
    found: list[Range] = []

    def add(a: int, b: int) -> None:
        if found and found[-1][1] == a:
            a = found.pop()[0]
        if a < b:
            found.append((a, b))

    for some in _SOME_UNSET.finditer(bitmap):
        at = some.start() * 8
        if bitmap[some.start()] == 0:
            add(at, min(some.end() * 8, n))
            continue
        for i in range(8):
            if not bitmap[some.start()] & (0x80 >> i) and at + i < n:
                add(at + i, at + i + 1)
    add(min(len(bitmap) * 8, n), n)
    return found


def without(runs: Sequence[Range], others: Iterable[Range]) -> list[Range]:
    """Take some items out of ascending ranges.

    >>> without([(0, 10), (20, 30)], [(25, 40), (3, 5)])
    [(0, 3), (5, 10), (20, 25)]
    """
    found: list[Range] = []
    cuts = sorted(others)
    first = 0
    for a, b in runs:
        while first < len(cuts) and cuts[first][1] <= a:
            first += 1
        for start, stop in cuts[first:]:
            if start >= b:
                break
            if a < start:
                found.append((a, start))
            a = max(a, stop)
        if a < b:
            found.append((a, b))
    return found


def spans(items: Sequence[Range], others: Iterable[Range]) -> list[Range]:
    """Give the messages, from item to item, that lost items are to be sent in.

    Between lost items a message may name any that have an outcome (its receiver looks), but none of
    ``others``, which are somebody else's; unless there would be too many messages.

    >>> spans([(0, 2), (5, 6), (9, 10)], [(7, 8)])
    [(0, 6), (9, 10)]
    """
    theirs = sorted(others)
    found: list[Range] = []
    for a, b in items:
        if found and not any(start < a and found[-1][1] < stop for start, stop in theirs):
            found[-1] = (found[-1][0], b)
        else:
            found.append((a, b))
    size = -(-len(found) // _MOST)
    return [
        (found[k][0], found[min(k + size, len(found)) - 1][1])
        for k in range(0, len(found), size or 1)
    ]
