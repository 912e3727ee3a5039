"""Rejections: how often something was refused, because it was not signed with the right key.

Whoever refuses says so in its log and counts it here, in one hash of the store (``nbq:rejected``):
a field for each kind of thing, ``total``, and ``last``, which says when it last happened, where,
and to what.
Whoever can write to the store can change these numbers: they are for people, who ask why.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import redis

from nbqueue.store import keys

log = logging.getLogger("nbqueue.store")

UNREADABLE = "unreadable message"
"""What came through the broker and is no message at all."""

_LAST = b"last"
_TOTAL = b"total"


@dataclass(frozen=True)
class Rejections:
    """What has been refused in a store, by all of its clients and workers."""

    counts: dict[str, int] = field(default_factory=dict)
    """How often, by what it was: ``message``, ``log record``, ``argument block`` ..."""
    last: str = ""
    """What was refused last."""
    by: str = ""
    """Who refused it: a worker's host and process, or a client."""
    at: float | None = None
    """When, in seconds since the epoch."""

    @property
    def total(self) -> int:
        """How many there were of all kinds."""
        return sum(self.counts.values())


def counter(store: redis.Redis, who: str) -> Callable[[str], None]:
    """Give what counts a rejection of ``who`` (for `Keyring.on_refusal`)."""

    def count(what: str) -> None:
        last = json.dumps({"what": what, "by": who, "at": time.time()})
        try:
            pipe = store.pipeline(transaction=False)
            pipe.hincrby(keys.REJECTED, what, 1)
            pipe.hincrby(keys.REJECTED, _TOTAL, 1)
            pipe.hset(keys.REJECTED, _LAST, last)
            pipe.execute()
        except redis.RedisError as exc:  # what matters is that it was refused
            log.warning("a rejected %s could not be counted: %s", what, exc)

    return count


def read(store: redis.Redis) -> Rejections:
    """Read what has been refused."""
    found = cast("dict[bytes, bytes]", store.hgetall(keys.REJECTED))
    raw = found.pop(_LAST, b"{}")
    found.pop(_TOTAL, None)
    counts = {k.decode(errors="replace"): int(v) for k, v in found.items() if v.isdigit()}
    try:
        last = json.loads(raw)
        return Rejections(counts, str(last["what"]), str(last["by"]), float(last["at"]))
    except (ValueError, KeyError, TypeError):
        return Rejections(counts)


def clear(store: redis.Redis) -> None:
    """Begin to count anew."""
    store.delete(keys.REJECTED)
