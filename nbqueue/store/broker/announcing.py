"""Telling of a message that is published: Celery's signals, and its event ``task-sent``.

As Celery does it for its own tasks, with the function's name in the place of the task's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from celery import Celery
from celery.signals import after_task_publish, before_task_publish
from kombu.messaging import Producer


class Address(NamedTuple):
    """A queue, or an exchange and the key to route by (then the queue may be unknown)."""

    queue: str | None
    priority: int | None = None
    exchange: str | None = None
    routing_key: str | None = None


def wanted() -> bool:
    """Say whether somebody has connected to one of the signals."""
    return bool(before_task_publish.receivers or after_task_publish.receivers)


@contextmanager
def announced(
    name: str, headers: dict[str, Any], body: tuple[Any, ...], to: Address
) -> Iterator[None]:
    """Send the signals around a publish; receivers of the first may add to the headers."""
    about = {"sender": name, "body": body, "headers": headers, **_where(to)}
    more = {"declare": [], "retry_policy": {}, "properties": {"priority": to.priority}}
    before_task_publish.send(**about, **more)
    yield
    after_task_publish.send(**about)


def send_event(app: Celery, producer: Producer, headers: dict[str, Any], to: Address) -> None:
    """Send the event, over the connection that the message took."""
    fields = {
        "uuid": headers["id"],
        "root_id": headers["root_id"],
        "name": headers["shadow"],
        "args": headers["argsrepr"],
        "kwargs": "{}",
        "retries": 0,
        "queue": to.queue,
        **_where(to),
    }
    app.events.Dispatcher(enabled=False).publish("task-sent", fields, producer)


def _where(to: Address) -> dict[str, str | None]:
    key = to.routing_key if to.exchange else to.queue
    return {"exchange": to.exchange or "", "routing_key": key}
