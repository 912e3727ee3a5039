"""kombu's Redis transport with one thing changed: it keeps its client.

kombu builds a new ``redis.Redis`` object for each command of a channel, on the same connection
pool; with redis-py 5 and later that costs more than the command (a call's latency halves without
it). ``_create_client`` is private, so this is the only place that touches it, and a kombu without
it gets the plain transport.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu import transport as kombu_transport
from kombu.transport import redis as kombu_redis

ALIAS = "nbqredis"
"""Scheme under which kombu finds this transport."""


class QoS(kombu_redis.QoS):  # type: ignore[misc]
    """Acknowledgement bookkeeping whose two commands travel in one packet, without MULTI."""

    @contextmanager
    def pipe_or_acquire(self, pipe: Any = None, client: Any = None) -> Iterator[Any]:
        if pipe:
            yield pipe
        else:
            with self.channel.conn_or_acquire(client) as found:
                yield found.pipeline(transaction=False)


class Channel(kombu_redis.Channel):  # type: ignore[misc]
    """A channel that makes its synchronous client once."""

    QoS = QoS
    _kept: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous)
        if self._kept is None or self._kept.connection_pool is not self._pool:
            self._kept = super()._create_client()
        return self._kept


class Transport(kombu_redis.Transport):  # type: ignore[misc]
    """kombu's Redis transport on `Channel`."""

    Channel = Channel if hasattr(kombu_redis.Channel, "_create_client") else kombu_redis.Channel


def register() -> None:
    """Make the transport known to kombu under `ALIAS`."""
    kombu_transport.TRANSPORT_ALIASES.setdefault(ALIAS, f"{__name__}:Transport")
