"""The parts of a job that its messages are about: what is open of each, and how it is sent anew.

A job has a part for each round (`Job.retry`), a workflow one for each stage that has begun. This is
the place that knows how to make a message out of nothing but a job's log and counters; what sent
the first one is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, cast

import redis

from nbqueue.core import lost
from nbqueue.core.errors import Expired
from nbqueue.core.records import JobSpec, Retried
from nbqueue.core.splitting import Range, count, indices
from nbqueue.store import keys
from nbqueue.store.broker.message import Attempt, Message
from nbqueue.store.log.joblog import JobLog
from nbqueue.store.messages import recalls
from nbqueue.store.messages.plans import Plans
from nbqueue.store.signing import Keyring


class About(NamedTuple):
    """What a job's counters say."""

    id: str
    last: str
    """Its latest record."""
    happened: float
    """When that was, in seconds since the epoch by the store's clock."""
    n: int
    round: int


@dataclass(frozen=True)
class Part:
    """Items of a job that one message could be about."""

    name: str
    job_id: str
    round: int
    open: Sequence[Range]
    """Those without an outcome, ascending."""
    message: Callable[[], Message]
    """Gives a message about all of the part."""


class Parts:
    """Reads the parts of jobs."""

    def __init__(self, store: redis.Redis, keyring: Keyring, joblog: JobLog, plans: Plans) -> None:
        self._store = store
        self._keyring = keyring
        self._joblog = joblog
        self._plans = plans

    def of(self, job: About, spec: JobSpec) -> Iterator[Part]:
        """Give the parts of a job of which something is open and may be run."""
        return self._stages(job, spec) if spec.stages else self._rounds(job, spec)

    def messages(
        self, part: Part, items: Sequence[Range], others: Sequence[Range]
    ) -> Iterator[Message]:
        """Give the messages that run some items of a part, and none of ``others``.

        Raises:
            Expired: the log does not say how.
            BadSignature: changed arguments that are kept are not signed with our key.
        """
        whole = part.message()
        again = self._again(part, items)
        if again:
            yield whole.of_attempts(again)
            own = [(attempt.item, attempt.item + 1) for attempt in again]
            items, others = lost.without(items, own), [*others, *own]
        for start, stop in lost.spans(items, others):
            yield replace(whole, start=start, stop=stop)

    def _rounds(self, job: About, spec: JobSpec) -> Iterator[Part]:
        for round_ in range(1, job.round + 1):
            bitmap = cast("bytes | None", self._store.get(keys.done(job.id, round_))) or b""
            if found := lost.open_items(job.n, bitmap):
                message = partial(self._of_round, job, spec, round_)
                yield Part(f"{job.id} {round_}", job.id, round_, found, message)

    def _stages(self, job: About, spec: JobSpec) -> Iterator[Part]:
        pipe = self._store.pipeline(transaction=False)
        pipe.hgetall(keys.plan(job.id))
        pipe.hkeys(keys.ready(job.id))
        pipe.get(keys.done(job.id, job.round))
        plan, ready, bitmap = pipe.execute()
        items = lost.open_items(job.n, bitmap or b"")
        for number in range(spec.stages):
            s = str(number).encode()
            # (What is still to be sent for the first time, others see to: `plans`.)
            if plan.get(b"st:" + s) != b"go" or s in ready or b"items:" + s not in plan:
                continue
            start, stop = map(int, plan[b"items:" + s].split())
            if found := lost.without(items, [(0, start), (stop, job.n)]):
                function = plan.get(b"fn:" + s, b"").decode()
                message = partial(
                    self._plans.message, job.id, number, (start, stop), job.round, function
                )
                yield Part(f"{job.id} {job.round} {number}", job.id, job.round, found, message)

    def _of_round(self, job: About, spec: JobSpec, round_: int) -> Message:
        call = cast("bytes | None", self._store.hget(keys.meta(job.id), "call")) or b""
        opening = self._joblog.opening(spec)._replace(call=call)
        function = self._function(job.id, round_) if round_ > 1 else ""
        return Message(opening, 0, job.n, round_, whole=True, check=True, function=function)

    def _function(self, job_id: str, round_: int) -> str:
        after = "-"
        while entries := self._joblog.read(job_id, after):
            for entry in entries:
                if isinstance(entry.record, Retried) and entry.record.round == round_:
                    return entry.record.function
            after = entries[-1].id
        raise Expired(f"job {job_id!r}: its log does not say how round {round_} began")

    def _again(self, part: Part, items: Sequence[Range]) -> list[Attempt]:
        """Give the next attempts of those items that have been put off."""
        key = keys.retries(part.job_id, part.round)
        raw = cast("dict[bytes, bytes]", self._store.hgetall(key))
        if not raw or not count(items):
            return []
        counts = {int(item): int(times) for item, times in raw.items()}
        attempts = [Attempt(i, counts[i]) for i in indices(items) if i in counts]
        return recalls.recalled(self._store, self._keyring, part.job_id, part.round, attempts)
