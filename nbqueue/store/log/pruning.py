"""The lists of jobs, without those that have expired.

A job's own keys expire by themselves; its entries in the list of all jobs and in that of names do
not. Some worker walks through both lists, a page every few seconds, and on as long as a good part
of what it meets has expired: so what there is too much is never more than a fraction of what there
is, and where nothing expires it costs a few commands. (It is Redis's own way with what expires.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import redis

from nbqueue.store import keys
from nbqueue.store.lua import source

_PAGE = 200
"""Entries that are looked at together. More: the script keeps others waiting for longer."""

_ON = 0.25
"""Share of a page that has expired from which on the next one is looked at, too."""

_PAGES = 500
"""Most pages in one go: others want something of this thread."""

EVERY_S = 5
"""How often it is done, by one of the workers."""

Entry = tuple[bytes, bytes]
"""The id of a job, and its name where that is known."""


class Pruner:
    """Walks through the lists of jobs. For one thread."""

    def __init__(self, store: redis.Redis) -> None:
        self._store = store
        self._script = store.register_script(source("prune"))
        self._of_names = 0
        self._of_jobs = 0

    def prune(self) -> int:
        """Take out what is met that has expired; give how many entries that were.

        Nothing is done if some worker did it less than `EVERY_S` ago.

        Raises:
            redis.RedisError: the store is away.
        """
        if not self._store.set(keys.PRUNED, 1, nx=True, ex=EVERY_S):
            return 0
        return self.walk()

    def walk(self) -> int:
        """Look at a page of each list, and at the next ones while much of it has expired."""
        gone = 0
        for look in (self._look_at_names, self._look_at_jobs):
            for _ in range(_PAGES):
                entries, more = look()
                found = self._without_expired(entries)
                gone += found
                if not more or found < _ON * len(entries):
                    break
        return gone

    def _look_at_names(self) -> tuple[Sequence[Entry], bool]:
        scan = self._store.hscan(keys.NAMES, self._of_names, count=_PAGE)
        self._of_names, found = cast("tuple[int, dict[bytes, bytes]]", scan)
        return [(job_id, name) for name, job_id in found.items()], self._of_names != 0

    def _look_at_jobs(self) -> tuple[Sequence[Entry], bool]:
        scan = self._store.zscan(keys.JOBS, self._of_jobs, count=_PAGE)
        self._of_jobs, found = cast("tuple[int, list[tuple[bytes, float]]]", scan)
        return [(job_id, b"") for job_id, _ in found], self._of_jobs != 0

    def _without_expired(self, entries: Sequence[Entry]) -> int:
        gone: list[Any] = []
        pipe = self._store.pipeline(transaction=False)
        for job_id, _ in entries:
            pipe.exists(keys.meta(job_id.decode(errors="replace")))
        for entry, exists in zip(entries, pipe.execute(), strict=True):
            if not exists:
                gone += entry
        lists = [keys.JOBS, keys.NAMES]
        return int(cast(Any, self._script(keys=lists, args=gone))) if gone else 0
