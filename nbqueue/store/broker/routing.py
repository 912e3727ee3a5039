"""Where a job's messages go: Celery's queues, exchanges and routes.

What is decided here is Celery's to decide: its router is asked (``app.amqp.router``), and what its
``send_task_message`` then makes of the answer is made here. A by-value task is routed by its own
name, though all of them travel as one Celery task.

Clients and workers may be given the same settings (`SETTINGS`), as a Celery configuration has them.
Only clients need routes; both need the queues that differ from what Celery makes of a mere name
(topic exchanges, arguments).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from celery import Celery
from celery.exceptions import QueueNotFound
from celery.utils.imports import import_from_cwd

from nbqueue.core.errors import UsageError

log = logging.getLogger("nbqueue.store")

SETTINGS = (
    "task_queues",
    "task_routes",
    "task_default_queue",
    "task_default_queue_type",
    "task_default_exchange",
    "task_default_exchange_type",
    "task_default_routing_key",
    "task_create_missing_queues",
    "task_queue_max_priority",
    "timezone",
    "enable_utc",
    "broker_transport_options",
    "result_expires",
    "task_send_sent_event",
)
"""Celery's settings that are heeded; the others are nbqueue's own affair."""

ROUTES = frozenset(name for name in SETTINGS if name.startswith("task_") and "event" not in name)
"""Those that say where messages go."""

MAX_PRIORITY = 10
"""``x-max-priority`` of queues on RabbitMQ, where each level costs: ten is what Celery's guide
says, so that queues which a Celery project has declared that way are found as they should be."""

_PRECONDITION_FAILED = 406
_PRIORITIES = "x-max-priority"


class Destination(NamedTuple):
    """Where messages go: to a queue, or to an exchange with a routing key."""

    queue: str | None
    exchange: str | None
    routing_key: str | None
    priority: int | None


def settings_of(config: Any) -> dict[str, Any]:
    """Give the settings that are heeded out of a configuration.

    Args:
        config: A dict, a module's name, or an object with the settings as attributes.

    Raises:
        UsageError: there is no such module.
    """
    if config is None:
        return {}
    if isinstance(config, str):
        try:
            config = import_from_cwd(config)
        except ImportError as exc:
            raise UsageError(f"there is no configuration {config!r} to import: {exc}") from exc
    found = config if isinstance(config, Mapping) else vars(config)
    return {name: found[name] for name in SETTINGS if name in found}


def destination(
    app: Celery,
    task: str,
    options: Mapping[str, Any],
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Destination:
    """Ask Celery's router where a task's messages go.

    Args:
        app: Whose settings hold.
        task: The task's name.
        options: ``queue``, ``exchange``, ``routing_key`` and ``priority`` of the task or the call;
            ``None`` where they are not given.
        args: Arguments of a single call, for routers that look at them.
        kwargs: Likewise.

    Raises:
        UsageError: a route names a queue that there is not, or is no route.
    """
    given = {name: value for name, value in options.items() if value is not None}
    try:
        found = app.amqp.router.route(given, task, args, dict(kwargs or {}))
    except (QueueNotFound, KeyError) as exc:
        raise UsageError(f"task {task!r} cannot be routed: {exc}") from exc
    except (TypeError, ValueError, ImportError, AttributeError) as exc:
        raise UsageError(f"task_routes cannot be used for task {task!r}: {exc!r}") from exc
    queue: Any = found.get("queue")
    exchange, key = _name(found.get("exchange")), found.get("routing_key")
    kind = queue.exchange.type if queue is not None and queue.exchange else "direct"
    if (not exchange or not key) and kind == "direct":
        exchange = key = None
    elif exchange is None and queue is not None:
        exchange = queue.exchange.name
        key = key or queue.routing_key
    name = None if queue is None else queue.name
    if exchange and not (given.get("queue") or _is_of(queue, exchange)):
        name = None  # the exchange decides, and the queue is only Celery's default
    return Destination(name, exchange or None, key or None, found.get("priority"))


def declare(connection: Any, queue: Any) -> bool:
    """Declare a queue, with its exchange and binding; say whether it knows priorities.

    On RabbitMQ one that is there already keeps the arguments that it has: without
    ``x-max-priority`` it is used as it is.
    """
    try:
        # A channel of its own: RabbitMQ closes the one on which a declaration fails.
        with connection.channel() as channel:
            queue.bind(channel).declare()
    except connection.channel_errors as exc:
        arguments = dict(queue.queue_arguments or {})
        if getattr(exc, "reply_code", 0) != _PRECONDITION_FAILED or _PRIORITIES not in arguments:
            raise
        del arguments[_PRIORITIES]
        queue.queue_arguments = arguments
        with connection.channel() as channel:
            queue.bind(channel).declare()
    return _PRIORITIES in (queue.queue_arguments or {})


def without_priorities(queue: str) -> str:
    """Say what is the matter with a queue that knows no priorities, and what can be done."""
    return (
        f"queue {queue!r} was declared without priorities before, so RabbitMQ heeds none there: "
        f"when it is empty and its workers are stopped, delete it (rabbitmqctl delete_queue "
        f"{queue}), and it is declared with them"
    )


def _name(exchange: Any) -> str | None:
    name: str | None = getattr(exchange, "name", exchange)
    return name


def _is_of(queue: Any, exchange: str) -> bool:
    return queue is not None and _name(queue.exchange) == exchange
