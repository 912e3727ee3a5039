"""What jobs need that run for days: their functions and large values, which expire by themselves.

A job's own keys do not expire while it runs. Functions and blobs belong to nobody, and go some days
after they were last sent; a job that has been there for longer than a day has its own renewed, some
times a day, by one of the workers. Which those are is read off what is stored: an address is 64 hex
digits, in the log, in argument blocks, in functions and at the head of blobs, so nothing need be
unpickled or trusted for it. Another text that looks like one is the address of nothing. Of
a schedule, what it needs is copied in the store; files it needs are renewed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import cast

import redis

from nbqueue.core.settings import KEEP_EXTRA_S, RESULT_EXPIRES_S
from nbqueue.store import keys
from nbqueue.store.values.blobs import Blobs

_TTL_S = RESULT_EXPIRES_S + KEEP_EXTRA_S

EVERY_S = KEEP_EXTRA_S // 4
"""How often it is done. A function outlives its last renewal by days, so one that is missed for a
while, because no worker runs, does no harm."""

_OLD_S = KEEP_EXTRA_S
"""What is younger has functions and values that are kept for a week more."""

_AT_ONCE = 200
_ADDRESS = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


def is_due(store: redis.Redis) -> bool:
    """Say whether nobody did it less than `EVERY_S` ago; whoever is told so, does it.

    Raises:
        redis.RedisError: the store is away.
    """
    return bool(store.set(keys.KEPT, 1, nx=True, ex=EVERY_S))


def keep(store: redis.Redis, blobs: Blobs, now: float) -> int:
    """Renew what schedules need, and jobs that have been there for long; say how much that was.

    Raises:
        redis.RedisError: the store is away.
    """
    old = cast("list[bytes]", store.zrangebyscore(keys.ACTIVE, "-inf", now - _OLD_S))
    kept = sum(_keep(store, blobs, job_id.decode(errors="replace")) for job_id in old)
    return kept + _keep_schedules(store, blobs)


def _keep_schedules(store: redis.Redis, blobs: Blobs) -> int:
    kept = 0
    for name in cast("set[bytes]", store.smembers(keys.SCHEDULES)):
        sources = cast("bytes | None", store.hget(keys.schedule(name.decode()), "kept")) or b""
        kept += sum(blobs.renew(a.decode()) is not None for a in addresses(sources))
    return kept


def _keep(store: redis.Redis, blobs: Blobs, job_id: str) -> int:
    seen: set[bytes] = set()
    kept = 0
    for text in _texts(store, job_id):
        found = [*addresses(text)]
        while found:
            address = found.pop()
            if address in seen:
                continue
            seen.add(address)
            held = _renewed(store, blobs, address.decode())
            if held is not None:
                kept += 1
                found += addresses(held)
    return kept


def addresses(text: bytes) -> set[bytes]:
    """Give what looks like the address of a function or a blob.

    >>> len(addresses(b'{"function":"' + b"0f" * 32 + b'"}'))
    1
    """
    return set(_ADDRESS.findall(text))


def _texts(store: redis.Redis, job_id: str) -> Iterator[bytes]:
    """Give all that is stored of a job, in parts."""
    after = "-"
    while entries := cast(
        "list[tuple[bytes, dict[bytes, bytes]]]",
        store.xrange(keys.log(job_id), min=after, count=_AT_ONCE),
    ):
        for _, fields in entries:
            yield from fields.values()
        after = f"({entries[-1][0].decode()}"
    for _, block in store.hscan_iter(keys.args(job_id), count=_AT_ONCE):
        yield block
    yield cast("bytes | None", store.hget(keys.meta(job_id), "call")) or b""
    yield cast("bytes | None", store.get(keys.held(job_id))) or b""
    yield from cast("list[bytes]", store.hvals(keys.plan(job_id)))


def _renewed(store: redis.Redis, blobs: Blobs, address: str) -> bytes | None:
    """Give what is at an address, of a blob the beginning, after it was renewed."""
    key = keys.function(address)
    if store.expire(key, _TTL_S):
        return cast("bytes | None", store.get(key))
    return blobs.renew(address)
