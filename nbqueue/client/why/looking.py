"""Finding out what holds up items that have not ended: asks the store, the broker and the workers.

The workers' answers and the look into queues are asked for once, however many items are meant
(`Look`); each takes a bounded time, and what cannot be reached is told instead of raised, because
whoever asks why wants to know just that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import redis

from nbqueue.client.remote import control
from nbqueue.client.remote.asking import connected
from nbqueue.client.remote.survey import Survey
from nbqueue.client.why.facts import Facts, Other
from nbqueue.core import states
from nbqueue.core.errors import NbqueueError
from nbqueue.core.records import JobSpec, Stage
from nbqueue.store.connection.connection import impatient
from nbqueue.store.log.catalogue import summary
from nbqueue.store.messages import peeking
from nbqueue.store.messages.peeking import Spot

if TYPE_CHECKING:
    from nbqueue.client.live import Live


@dataclass
class Look:
    """What the workers said at one moment, or why they could not be asked."""

    survey: Survey | None = None
    trouble: str = ""
    away: bool = False
    """The store does not answer: nothing is known but what was heard before."""


def reach(live: Live) -> None:
    """See that the store answers, soon, and have the job be there.

    Raises:
        redis.RedisError: it does not.
    """
    client = live.client
    with impatient(client.store) as store:
        store.ping()
    if not live.finished:
        client.follower.open_now(live.id)
        client.follower.catch_up(live)


def look(live: Live) -> Look:
    """Ask the workers; takes a second or so, and a few when nobody answers."""
    try:
        return Look(control.look(live.client))
    except NbqueueError as exc:
        return Look(trouble=str(exc))


def facts(live: Live, i: int, seen: Look) -> Facts:
    """Find out what is known of an item that has not ended.

    Raises:
        redis.RedisError: the store does not answer.
    """
    client, state = live.client, live.state
    stage = state.stage_of(i)
    spec = state.spec if stage is None else stage.spec
    queue = spec.route.queue or ("" if spec.route.exchange else client.default_queue)
    store, now = client.store, client.now()
    meta = peeking.meta(store, live.id, state.round[i], i)
    spots = _spots(live, queue, i, seen)
    kept = peeking.kept(store, client.keyring, live.id, i)
    unsure = [spot for spot in (*(spots or ()), *kept) if not spot.sure]
    error = state.error(i)
    return Facts(
        job_id=live.id,
        item=i,
        state=states.NAMES[state.states[i]],
        now=now,
        queue=queue,
        error=error.brief if error else "",
        started=state.running.get(i),
        expires=spec.limits.expires,
        survey=seen.survey,
        trouble=seen.trouble,
        spots=None if spots is None else tuple(spot for spot in spots if spot.sure),
        kept=tuple(spot for spot in kept if spot.sure),
        unsure=tuple(unsure),
        others=_steps(live, stage) if stage is not None else _jobs(store, spec),
        cancelled=_cancelled(store, seen.survey),
        step=stage.spec.task if stage is not None else "",
        projects=not spec.function and (stage is None or stage.kind != "spreads"),
        limits=peeking.limits(store, spec.task, now),
        meta=meta,
    )


def deaths(live: Live, i: int) -> int:
    """Give how often an item's process has died, as far as workers noted it: in this round."""
    return max(peeking.meta(live.client.store, live.id, live.state.round[i], i).tries - 1, 0)


def _spots(live: Live, queue: str, i: int, seen: Look) -> tuple[Spot, ...] | None:
    if seen.survey is None:
        return ()
    named = {q.name for q in seen.survey.queues if q.waiting}
    queues = [queue] if queue else sorted(named)
    try:
        with connected(live.client) as connection:
            found = peeking.in_queues(connection, queues, live.id, i)
    except NbqueueError as exc:
        seen.trouble = str(exc)
        return ()
    return None if found is None else tuple(found)


def _cancelled(store: redis.Redis, survey: Survey | None) -> frozenset[str]:
    """Give the jobs that are over because they were cancelled, and of which workers run some."""
    workers = survey.workers if survey else ()
    ids = {running.job_id for worker in workers for running in worker.running if running.job_id}
    known = [job for job_id in ids if (job := summary(store, job_id)) is not None]
    return frozenset(job.id for job in known if job.revoked and not job.left)


def _jobs(store: redis.Redis, spec: JobSpec) -> tuple[Other, ...]:
    """Say how the jobs are that a job follows, those that have not succeeded."""
    found = []
    for job_id in spec.after:
        known = summary(store, job_id)
        if known is None:
            found.append(Other(job_id, 0, 0, bad=1))
        elif known.left or known.failure or known.revoked:
            found.append(Other(known.name, known.left, known.n, known.failure + known.revoked))
    return tuple(found)


def _steps(live: Live, stage: Stage) -> tuple[Other, ...]:
    """Say how the steps are that one of a workflow follows, those that have not succeeded."""
    state = live.state
    found = []
    for number in stage.after:
        before = state.stages[number]
        codes = state.states[before.start : before.stop]
        left = sum(code < states.FIRST_DONE_CODE for code in codes)
        bad = codes.count(states.FAILURE_CODE) + codes.count(states.REVOKED_CODE)
        if not before.stop:  # its items are to be found by the step before it
            left = 1
        if left or bad:
            found.append(Other(before.spec.task, left, max(len(codes), left), bad))
    if found or stage.number not in _first(state.stages):
        return tuple(found)
    return _jobs(live.client.store, state.spec)


def _first(stages: list[Stage]) -> set[int]:
    return {stage.number for stage in stages if not stage.after}
