"""The catalogue: which jobs there are, by id, name and counters.

It reads what the scripts keep in ``meta`` for listings. Anybody with access to the store could have
written that, so nothing in it decides what happened to an item: the log does.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import redis

from nbqueue.core.errors import UnknownJob
from nbqueue.store import keys

_SUMMARY = (
    "n",
    "left",
    "success",
    "failure",
    "revoked",
    "submitted",
    "finished",
    "name",
    "task",
)


@dataclass(frozen=True)
class Summary:
    """A job as listings show it; from counters that anybody with store access could write."""

    id: str
    name: str
    task: str
    n: int
    left: int
    success: int
    failure: int
    revoked: int
    submitted: float
    finished: float | None


def find(store: redis.Redis, id_or_name: str) -> str:
    """Give the id of the job with this id, or of the latest with this name.

    Raises:
        UnknownJob: there is none; the message lists near matches.
    """
    if store.hexists(keys.meta(id_or_name), "n"):
        return id_or_name
    found = cast("bytes | None", store.hget(keys.NAMES, id_or_name))
    if found is not None and store.hexists(keys.meta(found.decode()), "n"):
        return found.decode()
    names = [name.decode() for name in cast("list[bytes]", store.hkeys(keys.NAMES))]
    near = difflib.get_close_matches(id_or_name, names, n=3)
    lists = "nq.jobs(), in a terminal `nbqueue jobs`, lists all"
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else lists
    raise UnknownJob(f"no job with id or name {id_or_name!r}: {hint}")


def tasks(store: redis.Redis, limit: int = 1000) -> set[str]:
    """Name the tasks of the latest jobs; a workflow's are one name (``"load | fit"``)."""
    ids = [i.decode() for i in cast("list[bytes]", store.zrevrange(keys.JOBS, 0, limit - 1))]
    pipe = store.pipeline(transaction=False)
    for job_id in ids:
        pipe.hget(keys.meta(job_id), "task")
    return {raw.decode() for raw in pipe.execute() if raw is not None}


def summaries(store: redis.Redis) -> list[Summary]:
    """List all jobs, latest first; forgets the names of those that have expired."""
    ids = [i.decode() for i in cast("list[bytes]", store.zrevrange(keys.JOBS, 0, -1))]
    pipe = store.pipeline(transaction=False)
    for job_id in ids:
        pipe.hmget(keys.meta(job_id), *_SUMMARY)
    found, expired = [], []
    for job_id, raw in zip(ids, pipe.execute(), strict=True):
        if raw[0] is not None:
            found.append(_summary(job_id, raw))
        else:
            expired.append(job_id)
    if expired:
        store.zrem(keys.JOBS, *expired)
    return found


def summary(store: redis.Redis, job_id: str) -> Summary | None:
    """Give one job, if it is in the store."""
    raw = cast("list[bytes | None]", store.hmget(keys.meta(job_id), _SUMMARY))
    return None if raw[0] is None else _summary(job_id, raw)


def _summary(job_id: str, raw: Sequence[bytes | None]) -> Summary:
    n, left, success, failure, revoked = (int(value or 0) for value in raw[:5])
    submitted, finished = (None if value is None else float(value) for value in raw[5:7])
    name, task = ((value or b"").decode() for value in raw[7:])
    return Summary(
        job_id, name, task, n, left, success, failure, revoked, submitted or 0.0, finished
    )
