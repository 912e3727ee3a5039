"""`celery.current_task` in an item whose task has no behaviour of its own, and in a cell.

That is the Celery task which has taken the message; so that nothing need be done for it when an
item begins, it speaks for the item that it is running: its name, its request, its retries. Outside
of items it is what Celery has made of it.
"""

from __future__ import annotations

import secrets
from functools import cached_property
from itertools import count
from typing import Any

from billiard.exceptions import WorkerLostError
from celery import Task
from celery.worker.request import Request

from nbqueue.store.broker.message import RANGE_TASK
from nbqueue.store.messages.redelivered import Delivery
from nbqueue.worker import current
from nbqueue.worker.messages import deaths

_PROCESS = secrets.token_hex(4)
_numbers = count()


class RangeRequest(Request):
    """A range message as the worker's main process has it."""

    @property
    def request_dict(self) -> Any:
        """What its process is told of it: the message's fields, and limits set from outside."""
        found = super().request_dict
        if self.app.nbqueue_pause_s is not None:
            found["nbqueue_delivery"] = self.delivery.token
        limits = self.app.nbqueue_time_limits
        if limits and self.name in limits:
            return {**found, "nbqueue_limits": limits[self.name]}
        return found

    @cached_property
    def delivery(self) -> Delivery:
        """The message as it came this time (`bootsteps.renewing`)."""
        return Delivery(self.id, f"{_PROCESS}:{next(_numbers)}")

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        """Note how a process has ended that ran the message, before it goes back to the broker."""
        exc = getattr(exc_info.exception, "exc", exc_info.exception)
        if isinstance(exc, WorkerLostError) and self.args:
            place = self.app.nbqueue_place()
            deaths.note(place, self.args[0], self.id, str(exc))
            deaths.end_lease(place, self.delivery)
        return super().on_failure(exc_info, *args, **kwargs)


class RangeTask(Task):
    """The base of the task that runs ranges."""

    Request = f"{__name__}:RangeRequest"

    @property
    def message_request(self) -> Any:
        """The request of the message."""
        return super().request

    @property
    def request(self) -> Any:
        """The request of the item that this thread is running, or else of the message."""
        return current.own_request() or super().request

    def retry(self, *args: Any, **kwargs: Any) -> Any:
        """Run the item again (`store.code.itemtask.ItemTask.retry`)."""
        return current.PLAIN.retry(*args, **kwargs)

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Report how far the item is (`store.code.itemtask.ItemTask.update_state`)."""
        current.PLAIN.update_state(*args, **kwargs)


def speak_for_items(task: RangeTask) -> None:
    """Have a task that was made by an app bear the name of the item's task, where there is one."""
    type(task).name = property(_name)


def _name(task: RangeTask) -> str:
    request = current.own_request()
    return RANGE_TASK if request is None else request.task
