"""The Celery side of the wire: one app's configuration, and the messages that name ranges.

A message is Celery's own (task `RANGE_TASK`, protocol 2, JSON), with one argument: an envelope.

    envelope  =  base64( signature | uint32 length | JSON {job, a, b, ..., spec} | inline )

The envelope is opaque to Celery: its main process would otherwise decode arguments, and a message
that fails to decode there is dropped with no trace, which leaves the client waiting for ever. It is
verified and read in the child process, where a failure can be recorded. ``inline`` is the packed
argument block of a single call.
"""

from __future__ import annotations

import json
import struct
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError
from kombu.utils.uuid import uuid

from nbqueue.core import wire
from nbqueue.core.errors import BadSignature, BrokerUnreachable
from nbqueue.core.records import JobSpec
from nbqueue.core.settings import CONNECT_TIMEOUT_S
from nbqueue.store import transport
from nbqueue.store.connection import redact
from nbqueue.store.signing import SIZE, Keyring

RANGE_TASK = "nbqueue.range"
DEFAULT_QUEUE = "celery"

_LENGTH = struct.Struct("<I")
_CONTEXT = "message"

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


_RETRY_POLICY = {"max_retries": 2, "interval_start": 0.1, "interval_max": 0.5}


@dataclass(frozen=True)
class Message:
    """What a range message says."""

    spec: JobSpec
    start: int
    stop: int
    round: int = 1
    whole: bool = False
    """The job's first message, which holds all of it and divides soon."""
    check: bool = False
    """Some items may be recorded already: consult the done-bitmap before running."""
    function: str = ""
    """Address of the function of this round; the spec's when empty."""
    inline: bytes = b""
    """Packed argument block of a single call."""


class Unverified(BadSignature):
    """A message whose signature does not hold, and what it claims to be."""

    def __init__(self, message: str, job_id: str = "", start: int = 0, stop: int = 0, round_: int = 1):
        super().__init__(message)
        self.job_id, self.start, self.stop, self.round = job_id, start, stop, round_


def make_app(broker_url: str, *, name: str = "nbqueue") -> Celery:
    """Make a Celery app for a broker, as clients and workers both configure it."""
    transport.register()
    app = Celery(name, set_as_current=False)
    app.conf.update(_CONFIG, broker_url=_own_transport(broker_url))
    if broker_url.startswith(("amqp", "pyamqp")):
        # Without confirms a publish to a broker that is going down is lost without an error.
        app.conf.broker_transport_options = {"confirm_publish": True}
    app.conf.broker_connection_timeout = CONNECT_TIMEOUT_S
    return app


def _own_transport(url: str) -> str:
    scheme, _, rest = url.partition("://")
    if scheme == "unix":
        scheme = "redis+socket"
    if scheme == "redis+socket":
        return f"{transport.ALIAS}+socket://{rest}"
    return f"{transport.ALIAS}://{rest}" if scheme == "redis" else url


def send(app: Celery, keyring: Keyring, message: Message) -> None:
    """Publish a range.

    Raises:
        BrokerUnreachable: the broker does not take it.
    """
    spec, route = message.spec, message.spec.route
    queue = route.queue or DEFAULT_QUEUE
    task_id = uuid()
    made = app.amqp.as_task_v2(
        task_id,
        RANGE_TASK,
        args=(encode(keyring, message),),
        shadow=spec.task,
        ignore_result=True,
        argsrepr=f"{spec.name}[{message.start}:{message.stop}]",
        kwargsrepr="",
        create_sent_event=False,
    )
    # Celery's `send_task` ends in these two calls too; on the way it routes, copies and prepares
    # for what ranges never use, at twice the price of both (a tenth of a call's latency).
    with translated(app), app.producer_or_acquire() as producer:
        producer.publish(
            made.body,
            exchange="",
            routing_key=queue,
            declare=[app.amqp.queues[queue]],
            serializer="json",
            headers=made.headers,
            priority=route.priority,
            retry=True,
            retry_policy=_RETRY_POLICY,
            **made.properties,
        )


def encode(keyring: Keyring, message: Message) -> str:
    """Give a message's envelope."""
    head = json.dumps(
        {
            "job": message.spec.id,
            "a": message.start,
            "b": message.stop,
            "round": message.round,
            "whole": message.whole,
            "check": message.check,
            "function": message.function,
            "spec": wire.spec_to_plain(message.spec),
        },
        separators=(",", ":"),
    ).encode()
    body = _LENGTH.pack(len(head)) + head + message.inline
    return b64encode(keyring.seal(_CONTEXT, body)).decode()


def decode(keyring: Keyring, envelope: str) -> Message:
    """Verify and read an envelope.

    Raises:
        Unverified: it is not signed with a key of this process, or is damaged.
    """
    try:
        sealed = b64decode(envelope)
        (size,) = _LENGTH.unpack_from(sealed, SIZE)
        head = json.loads(sealed[SIZE + _LENGTH.size : SIZE + _LENGTH.size + size])
        claim = (str(head["job"]), int(head["a"]), int(head["b"]), int(head["round"]))
    except (ValueError, TypeError, KeyError, struct.error) as exc:
        raise Unverified(f"a damaged message of {len(envelope)} characters: {exc!r}") from None
    try:
        body = keyring.unseal(_CONTEXT, sealed)
    except BadSignature as exc:
        raise Unverified(str(exc), *claim) from None
    return Message(
        spec=wire.spec_from_plain(head["spec"]),
        start=claim[1],
        stop=claim[2],
        round=claim[3],
        whole=bool(head["whole"]),
        check=bool(head["check"]),
        function=head["function"],
        inline=body[_LENGTH.size + size :],
    )


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
    except (OperationalError, OSError) as exc:
        shown = redact(url or str(app.conf.broker_url)).replace(transport.ALIAS, "redis")
        reason = (str(exc) or type(exc).__name__).splitlines()[0]
        raise BrokerUnreachable(
            f"no broker answers at {shown} ({reason}): check that it runs and that the URL is right"
        ) from exc
