"""Where and when a job goes, by its task's options: the `Route` and the moments in its spec."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nbqueue.core.records import Route
from nbqueue.store.broker import routing

if TYPE_CHECKING:
    from nbqueue.client.client import Client
    from nbqueue.client.options import TaskOptions


def route(
    client: Client,
    task: str,
    options: TaskOptions,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Route:
    """Give a job's route.

    Raises:
        UsageError: the client's ``task_routes`` lead nowhere.
    """
    eta = _eta(client, options)
    if not client.routed and options.exchange is None and options.routing_key is None:
        return Route(options.queue, options.priority, eta)
    given = {
        "queue": options.queue,
        "exchange": options.exchange,
        "routing_key": options.routing_key,
        "priority": options.priority,
    }
    to = routing.destination(client.app, task, given, args, kwargs)
    if to.exchange is not None:
        queue = client.publisher.queue_behind(to.exchange, to.routing_key)
        if queue is not None:
            return Route(queue, to.priority, eta)
    return Route(to.queue, to.priority, eta, to.exchange, to.routing_key)


def expires(client: Client, options: TaskOptions) -> float | None:
    """Give the moment after which no item is begun."""
    if options.expires is None:
        return None
    if isinstance(options.expires, datetime):
        return client.timestamp(options.expires)
    return client.now() + options.expires


def _eta(client: Client, options: TaskOptions) -> float | None:
    if options.countdown is not None:
        return client.now() + options.countdown
    return None if options.eta is None else client.timestamp(options.eta)
