"""The look for items whose message is nowhere, and the sending of another: see `core.lost`.

One worker of all does it (`Lookout.claim`), every second or two. It costs the others nothing, and
messages no more than they cost anyway. Which jobs are looked at is narrowed down step by step,
because thousands may be waiting in a queue for their turn:

    all active jobs                 a pipeline that asks for their latest records
    of those, the quiet ones        one script that sees which messages are where (`around`)
    of those, what it did not see   their specs, done-bitmaps and kept messages (`parts`)

What a message's description says is not verified: at worst, somebody who can write to the store
keeps a lost item from being found. What is sent is as the job's signed log has it.
"""

from __future__ import annotations

import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import cast

import redis

from nbqueue.core import lost
from nbqueue.core.errors import BadSignature, Expired
from nbqueue.core.lost import Sight
from nbqueue.core.records import NO_LIMITS, JobSpec
from nbqueue.core.splitting import Range, count
from nbqueue.store import keys
from nbqueue.store.broker.transport import Channel
from nbqueue.store.log.joblog import JobLog
from nbqueue.store.messages.around import Around, covered, kept, look_around
from nbqueue.store.messages.later import Later
from nbqueue.store.messages.parts import About, Part, Parts
from nbqueue.store.messages.plans import Plans
from nbqueue.store.signing import Keyring

log = logging.getLogger("nbqueue.store")

_CLAIM_MS = 15_000
"""How long the others wait for whoever looks, before one of them does: for longer than between two
looks, of which it takes two by the same process."""

_PAGE = 500
"""Jobs that are asked about at a time."""

_MOST = 1_000
"""Jobs that are looked at closely in one look; the others have their turn when these are gone."""

_SPECS = 2_000
"""Specs that are remembered."""


class Lookout:
    """Finds lost items and sends them again. For one thread."""

    def __init__(
        self,
        store: redis.Redis,
        keyring: Keyring,
        joblog: JobLog,
        plans: Plans,
        later: Later,
        *,
        now: Callable[[], float],
        queues: Iterable[str],
        default_queue: str,
    ) -> None:
        self._store = store
        self._joblog = joblog
        self._plans = plans
        self._parts = Parts(store, keyring, joblog, plans)
        self._later = later
        self._now = now
        self._default_queue = default_queue
        self._queues = {default_queue, *queues}
        self._token = secrets.token_hex(8)
        self._before: dict[str, Sight] = {}
        self._specs: OrderedDict[str, JobSpec | None] = OrderedDict()

    def claim(self) -> bool:
        """Say whether this process is the one that looks."""
        if self._store.set(keys.LOOKOUT, self._token, nx=True, px=_CLAIM_MS):
            self._before = {}
            return True
        if self._store.get(keys.LOOKOUT) != self._token.encode():
            return False
        return bool(self._store.pexpire(keys.LOOKOUT, _CLAIM_MS))

    def look(self, channel: Channel) -> dict[str, int]:
        """Send lost items again; give how many, by the names of their jobs.

        Raises:
            redis.RedisError: the store or the broker is away.
            BrokerUnreachable: the broker does not take a message; then the next look finds it.
        """
        before, self._before = self._before, {}
        sent: dict[str, int] = {}
        jobs = list(self._quiet())
        if not jobs:
            return sent
        around = look_around(channel, self._queues)
        for job, spec in self._unseen(jobs, around):
            known = [*covered(self._store, around, job.id), *self._kept(job, spec)]
            for part in self._parts.of(job, spec):
                sight = Sight(job.last, tuple(lost.without(part.open, known)))
                if items := lost.lost(before.get(part.name), sight):
                    self._send(part, items, known)
                    sent[spec.name] = sent.get(spec.name, 0) + count(items)
                elif sight.missing:
                    self._before[part.name] = sight
        return sent

    def _send(self, part: Part, items: Sequence[Range], known: Sequence[Range]) -> None:
        try:
            for message in self._parts.messages(part, items, known):
                self._later.send(message)
        except (Expired, BadSignature) as exc:
            log.error("lost items cannot be sent again: %s", exc)

    def _quiet(self) -> Iterator[About]:
        """Give the jobs to which nothing has happened for some time."""
        now = self._now()
        ids = cast("list[bytes]", self._store.zrange(keys.ACTIVE, 0, -1))
        for start in range(0, len(ids), _PAGE):
            some = [raw.decode(errors="replace") for raw in ids[start : start + _PAGE]]
            pipe = self._store.pipeline(transaction=False)
            for job_id in some:
                pipe.hmget(keys.meta(job_id), "last", "submitted", "n", "round")
            for job_id, (last, submitted, n, round_) in zip(some, pipe.execute(), strict=True):
                if n is None or round_ is None:  # it has ended meanwhile
                    continue
                last = (last or b"0-0").decode()
                happened = max(int(last.partition("-")[0]) / 1000, float(submitted or 0))
                if lost.is_quiet(now, happened):
                    yield About(job_id, last, happened, int(n), int(round_))

    def _unseen(self, jobs: Iterable[About], around: Around) -> Iterator[tuple[About, JobSpec]]:
        """Give the jobs of which something may be lost."""
        left = _MOST
        for job in jobs:
            if job.n == 1 and job.id in around:
                continue
            if not all(self._is_behind(job, oldest) for oldest in around.oldest.values()):
                continue
            left -= 1
            if not left:
                return
            spec = self._spec(job.id)
            # A Celery project's own workers run its tasks; what waits for other jobs is to wait.
            if spec is None or not (spec.function or spec.stages) or self._waits(job, spec):
                continue
            queues = self._queues_of(spec)
            if queues <= around.queues:
                yield job, spec
            self._queues |= queues

    def _is_behind(self, job: About, oldest: Sequence[str]) -> bool:
        pipe = self._store.pipeline(transaction=False)
        for other in oldest:
            pipe.hget(keys.meta(other), "submitted")
        return lost.is_behind(job.happened, [float(found or 0) for found in pipe.execute()])

    def _spec(self, job_id: str) -> JobSpec | None:
        if job_id not in self._specs:
            try:
                self._specs[job_id] = self._joblog.spec(job_id)
            except Expired:  # it has ended meanwhile, or is not signed with our key
                self._specs[job_id] = None
            if len(self._specs) > _SPECS:
                self._specs.popitem(last=False)
        return self._specs[job_id]

    def _waits(self, job: About, spec: JobSpec) -> bool:
        return bool(spec.after and self._store.exists(keys.held(job.id)))

    def _queues_of(self, spec: JobSpec) -> set[str]:
        try:
            routes = (
                [stage.spec.route for stage in self._plans.stages(spec.id)]
                if spec.stages
                else [spec.route]
            )
        except Expired:
            routes = []
        return {route.queue or self._default_queue for route in routes}

    def _kept(self, job: About, spec: JobSpec) -> Sequence[Range]:
        """Give what kept messages of a job are about; all of it, where they cannot be seen."""
        retries = [keys.retries(job.id, r) for r in range(1, job.round + 1)]
        may_be = spec.stages or spec.route.eta is not None or spec.limits is not NO_LIMITS
        if not may_be and not self._store.exists(keys.RATES, *retries):
            return ()
        found = kept(self._store, job.id)
        return [(0, job.n)] if found is None else found
