"""Celery's task signals for items: with the function's name, and once an item.

Celery sends its signals a message, and with the name of its task, which for all functions by value
is the same one. Here they are sent for each item instead, and Celery's own for range messages are
kept from receivers (`take_over`). Nobody pays who has connected nothing: that is looked up once a
message.

    sender      the function's name, as text (so ``connect(sender="fit")`` works), with ``.name``,
                ``.request`` and ``.app``
    task        the task, where the function has a behaviour (``bind``, ``base``), else the sender
    task_id     the item's id (`current.item_id`)
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any

from billiard.einfo import ExceptionInfo
from celery import signals, states
from celery.exceptions import Ignore, Reject, Retry

from nbqueue.core.splitting import Range
from nbqueue.store.broker.message import RANGE_TASK, Message
from nbqueue.store.values.packing import BlobStore, unpack
from nbqueue.store.values.results import Packed
from nbqueue.worker import current
from nbqueue.worker.calling.interrupts import ItemRevoked
from nbqueue.worker.reporting.ranges import RangeRun

log = logging.getLogger("nbqueue.worker")

Function = Callable[..., Any]

_AROUND = (
    signals.task_prerun,
    signals.task_postrun,
    signals.task_success,
    signals.task_failure,
    signals.task_revoked,
)
_OF_TASKS = (*_AROUND, signals.task_retry)


class Sender(str):
    """A function by value, as whoever sends a signal: its name, and a little of a task."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The function's name."""
        return str(self)

    @property
    def request(self) -> Any:
        """The request of the running item."""
        return current.current()

    @property
    def app(self) -> Any:
        """The worker's Celery app."""
        return current.here().app


def wanted() -> bool:
    """Say whether somebody has connected to a signal that is sent around items."""
    return any(signal.receivers for signal in _AROUND)


def signalled(
    function: Function, task: Any, message: Message, run: RangeRun, blobs: BlobStore
) -> Function:
    """Give the function with signals around it."""
    sender = Sender(message.spec.task)
    told = sender if task is current.PLAIN else task

    @functools.wraps(function, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        own = current.item_id(message.spec.id, run.current)
        about = {"task_id": own, "task": told, "args": args, "kwargs": kwargs}
        signals.task_prerun.send(sender=sender, **about)
        state, value = states.SUCCESS, None
        try:
            found = function(*args, **kwargs)
            value = unpack(found, blobs) if isinstance(found, Packed) and found else found
        except BaseException as exc:
            state, value = _outcome(exc), exc
            _tell_of(exc, state, sender, own, args, kwargs)
            raise
        else:
            signals.task_success.send(sender=sender, result=value)
            return found
        finally:
            signals.task_postrun.send(sender=sender, retval=value, state=state, **about)

    return call


_OUTCOMES: tuple[tuple[type[BaseException], str], ...] = (
    (Retry, states.RETRY),
    (Reject, states.REJECTED),
    (Ignore, states.IGNORED),
    (ItemRevoked, states.REVOKED),
)


def _outcome(exc: BaseException) -> str:
    failed = str(states.FAILURE)
    return next((state for kind, state in _OUTCOMES if isinstance(exc, kind)), failed)


def _tell_of(
    exc: BaseException, state: str, sender: Sender, own: str, args: Any, kwargs: Any
) -> None:
    if state == states.FAILURE:
        signals.task_failure.send(
            sender=sender,
            task_id=own,
            exception=exc,
            args=args,
            kwargs=kwargs,
            traceback=exc.__traceback__,
            einfo=ExceptionInfo((type(exc), exc, exc.__traceback__)),
        )
    elif state == states.REVOKED:
        about = {"terminated": True, "signum": None, "expired": False}
        signals.task_revoked.send(sender=sender, request=sender.request, **about)


def hears_of_retries() -> bool:
    """Say whether anybody has connected ``task_retry``."""
    return bool(signals.task_retry.receivers)


def retried(name: str, reason: Any, einfo: Any) -> None:
    """Tell that the running item is to have another attempt."""
    if signals.task_retry.receivers:
        sender = Sender(name)
        signals.task_retry.send(sender=sender, request=sender.request, reason=reason, einfo=einfo)


def revoked(message: Message, runs: Sequence[Range], *, expired: bool) -> None:
    """Tell that items of a message are not going to run: cancelled, or too late."""
    if not signals.task_revoked.receivers:
        return
    sender = Sender(message.spec.task)
    for start, stop in runs:
        for item in range(start, stop):
            request = current.request_of(message, item)
            about = {"terminated": False, "signum": None, "expired": expired}
            signals.task_revoked.send(sender=sender, request=request, **about)


def take_over() -> None:
    """Keep from receivers what Celery sends of range messages: it is sent of their items.

    One is passed on with the function's name: that a message was revoked by its id, or killed, is
    known to nobody else.
    """
    for signal in _OF_TASKS:
        choose = getattr(signal, "_live_receivers", None)
        # Celery has no public way to leave one sender out. Without this, both are sent.
        if choose is None:
            log.warning("Celery's signal %s has changed: it is sent for messages too", signal.name)
        elif not hasattr(choose, "nbqueue"):
            signal._live_receivers = _without_messages(signal, choose)


def _without_messages(signal: Any, choose: Callable[[Any], list[Any]]) -> Callable[..., list[Any]]:
    pass_on = [_of_message] if signal is signals.task_revoked else []

    def receivers_for(sender: Any) -> list[Any]:
        return pass_on if getattr(sender, "name", None) == RANGE_TASK else choose(sender)

    receivers_for.nbqueue = True  # type: ignore[attr-defined]  # a mark
    return receivers_for


def _of_message(signal: Any, sender: Any, request: Any = None, **about: Any) -> None:
    named = Sender(getattr(request, "shadow", None) or sender.name)
    if named != RANGE_TASK:
        signal.send(sender=named, request=request, **about)
