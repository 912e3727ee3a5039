"""Cancelling: what is recorded as cancelled, and what of it is ended although it runs."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING

from nbqueue.client.remote import control
from nbqueue.client.saying import say
from nbqueue.core import states
from nbqueue.core.errors import UsageError
from nbqueue.core.records import Cancelled
from nbqueue.core.splitting import runs_of

if TYPE_CHECKING:
    from nbqueue.client.job import Job
    from nbqueue.client.live import Live


def cancel(job: Job, terminate: bool, items: int | Iterable[int] | None) -> int:
    """Cancel a job, or some of its items, for a person; give how many items that were.

    It is recorded first: what ends without being recorded as cancelled would be run again.
    """
    live = job._live
    wanted = None if items is None else {job._index(i) for i in _numbers(items)}
    running, messages = list(live.state.running), _messages(live)
    count = everything(live) if wanted is None else some(live, wanted)
    if not terminate:
        revoked = (live.state.states[i] == states.REVOKED_CODE for i in running)
        _say_what_runs_on(live, sum(revoked))
    elif wanted is None:
        control.terminate(live.client, job.id, messages)
    else:  # also what was cancelled before, and runs on
        control.end(live.client, job.id, wanted)
    return count


def end_all(live: Live) -> None:
    """End what runs of a job that nobody wants the results of."""
    control.terminate(live.client, live.id, _messages(live))


def everything(live: Live) -> int:
    """Revoke everything that has no outcome; say how much that was."""
    live.client.follower.open_now(live.id)
    return _record(live, Cancelled(at=live.client.now()))


def some(live: Live, items: Iterable[int]) -> int:
    """Revoke those of some items that have no outcome; say how many those were."""
    live.client.follower.open_now(live.id)
    rounds: dict[int, list[int]] = {}
    for i in sorted(set(items)):
        rounds.setdefault(live.state.round[i], []).append(i)
    at = live.client.now()
    return sum(
        _record(live, Cancelled(at, tuple(runs_of(found)), round_))
        for round_, found in rounds.items()
    )


def _say_what_runs_on(live: Live, count: int) -> None:
    if count:
        runs = "1 item" if count == 1 else f"{count:,} items"
        does, it = ("runs to its", "it") if count == 1 else ("run to their", "them")
        say(
            f"{runs} of job {live.name!r} {does} end; cancelling with terminate=True "
            f"(--terminate) ends {it}"
        )


def _messages(live: Live) -> set[str]:
    return {record.message_id for record in live.state.running.values()}


def _record(live: Live, record: Cancelled) -> int:
    count = live.client.joblog.cancel(live.id, record)
    live.client.follower.catch_up(live)
    if live.finished:
        live.client.sequels.release()
    return count


def _numbers(items: int | Iterable[int]) -> list[int]:
    try:
        given = items if isinstance(items, Iterable) else [items]
        return [operator.index(i) for i in given]
    except TypeError:
        raise UsageError(f"items takes the number of an item or several, not {items!r}") from None
