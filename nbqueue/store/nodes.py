"""Which workers live: a list in the store that each keeps itself on.

Celery asks everybody and waits a second for whoever may answer, because nobody knows who there is.
With this list a client knows whom to wait for (`client.remote.roster`). It is a hint and no more: a
worker that was killed stays on it until it lapses, and a stranger may have written a name there.
"""

from __future__ import annotations

from typing import cast

import redis

from nbqueue.store import keys

RENEW_S = 4.0
"""How often a worker says that it lives. More often: needless writes on an idle cluster."""

LAPSE_S = 10.0
"""Two renewals and a little. Longer: whoever asks waits for a worker that was killed for longer."""

_FORGET_S = 3600.0


class Nodes:
    """The names of living workers in one store."""

    def __init__(self, store: redis.Redis) -> None:
        self._store = store

    def lives(self, name: str) -> None:
        """Say that a worker lives, by the store's clock; also clears away who is long gone."""
        seconds, micros = self._store.time()
        now = seconds + micros / 1e6
        with self._store.pipeline(transaction=False) as pipe:
            pipe.zadd(keys.NODES, {name: now})
            pipe.zremrangebyscore(keys.NODES, "-inf", now - _FORGET_S)
            pipe.execute()

    def leaves(self, name: str) -> None:
        """Say that a worker is gone."""
        self._store.zrem(keys.NODES, name)

    def present(self, now: float) -> frozenset[str]:
        """Give the workers that have said so lately; ``now`` is by the store's clock."""
        found = cast("list[bytes]", self._store.zrangebyscore(keys.NODES, now - LAPSE_S, "+inf"))
        return frozenset(name.decode(errors="replace") for name in found)
