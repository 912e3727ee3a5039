"""The broker: one Celery app's configuration, and the publishing of messages.

Clients and workers configure Celery alike, here. Everything that travels, and how, is Celery's and
kombu's; `transport` says what is different on Redis.
"""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from kombu.connection import Connection
from kombu.messaging import Producer
from kombu.utils.uuid import uuid

from nbqueue.core.description import describe
from nbqueue.core.errors import BrokerUnreachable, NbqueueError
from nbqueue.core.settings import CONNECT_TIMEOUT_S
from nbqueue.store import message, transport
from nbqueue.store.connection import redact
from nbqueue.store.message import RANGE_TASK, Message
from nbqueue.store.mould import Mould, Words, marks
from nbqueue.store.signing import Keyring

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
    "task_default_queue": DEFAULT_QUEUE,
    "task_create_missing_queues": True,
}

_CERT_OPTION = {"redis": "ssl_cert_reqs", "amqps": "cert_reqs"}

_TRIES = 3
"""How often a message is offered to a broker that has just hung up."""


def make_app(broker_url: str, *, name: str = "nbqueue") -> Celery:
    """Make a Celery app for a broker, as clients and workers both configure it."""
    transport.register()
    app = Celery(name, set_as_current=False)
    app.conf.update(_CONFIG, broker_url=_own_transport(broker_url))
    if broker_url.startswith(("amqp", "pyamqp")):
        # Without confirms a publish to a broker that is going down is lost without an error.
        app.conf.broker_transport_options = {"confirm_publish": True}
    if broker_url.startswith(("rediss://", "amqps://")) and "ssl_cert_reqs" not in broker_url:
        # kombu would encrypt and then talk to anybody; redis-py, for the store, verifies.
        app.conf.broker_use_ssl = {_CERT_OPTION[broker_url[:5]]: ssl.CERT_REQUIRED}
    app.conf.broker_connection_timeout = CONNECT_TIMEOUT_S
    return app


def plain(url: str) -> str:
    """Give a broker's URL as Celery writes it."""
    scheme, _, rest = url.partition("://")
    return f"redis+socket://{rest}" if scheme == "unix" else url


def _own_transport(url: str) -> str:
    scheme, _, rest = plain(url).partition("://")
    if scheme == "redis+socket":
        return f"{transport.ALIAS}+socket://{rest}"
    return f"{transport.ALIAS}://{rest}" if scheme == "redis" else url


_Address = tuple[str, int | None]
"""Queue and priority."""


class Publisher:
    """Publishes messages, over one connection that it keeps.

    Celery's ``send_task`` ends in the same two calls, ``as_task_v2`` and ``Producer.publish``; on
    the way it routes, copies and prepares for what ranges never use, at three times their price,
    which is a fifth of a quick call's latency.
    """

    def __init__(self, app: Celery, keyring: Keyring) -> None:
        self._app = app
        self._keyring = keyring
        self._lock = threading.Lock()
        self._pid = 0
        self._connection: Connection | None = None
        self._producer: Producer | None = None
        self._declared: set[str] = set()
        self._sent_to: set[str] = set()
        self._moulds: dict[_Address, Mould | None] = {}
        made = app.amqp.as_task_v2(
            "", RANGE_TASK, args=(), ignore_result=True, create_sent_event=False
        )
        self._headers: dict[str, Any] = made.headers
        self._embed = made.body[2]

    def send(self, outgoing: Message) -> None:
        """Publish a message.

        Raises:
            BrokerUnreachable: the broker does not take it.
        """
        spec = outgoing.spec
        words = Words(
            task_id=uuid(),
            shadow=spec.task,
            argsrepr=describe(spec.name, outgoing.start, outgoing.stop, spec.id),
            envelope=message.encode(self._keyring, outgoing),
        )
        with self._lock, translated(self._app):
            self._offer(words, (spec.route.queue or DEFAULT_QUEUE, spec.route.priority))

    def queues(self) -> list[str]:
        """Name the queues that messages were sent to from here, and the default one."""
        return sorted({DEFAULT_QUEUE, *self._sent_to})

    def close(self) -> None:
        """Hang up."""
        with self._lock:
            self._hang_up()

    def _offer(self, words: Words, to: _Address) -> None:
        for left in reversed(range(_TRIES)):
            try:
                self._publish(words, to)
                return
            except self._errors():
                # A message that was taken before the broker hung up is recorded once all the same.
                self._hang_up()
                if not left:
                    raise

    def _publish(self, words: Words, to: _Address) -> None:
        producer = self._ready(to[0])
        if to not in self._moulds:
            self._moulds[to] = self._mould(producer, to)
        mould = self._moulds[to]
        if mould is None:
            self._through_kombu(producer, words, to)
        else:
            producer.channel.push(mould.key, mould.cast(words))

    def _mould(self, producer: Producer, to: _Address) -> Mould | None:
        if not isinstance(producer.channel, transport.Channel):
            return None
        marked = marks()
        caught = producer.channel.catch(lambda: self._through_kombu(producer, marked, to))
        return None if caught is None else Mould(*caught, marked)

    def _through_kombu(self, producer: Producer, words: Words, to: _Address) -> None:
        queue, priority = to
        producer.publish(
            ((words.envelope,), {}, self._embed),
            exchange="",
            routing_key=queue,
            serializer="json",
            headers={
                **self._headers,
                "id": words.task_id,
                "root_id": words.task_id,
                "shadow": words.shadow,
                "argsrepr": words.argsrepr,
            },
            correlation_id=words.task_id,
            priority=priority,
        )

    def _ready(self, queue: str) -> Producer:
        if self._producer is None or self._pid != os.getpid():
            self._pid = os.getpid()
            self._connection = self._app.connection_for_write()
            self._connection.ensure_connection(
                max_retries=1, interval_start=0, timeout=CONNECT_TIMEOUT_S
            )
            self._producer = Producer(self._connection)
            self._declared = set()
            self._moulds = {}
        if queue not in self._declared:
            self._app.amqp.queues[queue].bind(self._producer.channel).declare()
            self._declared.add(queue)
            self._sent_to.add(queue)
        return self._producer

    def _errors(self) -> tuple[type[BaseException], ...]:
        if self._connection is None:
            return (OSError,)
        return (*self._connection.connection_errors, *self._connection.channel_errors, OSError)

    def _hang_up(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None and self._pid == os.getpid():
            connection.release()


def ping(app: Celery, url: str) -> None:
    """Connect to the broker once.

    Raises:
        BrokerUnreachable: within a few seconds, when it does not answer.
    """
    with translated(app, url), app.connection_for_write() as connection:
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
        reason = (str(exc) or type(exc).__name__).splitlines()[0]
        raise BrokerUnreachable(
            f"no broker answers at {shown} ({reason}): check that it runs and that the URL is right"
        ) from exc
