"""Parts of the sentences that say what an item waits for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

from nbqueue.client.remote.survey import Worker
from nbqueue.core.spans import span
from nbqueue.store.messages.peeking import Spot

NAMED = 3
"""Workers, or things that run, that a sentence names. More: nobody reads it."""


def place(spot: Spot) -> str:
    """Give a message's place in its queue, to follow the queue's name."""
    if not spot.ahead:
        return ", first"
    named = ", ".join(f"{name} ×{k}" if k > 1 else name for name, k in spot.before[:NAMED])
    least = "" if spot.sure else "more than "
    return f" behind {least}{many(spot.ahead, 'message')} ({named})"


def busy(workers: Sequence[Worker]) -> str:
    """Give what workers are at that have no process to spare."""
    processes = sum(worker.processes for worker in workers)
    running = [(each.label, each.for_s) for worker in workers for each in worker.running]
    running.sort(key=lambda pair: -pair[1])
    named = ", ".join(f"{label} for {span(for_s)}" for label, for_s in running[:NAMED])
    more = f" and {len(running) - NAMED} more" if len(running) > NAMED else ""
    who = "the only process is" if processes == 1 else f"all {processes} processes are"
    where = workers[0].name if len(workers) == 1 else f"{len(workers)} workers"
    return f"{who} busy ({where}: {named}{more})"


def rate(per_s: float) -> str:
    """Give a rate as Celery writes it.

    >>> [rate(n) for n in (10.0, 0.5, 1 / 60, 1 / 3600)]
    ['10/s', '30/m', '1/m', '1/h']
    """
    for unit, length_s in (("s", 1), ("m", 60)):
        if per_s * length_s >= 1 - 1e-9:
            return f"{per_s * length_s:g}/{unit}"
    return f"{per_s * 3600:g}/h"


def moment(at: float) -> str:
    """Give a moment in local time."""
    return f"{datetime.fromtimestamp(at, timezone.utc).astimezone():%Y-%m-%d %H:%M:%S}"


def some(names: Sequence[str]) -> str:
    """Give the first of some names."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def many(count: int, word: str) -> str:
    """Give a count with its word: ``1 job``, ``2 jobs``."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"
