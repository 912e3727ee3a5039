"""What an item asks for by raising one of Celery's own exceptions, instead of failing.

Retry    run again later, or with other arguments: put off (`again`)
Ignore   the item ends without a result: SUCCESS with ``None``, or FAILURE if it has given
         itself that state by ``update_state``; Celery would leave it in no state for ever
Reject   the item fails with it; with ``requeue=True`` it goes back to its queue
"""

from __future__ import annotations

import time
from typing import Any

from celery.exceptions import Ignore, Reject, Retry, TaskPredicate

from nbqueue.core import states
from nbqueue.core.errors import NbqueueError, UsageError
from nbqueue.core.records import Error
from nbqueue.store.broker.message import Attempt, Message
from nbqueue.store.code import retries
from nbqueue.store.code.retries import Again
from nbqueue.store.values import arguments
from nbqueue.worker import current
from nbqueue.worker.process.workplace import Workplace
from nbqueue.worker.reporting.again import PutOff
from nbqueue.worker.reporting.failures import describe
from nbqueue.worker.reporting.ranges import RangeRun
from nbqueue.worker.reporting.reporter import Reporter


def heed(
    place: Workplace,
    message: Message,
    run: RangeRun,
    reporter: Reporter,
    begun: float,
    exc: TaskPredicate,
    hide: str,
) -> int:
    """Do what the running item asks for, and take the next one."""
    item, ended = run.current, time.perf_counter()
    if isinstance(exc, Ignore):
        state, meta = current.said()
        if state == states.FAILURE:
            return run.failed(item, begun, ended, _own_words(exc, meta))
        return run.succeeded(item, begun, ended, None)
    if isinstance(exc, Reject) and not exc.requeue:
        return run.failed(item, begun, ended, describe(exc, place.blobs, hide=hide))
    try:
        call = _changed_call(place, message, exc)
    except NbqueueError as broken:  # the new arguments cannot travel
        return run.failed(item, begun, ended, describe(broken, place.blobs))
    due = retries.due(exc, place.now()) if isinstance(exc, Retry) else place.now()
    why = reason_of(exc)
    attempt = Attempt(item, run.retried.get(item, 0) + 1, call)
    reporter.printed(item, "stderr", said_of(attempt, None, why, due - place.now()))
    reporter.put_off(PutOff(attempt, due, describe(why, place.blobs, hide=hide)))
    return run.put_off()


def said_of(attempt: Attempt, most: int | None, why: BaseException, in_s: float) -> str:
    """Say in a line of the item's output that an attempt has ended and another comes."""
    of = "" if most is None else f" of {most + 1}"
    when = "" if in_s <= 0 else f" in {in_s:.3g} s"
    if isinstance(why, Retry):
        ended = "asked for another"
    else:
        ended = f"ended in {type(why).__name__}{f': {why}' if str(why) else ''}"
    return f"[nbqueue: attempt {attempt.retries}{of} {ended}; trying again{when}]\n"


def reason_of(exc: BaseException) -> BaseException:
    """Give why an item is to run again: the exception that it gave, or else that it asked."""
    if isinstance(exc, Again):
        return exc.reason or Retry(str(exc))
    return exc


def _changed_call(place: Workplace, message: Message, exc: TaskPredicate) -> bytes:
    if not isinstance(exc, Again) or not exc.changes_call:
        return _known_call(message, current.current())
    if message.stage is not None and message.stage.takes is not None:
        raise UsageError(
            "a step of a workflow that takes what came before is retried with the arguments it has"
        )
    request: Any = current.current()
    args = request.args if exc.new_args is None else exc.new_args
    kwargs = request.kwargs if exc.new_kwargs is None else exc.new_kwargs
    return arguments.pack_call(tuple(args), dict(kwargs), place.blobs, message.spec.params)


def _known_call(message: Message, request: Any) -> bytes:
    """Give the arguments that an earlier retry has changed, for the next."""
    if not message.again:
        return b""
    return next((a.call for a in message.again if a.item == request.item), b"")


def _own_words(exc: Ignore, meta: Any) -> Error:
    """Give a failure in the words of who has called it one, by Celery's names for them."""
    name = str(meta.get("exc_type") or type(exc).__name__)
    text = meta.get("exc_message", meta)
    if isinstance(text, (tuple, list)):
        text = ", ".join(map(str, text))
    return Error(name, str(text), "")
