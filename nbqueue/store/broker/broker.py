"""The broker: one Celery app's configuration, and what its errors mean.

Clients and workers configure Celery alike, here. Everything that travels, and how, is Celery's and
kombu's; `transport` says what is different on Redis, and `publisher` sends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import redis
from celery import Celery

from nbqueue.core.errors import (
    BrokerUnreachable,
    NbqueueError,
    UsageError,
)
from nbqueue.core.redaction import redact
from nbqueue.core.settings import CONNECT_TIMEOUT_S
from nbqueue.store.broker import brokers, routing, transport
from nbqueue.store.connection import keepalive, refusals, tls

DEFAULT_QUEUE = "celery"

_CONFIG: dict[str, Any] = {
    "accept_content": ["json"],
    "task_serializer": "json",
    # A range comes back when whatever ran it dies before the range is committed.
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "task_ignore_result": True,
    # One range a process and none in reserve: what waits behind a slow item could run elsewhere.
    "worker_prefetch_multiplier": 1,
    "worker_send_task_events": False,
    "worker_enable_remote_control": True,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "broker_connection_retry_on_startup": True,
    # A worker waits for its broker for as long as it takes, also for one that refuses.
    "broker_connection_max_retries": None,
    "broker_channel_error_retry": True,
    "task_default_queue": DEFAULT_QUEUE,
    "task_create_missing_queues": True,
}

_BROWSERS = ("http", "https")
"""What a URL begins with that is of a page, or of a broker's page: RabbitMQ's management, say."""

REDIS = ("redis://", "rediss://", "redis+socket://", "unix://")
"""What the URL of a broker begins with that can keep jobs, too."""

_WATCHFUL: dict[str, Any] = {
    # Without them a connection that is dead without a word (a cable, a firewall) is waited on for
    # ever by a command, and for most of a minute by a worker that listens.
    "socket_timeout": 30,
    "health_check_interval": 5,
}


def make_app(
    broker_url: str, *, name: str = "nbqueue", settings: Mapping[str, Any] | None = None
) -> Celery:
    """Make a Celery app for a broker, as clients and workers both configure it.

    ``settings`` are those of `routing.SETTINGS` that somebody has chosen.
    """
    transport.register()
    app = Celery(name, set_as_current=False)
    app.conf.update(_CONFIG, broker_url=_own_transport(broker_url))
    options = dict((settings or {}).get("broker_transport_options") or {})
    if broker_url.startswith(REDIS):
        options = {**_WATCHFUL, **keepalive.options(), **options}
    if broker_url.startswith(("amqp", "pyamqp")):
        # Without confirms a publish to a broker that is going down is lost without an error.
        options = {"confirm_publish": True, **options}
        app.conf.task_queue_max_priority = routing.MAX_PRIORITY
    secured = tls.of(broker_url)
    if secured is not None:
        told = tls.for_amqp if broker_url.startswith("amqps") else tls.for_redis
        app.conf.broker_use_ssl = told(secured)
    app.conf.broker_connection_timeout = CONNECT_TIMEOUT_S
    app.conf.update(settings or {})
    app.conf.broker_transport_options = brokers.options(broker_url, options)
    return app


def check_url(url: str) -> None:
    """See that a text is a broker's URL, as far as its beginning tells.

    Raises:
        UsageError: nothing stands before ``://``, or what a browser has there.

    >>> check_url("http://127.0.0.1")
    Traceback (most recent call last):
    ...
    nbqueue.core.errors.UsageError: ...
    """
    scheme, found, _ = url.partition("://")
    if scheme and found and scheme.lower() not in _BROWSERS:
        return
    shown = redact(url) if found else redact(f"://{url}")[3:]
    raise UsageError(
        f"{shown!r} is no broker URL: it begins with redis://, rediss://, amqp:// or another of "
        "Celery's, as redis://127.0.0.1:6379/0 does"
    )


def plain(url: str) -> str:
    """Give a broker's URL as Celery writes it; what it says of TLS is in ``broker_use_ssl``."""
    scheme, _, rest = url.partition("://")
    if scheme == "unix":
        return f"redis+socket://{rest}"
    return tls.without_options(url) if scheme in ("rediss", "amqps") else url


def is_on_this_machine(url: str) -> bool:
    """Say whether a broker is reached by a Unix socket: by no network, which can fall silent."""
    return url.startswith(("redis+socket://", "unix://"))


def _own_transport(url: str) -> str:
    url = plain(url)
    scheme, _, rest = url.partition("://")
    if scheme == "redis+socket":
        return f"{transport.ALIAS}+socket://{rest}"
    if scheme == "rediss":
        return f"{transport.TLS_ALIAS}://{rest}"
    return f"{transport.ALIAS}://{rest}" if scheme == "redis" else brokers.plain(url)


def ping(app: Celery, url: str) -> None:
    """Connect to the broker once.

    One that takes no writes at the moment answers, too: who writes hears of it.

    Raises:
        BrokerUnreachable: within a few seconds, when it does not answer.
    """
    with (
        suppress(refusals.RefusedForNow),
        translated(app, url),
        app.connection_for_write() as connection,
    ):
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=CONNECT_TIMEOUT_S)


@contextmanager
def translated(app: Celery, url: str | None = None) -> Iterator[None]:
    """Turn kombu's connection errors into ours within the block."""
    try:
        yield
    except NbqueueError:
        raise
    # Each transport raises its library's own errors (amqp.AccessRefused, a KeyError for a scheme
    # that nobody knows, an ImportError for a package that is not there), with no common base.
    except Exception as exc:
        shown = redact(url or str(app.conf.broker_url)).replace(transport.ALIAS, "redis")
        said = exc if isinstance(exc, redis.RedisError) else exc.__cause__  # kombu wraps some
        if isinstance(said, redis.ResponseError) and (found := refusals.explained(said, shown)):
            raise found from None
        if mended := tls.advice(exc):
            raise BrokerUnreachable(
                f"the broker at {shown} is not to be trusted: {mended}"
            ) from None
        text = refusals.first_line(exc)
        raise BrokerUnreachable(
            f"no broker answers at {shown} ({text}): check that it runs and that the URL is right"
            f"{refusals.ended(text)}"
        ) from None  # (what it came from has the password among its variables)
