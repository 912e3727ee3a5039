"""Changed arguments of items that run again (``self.retry(args=…)``), kept beside their messages.

Such an item's next arguments travel in the message that will run it, and nowhere else. Should that
get lost, another is sent (`lookout`), with what was kept here: sealed, because it is unpickled.

    nbq:{id}:recalls:R   hash  item -> signature + packed arguments; expires by itself
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import redis

from nbqueue.store import keys
from nbqueue.store.broker.message import Attempt
from nbqueue.store.signing import Keyring


def keep(
    store: redis.Redis,
    keyring: Keyring,
    job_id: str,
    round_: int,
    attempts: Iterable[Attempt],
    keep_s: float,
) -> None:
    """Keep the changed arguments among some attempts, of which some have."""
    changed: dict[Any, Any] = {
        attempt.item: keyring.seal(_context(job_id, round_, attempt), attempt.call)
        for attempt in attempts
        if attempt.call
    }
    key = keys.recalls(job_id, round_)
    with store.pipeline() as pipe:
        pipe.hset(key, mapping=changed)
        pipe.expire(key, int(keep_s))
        pipe.execute()


def recalled(
    store: redis.Redis, keyring: Keyring, job_id: str, round_: int, attempts: Iterable[Attempt]
) -> list[Attempt]:
    """Give attempts with the arguments that were kept for them.

    Raises:
        BadSignature: what is kept is not for them.
    """
    raw = cast("dict[bytes, bytes]", store.hgetall(keys.recalls(job_id, round_)))
    sealed = {int(item): value for item, value in raw.items()}
    found = []
    for attempt in attempts:
        if attempt.item in sealed:
            call = keyring.unseal(_context(job_id, round_, attempt), sealed[attempt.item])
            found.append(attempt._replace(call=call))
        else:
            found.append(attempt)
    return found


def _context(job_id: str, round_: int, attempt: Attempt) -> str:
    return f"arguments of retry of item {attempt.item} in round {round_} of job {job_id}"
