"""`Job.cancel`: what is recorded as cancelled, and what of it is ended although it runs."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING

from nbqueue.client.remote import control
from nbqueue.core.errors import UsageError

if TYPE_CHECKING:
    from nbqueue.client.job import Job


def cancel(job: Job, terminate: bool, items: int | Iterable[int] | None) -> int:
    """Cancel a job, or some of its items; give how many items that were.

    It is recorded first: what ends without being recorded as cancelled would be run again.
    """
    live = job._live
    if items is None:
        running = {record.message_id for record in live.state.running.values()}
        count = live.cancel()
        if terminate:
            control.terminate(live.client, job.id, running)
        return count
    wanted = {job._index(i) for i in _numbers(items)}
    count = live.cancel_items(wanted)
    if terminate:  # also what was cancelled before, and runs on
        control.end(live.client, job.id, wanted)
    return count


def _numbers(items: int | Iterable[int]) -> list[int]:
    try:
        given = items if isinstance(items, Iterable) else [items]
        return [operator.index(i) for i in given]
    except TypeError:
        raise UsageError(f"items takes the number of an item or several, not {items!r}") from None
