"""Putting a question or an order to workers, and getting their answers as soon as they are there.

It is Celery's remote control: one broadcast and the replies, on a connection of its own, so that it
can be used from any thread and finds out about a broker that has gone and come back. Unlike
Celery's it does not wait a second for whoever may answer: it knows the workers (`roster`) and
returns when all of them have.

    roster: whom to wait for ──► broadcast ──► replies ──► all heard, or the time is up ──► Answers
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, cast

from kombu.connection import Connection

from nbqueue.core.errors import UsageError
from nbqueue.core.settings import CONNECT_TIMEOUT_S
from nbqueue.store.broker.broker import translated
from nbqueue.store.connection.connection import translated as store_translated

if TYPE_CHECKING:
    from nbqueue.client.client import Client

REPLY_S = 1.0
"""How long workers elsewhere are given to answer: Celery's own default."""

LOCAL_S = 3.0
"""How long the worker of an embedded cluster is given; its answer ends the wait."""

_HANG_S = 4.0
"""How long a Redis may take for one command. Longer than any wait for replies, or those fail."""


@dataclass(frozen=True)
class Question:
    """What is put to workers."""

    command: str
    """A command of Celery's or nbqueue's remote control."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    destination: tuple[str, ...] | None = None
    """Names of workers; ``None`` means all."""
    timeout_s: float | None = None
    """``None``: as long as is sensible."""
    limit: int | None = None
    """Enough answers; ``None``: those of all known workers."""
    pattern: str | None = None
    matcher: str | None = None


@dataclass(frozen=True)
class Answers:
    """What came back, unsigned and unchecked."""

    said: Mapping[str, Any]
    """By worker's name, sorted."""
    silent: tuple[str, ...] = ()
    """Workers that were waited for in vain."""
    waited_s: float = 0.0


class _Enough(Exception):
    """All have answered: ends kombu's waiting."""


def ask(client: Client, question: Question, connection: Connection | None = None) -> Answers:
    """Put a question and give the answers.

    Raises:
        BrokerUnreachable: the broker, or the store, does not answer.
        UsageError: the client is closed.
    """
    if connection is None:
        with connected(client) as own:
            return ask(client, question, own)
    expected, limit, timeout_s = _whom(client, question)
    said: dict[str, Any] = {}

    over = False

    def take(reply: Any) -> None:
        nonlocal over
        if over:  # what comes while kombu hangs up; to raise there would leave it half done
            return
        said.update(reply if isinstance(reply, dict) else {})
        over = bool((expected and expected <= said.keys()) or (limit and len(said) >= limit))
        if over:
            raise _Enough

    began = time.monotonic()
    with suppress(_Enough):
        _broadcast(client, connection, question, reply=True, timeout=timeout_s, callback=take)
    now = time.monotonic()
    missing = () if limit and len(said) >= limit else tuple(sorted(expected - said.keys()))
    client.roster.heard(said, missing, now)
    to_all = question.destination is None and question.pattern is None and not limit
    if to_all and timeout_s >= REPLY_S:
        client.roster.searched = True
    return Answers(dict(sorted(said.items())), missing, now - began)


def tell(client: Client, question: Question) -> None:
    """Give an order, and wait for no answer.

    Raises:
        BrokerUnreachable: the broker does not answer.
        UsageError: the client is closed.
    """
    with connected(client) as connection:
        _broadcast(client, connection, question)


def _broadcast(client: Client, connection: Connection, question: Question, **options: Any) -> None:
    whom = question.destination
    client.app.control.broadcast(
        question.command,
        arguments=dict(question.arguments),
        destination=None if whom is None else list(whom),
        connection=connection,
        pattern=question.pattern,
        matcher=question.matcher,
        **options,
    )


def _whom(client: Client, question: Question) -> tuple[frozenset[str], int | None, float]:
    """Say whom to wait for, how many answers are enough in any case, and for how long."""
    timeout_s = question.timeout_s or (LOCAL_S if client.embedded else REPLY_S)
    if question.destination is not None:
        return frozenset(question.destination), question.limit, timeout_s
    if question.pattern is not None:
        return frozenset(), question.limit, timeout_s
    with store_translated(client.store_url):
        present = client.nodes.present(client.now())
    expected = client.roster.expected(present, time.monotonic())
    if client.embedded:  # one worker; another on the list has died, and been replaced
        return expected, question.limit or 1, timeout_s
    # Once, everybody is waited for: workers of other programs are on no list.
    return (expected if client.roster.searched else frozenset()), question.limit, timeout_s


@contextmanager
def connected(client: Client) -> Iterator[Connection]:
    """Connect to the client's broker for the length of a block.

    Raises:
        BrokerUnreachable: it does not answer, or stops answering within the block.
        UsageError: the client is closed.
    """
    if client.closed:
        raise UsageError("this client is closed; nq.connect() opens one")
    with translated(client.app), _patient(client.app.connection_for_write()) as connection:
        # Found out here: what Celery does later waits for a broker without a limit.
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=CONNECT_TIMEOUT_S)
        yield connection


def _patient(connection: Connection) -> Connection:
    """Have a connection to a Redis that hangs give up: kombu's waits for ever."""
    if connection.transport.driver_type != "redis":
        return connection  # AMQP has heartbeats for that
    limits = {"socket_timeout": _HANG_S, "socket_connect_timeout": CONNECT_TIMEOUT_S}
    options = {**(connection.transport_options or {}), **limits}
    return cast(Connection, connection.clone(transport_options=options))


def names(destination: Any) -> tuple[str, ...] | None:
    """Give the names of workers that somebody wrote, one or several.

    Raises:
        UsageError: they are not names, or there are none.
    """
    if destination is None:
        return None
    found = [destination] if isinstance(destination, str) else destination
    if (
        not isinstance(found, Iterable)
        or not (whom := tuple(found))
        or not all(isinstance(name, str) and name for name in whom)
    ):
        raise UsageError(
            f"destination takes the name of a worker or several (nq.workers() lists them), "
            f"not {destination!r}"
        )
    return whom


def seconds(value: Any, name: str = "timeout") -> float | None:
    """Give a number of seconds that somebody wrote, or ``None``.

    Raises:
        UsageError: it is neither.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if value is not None and not (number and 0 < value < inf):
        raise UsageError(f"{name} is a number of seconds above 0, not {value!r}")
    return cast("float | None", value)
