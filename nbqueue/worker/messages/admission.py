"""Whether a message may be worked on now: its job's expiry, its task's slots and rate.

Asked once a message, before any item of it is begun, and only where its job has such a limit:

    expired        what is left of it is revoked, with the reason
    no slot        it is kept in the store (`store.messages.turns`), and called when there is one
    some tokens    so many items are run; the others are kept until there are tokens again
    else           it is run

A process is never held by a message that has to wait: it takes the next one of the queue, another
job's, and any worker has this one later.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import redis

from nbqueue.core.records import Cancelled
from nbqueue.core.splitting import Range, count, first_of
from nbqueue.store.broker.message import ADMITTED, WAITED, Message
from nbqueue.worker.calling import signalling
from nbqueue.worker.process.workplace import Workplace

log = logging.getLogger("nbqueue.worker")


@dataclass(frozen=True)
class Admission:
    """What may be run of a message."""

    place: Workplace
    message: Message
    """The message, with no more items than may be run."""
    runs: list[Range]
    holder: str = ""
    """Who holds a slot of the task; empty when there is none to hold."""

    def leave(self) -> None:
        """Give back the slot."""
        if self.holder:
            try:
                self.place.turns.give_slot(self.message.spec.task, self.holder)
            except redis.RedisError as exc:
                log.warning("a slot cannot be given back (%s); it comes back by itself", exc)


def admit(
    place: Workplace, message: Message, message_id: str, runs: Sequence[Range]
) -> Admission | None:
    """Say what of a message may be run now; ``None`` when nothing of it is left to run here.

    Raises:
        redis.RedisError: the store is away; nothing is lost if the message goes back to the broker.
    """
    if has_expired(place, message):
        revoke(place, message, runs)
        pass_turn(place, message)
        return None
    limits, task = message.spec.limits, message.spec.task
    holder = ""
    if limits.concurrency is not None:
        envelope = place.later.envelope(replace(message, turn=message.turn or WAITED))
        if not place.turns.take_slot(
            task, limits.concurrency, message.spec.submitted, message_id, envelope
        ):
            return None
        holder = message_id
    granted, mine = _paced(place, message, runs)
    if mine:
        return Admission(place, granted, mine, holder)
    Admission(place, message, [], holder).leave()
    return None


def has_expired(place: Workplace, message: Message) -> bool:
    """Say whether a message's items must not be begun any more (items that are retried may be)."""
    expires = message.spec.limits.expires
    return expires is not None and message.round == 1 and place.now() >= expires


def revoke(place: Workplace, message: Message, runs: Sequence[Range]) -> None:
    """Record that items were not begun in time."""
    if not runs:
        return
    expires = message.spec.limits.expires or 0.0
    moment = dt.datetime.fromtimestamp(expires, dt.timezone.utc)
    signalling.revoked(message, runs, expired=True)
    reason = f"expired: not begun by {moment:%Y-%m-%d %H:%M:%S} UTC"
    place.joblog.open(message.opening)  # which its client may not have come to yet
    record = Cancelled(place.now(), tuple(runs), message.round, reason)
    place.joblog.cancel(message.spec.id, record)
    place.sequels.release()


def pass_turn(place: Workplace, message: Message) -> None:
    """Call the next one, where a message was called to a slot and does not want it any more."""
    if message.turn and message.spec.limits.concurrency is not None:
        place.turns.give_slot(message.spec.task)


def _paced(
    place: Workplace, message: Message, runs: Sequence[Range]
) -> tuple[Message, list[Range]]:
    """Give the part of a message that the task's rate allows, and keep the other."""
    task, limits = message.spec.task, message.spec.limits
    rate = limits.rate_limit
    if rate is None and place.tally.rates_are_set:
        rate = place.rate_from_outside(task)
    if rate is None:
        return replace(message, turn=""), list(runs)
    if message.turn == ADMITTED:
        return message, list(runs)
    grant = place.turns.take_tokens(
        task, rate, message.spec.submitted, count(runs), waited=message.turn == WAITED
    )
    mine, rest = first_of(runs, grant.n)
    if rest:
        due = grant.due if grant.due is not None else place.now()
        due = due if limits.expires is None else min(due, limits.expires)
        kept = replace(_cut(message, rest), turn=WAITED)
        place.turns.paced(task, place.later.keep(kept, due), due, now=place.now())
    if not mine:
        return message, []
    # What may run divides at once, as a job's first message does: it is due now, all of it.
    return replace(_cut(message, mine), whole=True, turn=ADMITTED), mine


def _cut(message: Message, runs: Sequence[Range]) -> Message:
    if message.again:
        return message.among(runs)
    check = message.check or len(runs) > 1
    return replace(message, start=runs[0][0], stop=runs[-1][1], whole=False, check=check)
