"""Asking the workers of a cluster what they do, and telling them to grow, shrink or stop.

All of it is Celery's remote control: one broadcast and one wait for the replies, on a connection
of its own, so that it can be called from any thread, and finds out about a broker that has gone and
come back. `survey` reads the replies. Nothing here is called by a repr.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from kombu.connection import Connection

from nbqueue.client.survey import Survey, queues_of, read_workers
from nbqueue.core.errors import ClusterError, UsageError
from nbqueue.core.settings import CONNECT_TIMEOUT_S
from nbqueue.store.broker import translated

if TYPE_CHECKING:
    from nbqueue.client.client import Client

_REPLY_S = 1.0
"""How long workers elsewhere are given to reply: Celery's own default. Nobody knows how many there
are, so it is always waited for."""

_LOCAL_S = 3.0
"""How long the one worker of an embedded cluster is given; its reply ends the wait."""

_HANG_S = 4.0
"""How long a Redis may take for one command. Longer than any wait for replies, or those fail."""


def look(client: Client, *, timeout_s: float | None = None) -> Survey:
    """Ask all workers and queues once; takes about a second, on an embedded cluster a hundredth.

    Args:
        client: Whose cluster.
        timeout_s: How long to wait for replies, if not for as long as is sensible.

    Raises:
        BrokerUnreachable: the broker does not answer.
        UsageError: the client is closed.
    """
    with _connection(client) as connection:
        workers = read_workers(_ask(client, connection, timeout_s))
        sent_to = client.publisher.queues()
        names = {*sent_to, *(name for worker in workers for name in worker.queues)}
        depths = {name: _depth(connection, name) for name in names}
    return Survey(time.monotonic(), workers, queues_of(workers, sent_to, depths))


def resize(client: Client, worker: str, processes: int) -> None:
    """Give a worker's pool a size; processes that are busy end after what they run.

    Raises:
        UsageError: it has no such pool, or the size is less than 1.
        ClusterError: the worker does not answer.
    """
    if processes < 1:
        raise UsageError(f"a worker has at least 1 process, not {processes}; stop it instead")
    said = _tell(client, worker, "nbqueue_resize", {"n": processes})
    if "ok" not in said:
        raise UsageError(f"worker {worker}: {said.get('error', said)}")


def stop(client: Client, workers: Iterable[str]) -> None:
    """Have workers end warmly: each finishes what it runs, takes nothing more, and is gone.

    What waits stays in its queue. The worker of an embedded cluster is replaced by a new one.
    """
    with _connection(client) as connection:
        client.app.control.shutdown(destination=list(workers), connection=connection)


def _ask(
    client: Client, connection: Connection, timeout_s: float | None
) -> Sequence[dict[str, Any]]:
    replies = client.app.control.broadcast(
        "nbqueue_look",
        reply=True,
        timeout=timeout_s or (_LOCAL_S if client.embedded else _REPLY_S),
        limit=1 if client.embedded else None,
        connection=connection,
    )
    return replies or []


def _tell(client: Client, worker: str, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
    with _connection(client) as connection:
        replies = client.app.control.broadcast(
            command,
            arguments=arguments,
            destination=[worker],
            reply=True,
            timeout=_LOCAL_S,
            connection=connection,
        )
    for reply in replies or []:
        if isinstance(said := reply.get(worker), dict):
            return said
    raise ClusterError(
        f"worker {worker} does not answer (it may have ended, or is busy with something long in a "
        "solo pool); nq.workers() shows those that do"
    )


def _depth(connection: Connection, queue: str) -> tuple[int, int]:
    # A channel of its own: RabbitMQ closes the one on which a queue was not found.
    with connection.channel() as channel:
        try:
            found = channel.queue_declare(queue=queue, passive=True)
        except connection.channel_errors:
            return 0, 0  # on Redis an empty queue does not exist
        return found.message_count, found.consumer_count


@contextmanager
def _connection(client: Client) -> Iterator[Connection]:
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
