"""A range message from its arrival to its acknowledgement.

    verify → (consult the done-bitmap) → load function and arguments → run items, each with its own
    ``try`` → commit outcomes → give away what the time budget left over → acknowledge

An item's failure is an outcome. Whatever else goes wrong is turned into an outcome too, of all
items that the message still had: a client must never wait for something that nobody is going to do.
Only the death of this process leaves a message without outcomes, and then the broker delivers it
again.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import redis

from nbqueue.core.description import described
from nbqueue.core.errors import BrokerUnreachable, NbqueueError
from nbqueue.core.records import NO_LIMITS
from nbqueue.core.splitting import Range, indices, runs_of
from nbqueue.store.broker.message import Message, Unverified, decode
from nbqueue.store.messages.redelivered import Delivery
from nbqueue.worker.calling import signalling
from nbqueue.worker.execution import Execution
from nbqueue.worker.messages import admission, refusing
from nbqueue.worker.process.workplace import Workplace
from nbqueue.worker.reporting import passing
from nbqueue.worker.reporting.failures import describe
from nbqueue.worker.reporting.ranges import RangeRun
from nbqueue.worker.reporting.reporter import Reporter

log = logging.getLogger("nbqueue.worker")

_OLD_S = 0.02
"""A message older than this has been queueing: its job may have been cancelled meanwhile. Younger
ones skip the question, which would cost a quick call a tenth of its time."""


def execute(
    place: Workplace,
    envelope: str,
    *,
    message_id: str,
    redelivered: bool,
    delivery: str = "",
    time_limits: tuple[float | None, float | None] | None = None,
    shown: object = None,
) -> None:
    """Run one message; returns when all it was responsible for is recorded or passed on.

    ``delivery``: which delivery of the message this is (`store.messages.redelivered`).
    ``time_limits``: the soft and the hard one, if they were set while the job waited. ``shown``:
    the message's description (`core.description`), for when the message itself says nothing.
    """
    try:
        message = decode(place.keyring, envelope)
    except Unverified as exc:
        refusing.refuse(place, exc, described(shown))
        return
    if time_limits is not None:
        message = message.with_time_limits(*time_limits)
    if message.came_back:
        message, redelivered = replace(message, came_back=""), True
    if redelivered and not _taken(place, message, Delivery(message_id, delivery)):
        return
    runs: list[Range] = [(message.start, message.stop)]
    limited = message.spec.limits is not NO_LIMITS or place.tally.rates_are_set
    if redelivered or limited or message.check or place.now() - message.spec.submitted > _OLD_S:
        runs = _wanted(place, message, message_id, came_again=redelivered)
        if not runs:
            return
    if not limited:
        _run(place, message, runs, message_id, careful=redelivered)
    elif admitted := admission.admit(place, message, message_id, runs):
        try:
            _run(place, admitted.message, admitted.runs, message_id, careful=redelivered)
        finally:
            admitted.leave()


def _run(
    place: Workplace, message: Message, runs: list[Range], message_id: str, *, careful: bool
) -> None:
    """Run what is left of a message."""
    run = RangeRun(runs)
    if message.again:
        run.retried.update((attempt.item, attempt.retries) for attempt in message.again)
    reporter = Reporter(place, message, message_id, run)
    execution = Execution(place, message, run, reporter, careful=careful)
    try:
        execution.perform()
    except (redis.RedisError, BrokerUnreachable):
        raise  # they are away: the caller gives the message back to the broker
    except Exception as exc:
        # The function cannot be loaded, or this file is wrong: either way somebody is waiting.
        if not isinstance(exc, NbqueueError):
            log.exception("job %s: the executor failed", message.spec.name)
        reporter.fail_all(run.abandon(), describe(exc, place.blobs))
    reporter.flush_patiently()
    if execution.passed_on:
        passing.take_back(place, message, message_id)


def _taken(place: Workplace, message: Message, delivery: Delivery) -> bool:
    """Say whether a message that came again may be run: whoever had it does so no more."""
    if place.redelivered is None or place.redelivered.take(message, delivery):
        return True
    log.info("job %s: a message came again that is still being run", message.spec.name)
    return False


def _wanted(
    place: Workplace, message: Message, message_id: str, *, came_again: bool
) -> list[Range]:
    """Give what there is to run of a message; when that is nothing, it is over."""
    cancelled, runs = _left_of(place, message)
    if runs and (came_again or passing.is_looked_up(place)):
        runs = passing.own(place, message, message_id, runs)
    if came_again or message.check:
        runs = _its_own(place, message, runs)
    if cancelled:
        signalling.revoked(message, [(message.start, message.stop)], expired=False)
    if not cancelled and runs:
        return runs
    admission.pass_turn(place, message)
    if came_again:  # who recorded the last of it may have died before it began what waits
        place.sequels.release()
    return []


def _left_of(place: Workplace, message: Message) -> tuple[bool, list[Range]]:
    """Say whether a message's items are wanted no longer, and which of them are not recorded."""
    cancelled, runs = place.joblog.pending(
        message.spec.id, message.round, message.start, message.stop
    )
    if cancelled is None:
        return refusing.is_of_the_past(place, message), runs  # else it is not open yet
    if cancelled:
        log.info("job %s was cancelled or forgotten: nothing is run", message.spec.name)
    return cancelled, runs


def _its_own(place: Workplace, message: Message, runs: list[Range]) -> list[Range]:
    """Leave the items that this message is to run: not those whose next attempt another will."""
    retried = {attempt.item: attempt.retries for attempt in message.again}
    if message.again:
        runs = runs_of(i for i in indices(runs) if i in retried)
    return place.joblog.unretried(message.spec.id, message.round, runs, retried) if runs else runs
