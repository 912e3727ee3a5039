"""The publishing of messages, over one connection that is kept.

A message that a broker does not take is offered again for as long as its sender's patience lasts;
one that it may have taken, and does not say so, is `Unconfirmed`.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import Any

from celery import Celery
from kombu.connection import Connection
from kombu.messaging import Producer
from kombu.transport import virtual
from kombu.utils.uuid import uuid

from nbqueue.core.description import describe
from nbqueue.core.errors import (
    BrokerUnreachable,
    InfrastructureError,
    UsageError,
)
from nbqueue.core.records import Route
from nbqueue.core.settings import CONNECT_TIMEOUT_S
from nbqueue.store.broker import announcing, message, routing, transport
from nbqueue.store.broker.announcing import Address
from nbqueue.store.broker.broker import translated
from nbqueue.store.broker.message import RANGE_TASK, Message
from nbqueue.store.broker.mould import Mould, Words, marks
from nbqueue.store.connection import patience
from nbqueue.store.connection.patience import Patience, Source, nobody
from nbqueue.store.signing import Keyring

log = logging.getLogger("nbqueue.store")

_CONFIRM_S = 10.0
"""How long RabbitMQ has for confirming a message. Less: a disk that is busy looks like a fault."""

_TRIES = 3
"""How often a message is offered to a broker that has just hung up."""


class Unconfirmed(BrokerUnreachable):
    """The broker went while it was given a message, and may have it or not."""


class Publisher:
    """Publishes messages, over one connection that it keeps.

    Celery's ``send_task`` ends in the same two calls, ``as_task_v2`` and ``Producer.publish``; on
    the way it routes, copies and prepares for what ranges never use, at three times their price,
    which is a fifth of a quick call's latency.
    """

    def __init__(self, app: Celery, keyring: Keyring) -> None:
        self._app = app
        self._keyring = keyring
        self._default_queue: str = app.conf.task_default_queue
        self._lock = threading.Lock()
        self._pid = 0
        self._connection: Connection | None = None
        self._producer: Producer | None = None
        self._declared: set[str] = set()
        self._sent_to: set[str] = set()
        self._without_priorities: set[str] = set()
        self._returned = False
        self._on_its_way = False
        """Whether the message in hand may have reached the broker."""
        self._suspect = False
        self.patience: Source = nobody
        """What threads have that have not said how long they wait."""
        self._moulds: dict[Address, Mould | None] = {}
        made = app.amqp.as_task_v2(
            "", RANGE_TASK, args=(), ignore_result=True, create_sent_event=False
        )
        self._headers: dict[str, Any] = made.headers
        self._sends_events = bool(app.conf.task_send_sent_event)
        self._embed = made.body[2]

    def send(self, outgoing: Message, message_id: str = "") -> None:
        """Publish a message, by an id that is its own if none is given.

        Raises:
            Unconfirmed: the broker does not say whether it has taken it.
            BrokerUnreachable: the broker does not take it.
            StoreRefused: it refuses.
            UsageError: it goes to an exchange that leads to no queue.
        """
        spec, route = outgoing.spec, outgoing.spec.route
        words = Words(
            task_id=message_id or outgoing.came_back or uuid(),
            shadow=spec.task,
            argsrepr=describe(spec.name, outgoing.start, outgoing.stop, spec.id),
            envelope=message.encode(self._keyring, outgoing),
        )
        queue = route.queue or (None if route.exchange else self._default_queue)
        to = Address(queue, route.priority, route.exchange, route.routing_key)
        patient: Patience | None = None
        unsure = False
        while True:
            try:
                with self._lock, translated(self._app):
                    self._on_its_way = unsure
                    self._offer(words, to)
            except InfrastructureError as exc:
                unsure = self._on_its_way
                patient = patient or patience.for_a_wait(self.patience)
                if patient is None or not patient.wait(exc):
                    if unsure and isinstance(exc, BrokerUnreachable):
                        raise Unconfirmed(str(exc)) from exc
                    raise
            else:
                if patient is not None:
                    patient.outage.found()
                return

    def waiting(self, route: Route) -> int:
        """Count the messages that wait in a route's queue and come before another one sent there.

        0 where that cannot be told: an exchange of RabbitMQ may lead anywhere, and of a queue with
        priorities it counts all.

        Raises:
            BrokerUnreachable: the broker does not answer.
        """
        if route.queue is None and route.exchange:
            return 0
        queue = route.queue or self._default_queue
        to = Address(queue, route.priority, None, None)
        with self._lock, translated(self._app):
            try:
                return self._waiting(queue, to)
            except self._errors():
                self._hang_up()
                return 0  # whoever sends next connects again

    def _waiting(self, queue: str, to: Address) -> int:
        producer = self._ready(to)
        mould = self._mould_for(producer, to)
        if mould is not None:
            return int(producer.channel.length(mould.key))
        if to.priority:
            return 0
        # By declaring it only if it is there, which is how AMQP asks about a queue.
        return int(producer.channel.queue_declare(queue=queue, passive=True).message_count)

    def queue_behind(self, exchange: str, routing_key: str | None) -> str | None:
        """Give the queue that an exchange leads to, where kombu plays the broker; else ``None``.

        There the exchange is known only where it was declared, so a worker could not pass on the
        rest of a range by it. (And a message that leads nowhere would be dropped; RabbitMQ returns
        it, being ``mandatory``.)

        Raises:
            UsageError: it leads to none.
        """
        to = Address(None, None, exchange, routing_key)
        with self._lock, translated(self._app):
            channel = self._ready(to).channel
            if not isinstance(channel, virtual.Channel):
                return None
            table = channel.get_table(exchange)
            found = channel.typeof(exchange).lookup(table, exchange, routing_key or "", None)
        queues = sorted(queue for queue in found if queue)
        if not queues:
            raise _unroutable(to)
        return str(queues[0])

    def queues(self) -> list[str]:
        """Name the queues that messages were sent to from here, and the default one."""
        return sorted({self._default_queue, *self._sent_to})

    def suspect(self) -> None:
        """Connect anew for the next message: this connection may be dead, and not know it.

        What is given to a dead connection is not sent, but nobody can say so.
        """
        self._suspect = True

    def close(self) -> None:
        """Hang up."""
        with self._lock:
            self._hang_up()

    def _offer(self, words: Words, to: Address) -> None:
        for left in reversed(range(_TRIES)):
            try:
                self._publish(words, to)
                return
            except self._errors():
                # A message that was taken before the broker hung up is recorded once all the same.
                self._hang_up()
                if not left:
                    raise

    def _publish(self, words: Words, to: Address) -> None:
        producer = self._ready(to)
        mould = self._mould_for(producer, to)
        self._on_its_way = True
        if self._sends_events or announcing.wanted():
            headers = self._headers_of(words)
            with announcing.announced(words.shadow, headers, self._body(words), to):
                self._openly(producer, words, to, headers)
            if self._sends_events:
                announcing.send_event(self._app, producer, headers, to)
        elif mould is None:
            self._openly(producer, words, to)
        else:
            producer.channel.push(mould.key, mould.cast(words))

    def _openly(
        self, producer: Producer, words: Words, to: Address, headers: dict[str, Any] | None = None
    ) -> None:
        self._through_kombu(producer, words, to, headers)
        if self._returned:
            self._returned = False
            raise _unroutable(to)

    def _mould_for(self, producer: Producer, to: Address) -> Mould | None:
        if to not in self._moulds:
            self._moulds[to] = self._mould(producer, to)
        return self._moulds[to]

    def _mould(self, producer: Producer, to: Address) -> Mould | None:
        if to.exchange or not isinstance(producer.channel, transport.Channel):
            return None  # (what an exchange leads to may change at any time)
        marked = marks()
        caught = producer.channel.catch(lambda: self._through_kombu(producer, marked, to))
        return None if caught is None else Mould(*caught, marked)

    def _through_kombu(
        self,
        producer: Producer,
        words: Words,
        to: Address,
        headers: dict[str, Any] | None = None,
    ) -> None:
        producer.publish(
            self._body(words),
            exchange=to.exchange or "",
            routing_key=to.routing_key if to.exchange else to.queue,
            mandatory=to.exchange is not None,
            confirm_timeout=_CONFIRM_S,
            serializer="json",
            headers=headers or self._headers_of(words),
            correlation_id=words.task_id,
            priority=to.priority,
        )

    def _body(self, words: Words) -> tuple[Any, ...]:
        return (words.envelope,), {}, self._embed

    def _headers_of(self, words: Words) -> dict[str, Any]:
        return {
            **self._headers,
            "id": words.task_id,
            "root_id": words.task_id,
            "shadow": words.shadow,
            "argsrepr": words.argsrepr,
        }

    def _ready(self, to: Address) -> Producer:
        if self._suspect:
            self._suspect = False
            self._hang_up()
        if self._producer is None or self._pid != os.getpid():
            self._pid = os.getpid()
            self._connection = self._app.connection_for_write()
            self._connection.ensure_connection(
                max_retries=1, interval_start=0, timeout=CONNECT_TIMEOUT_S
            )
            self._producer = Producer(self._connection)
            events = getattr(self._producer.channel, "events", None)  # kombu's own brokers: none
            if events is not None:
                events["basic_return"].add(self._note_return)
            self._declared = set()
            self._moulds = {}
        if to.queue is not None and to.queue not in self._declared:
            self._declare(to.queue)
        if to.exchange is not None:
            for name in self._app.amqp.queues.keys() - self._declared:
                self._declare(name)
        if to.priority and to.queue in self._without_priorities:
            self._without_priorities.discard(to.queue)  # said once
            log.warning("%s", routing.without_priorities(to.queue))
        return self._producer

    def _declare(self, queue: str) -> None:
        known = routing.declare(self._connection, self._app.amqp.queues[queue])
        if not known and self._app.conf.task_queue_max_priority:
            self._without_priorities.add(queue)
        self._declared.add(queue)
        self._sent_to.add(queue)

    def _note_return(self, *_: Any) -> None:
        self._returned = True

    def _errors(self) -> tuple[type[BaseException], ...]:
        if self._connection is None:
            return (OSError,)
        return (*self._connection.connection_errors, *self._connection.channel_errors, OSError)

    def _hang_up(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None and self._pid == os.getpid():
            connection.release()


def _unroutable(to: Address) -> UsageError:
    return UsageError(
        f"exchange {to.exchange!r} leads to no queue for routing key {to.routing_key!r}, so "
        "nobody would ever get the job, and it was not sent: declare the queue with "
        "nq.connect(task_queues=[kombu.Queue(...)]), or start a worker that does"
    )
