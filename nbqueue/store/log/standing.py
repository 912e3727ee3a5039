"""How a job stands by the account that the scripts keep beside its log: what is left, what failed.

Asked by whoever needs a number and not the story: a worker before it begins, a sequel before it is
sent. The log itself stays unread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import redis

from nbqueue.core import splitting
from nbqueue.core.splitting import Range, undone
from nbqueue.store import keys


class Standing:
    """Answers for the jobs of one store."""

    _store: redis.Redis

    def pending(
        self, job_id: str, round_: int, start: int, stop: int
    ) -> tuple[bool | None, list[Range]]:
        """Say whether a job is cancelled and which items of a range are not recorded yet.

        A forgotten job is cancelled; of one that is not in the store (it is not open yet, or has
        expired) it is ``None``, and all items are open.
        """
        first = start >> 3
        pipe = self._store.pipeline(transaction=False)
        pipe.hmget(keys.meta(job_id), "cancelled", "gone")
        pipe.getrange(keys.done(job_id, round_), first, (stop - 1) >> 3)
        (cancelled, gone), bitmap = pipe.execute()
        known = (
            None if cancelled is None and gone is None else cancelled == b"1" or gone is not None
        )
        return known, undone(start, stop, bitmap, first)

    def unretried(
        self, job_id: str, round_: int, runs: list[Range], retried: Mapping[int, int]
    ) -> list[Range]:
        """Leave out of some ranges the items that another message is to run.

        Those are the ones that were put off more often than the message in hand knows of.
        """
        key = keys.retries(job_id, round_)
        n = int(cast(Any, self._store.hlen(key)))
        if not n:
            return runs
        if splitting.count(runs) <= n:
            fields = [str(i) for i in splitting.indices(runs)]
            counts = dict(zip(fields, self._store.hmget(key, fields), strict=True))
        else:
            raw = cast("dict[bytes, bytes]", self._store.hgetall(key))
            counts = {field.decode(): count for field, count in raw.items()}
        return splitting.runs_of(
            i for i in splitting.indices(runs) if int(counts.get(str(i)) or 0) <= retried.get(i, 0)
        )

    def round(self, job_id: str) -> int:
        """Give the latest round of a job; 1 of one that is not in the store."""
        raw = cast("bytes | None", self._store.hget(keys.meta(job_id), "round"))
        return int(raw) if raw is not None and raw.isdigit() else 1

    def left_and_bad(self, job_id: str) -> tuple[int, int]:
        """Give how many items of a job have not ended, and how many have, but not well."""
        names = ("left", "failure", "revoked")
        found = cast("list[bytes | None]", self._store.hmget(keys.meta(job_id), names))
        left, failure, revoked = (int(value or 0) for value in found)
        return left, failure + revoked

    def is_over(self, job_id: str) -> bool:
        """Say whether nothing is left to do of a job, by the account of the scripts."""
        return bool(self._store.hget(keys.meta(job_id), "left") == b"0")
