"""What the cluster's views show: surveys one after another become one picture. Pure.

    Survey, Survey, … ──seen──► ClusterPicture: workers with their rates, those that fell silent,
                                queues, and what went wrong the last time

A worker that stops warmly no longer answers while it finishes what it runs, and one on a machine
that is busy may miss a question: so who was there a moment ago is still shown, as silent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nbqueue.client.remote.survey import Queue, Running, Survey, Worker
from nbqueue.store.rejections import UNREADABLE, Rejections

_RATE_S = 10.0
"""A rate is taken over this long. Shorter: slow items make it jump; longer: it lags."""

_SILENT_S = 15.0
"""A worker that has not answered for this long is gone, if nobody has asked it to stop."""

_STOPPING_S = 60.0
"""The same for one that was. It may have more to finish than that, but nobody can ask it."""

NONE_REFUSED = Rejections()

MOST_WORKERS = 100
MOST_RUNNING = 8


@dataclass(frozen=True)
class WorkerPicture:
    """One worker as it is shown."""

    worker: Worker
    answered_at: float
    """When, by the survey's clock."""
    counts: tuple[tuple[float, int], ...]
    """Items done, at the times of the surveys of the last `_RATE_S`."""
    stopping: bool = False
    """Somebody has told it to."""

    @property
    def items_per_s(self) -> float | None:
        """Items a second; ``None`` until it was seen twice."""
        if len(self.counts) < 2:
            return None
        (first, before), (last, now) = self.counts[0], self.counts[-1]
        return (now - before) / (last - first)


@dataclass(frozen=True)
class ClusterPicture:
    """One cluster as it is shown."""

    at: float | None = None
    """Time of the last survey; ``None`` before the first."""
    workers: tuple[WorkerPicture, ...] = ()
    queues: tuple[Queue, ...] = ()
    trouble: str = ""
    """Why the last look was in vain; what is shown is then from before."""
    away: str = ""
    """What does not answer, in some words; ``trouble`` says more."""
    away_since: float | None = None
    """When that was first noticed, by the monotonic clock."""
    rejections: Rejections = NONE_REFUSED
    stopping: frozenset[str] = field(default=frozenset())

    @property
    def items_per_s(self) -> float | None:
        """Items a second of all workers that answer; ``None`` until there are two surveys."""
        rates = [w.items_per_s for w in self.workers if not self.silent_s(w)]
        known = [rate for rate in rates if rate is not None]
        return sum(known) if known else None

    def silent_s(self, seen: WorkerPicture) -> float:
        """Give how long a worker had not answered at the time of the last survey."""
        return max(0.0, (self.at or 0.0) - seen.answered_at)


def seen(
    before: ClusterPicture,
    survey: Survey,
    rejections: Rejections = NONE_REFUSED,
    *,
    alone: bool = False,
) -> ClusterPicture:
    """Give the picture after a survey; ``alone``: there is one worker at a time."""
    known = {each.worker.name: each for each in before.workers}
    now = [_answered(known.get(w.name), w, survey.at, before.stopping) for w in survey.workers]
    names = {worker.name for worker in survey.workers}
    silent = [
        replace(each, stopping=name in before.stopping)
        for name, each in known.items()
        if name not in names
        and not (alone and names)
        and survey.at - each.answered_at < _patience_s(name, before)
    ]
    found = tuple(sorted([*now, *silent], key=lambda each: each.worker.name))
    left = before.stopping & {each.worker.name for each in found}
    return ClusterPicture(survey.at, found, survey.queues, stopping=left, rejections=rejections)


def _answered(
    before: WorkerPicture | None, worker: Worker, at: float, stopping: frozenset[str]
) -> WorkerPicture:
    counts = before.counts if before is not None else ()
    if counts and counts[-1][1] > worker.done:
        counts = ()  # another one, under the same name
    kept = tuple(count for count in counts if at - count[0] <= _RATE_S)
    return WorkerPicture(worker, at, (*kept, (at, worker.done)), worker.name in stopping)


def _patience_s(name: str, picture: ClusterPicture) -> float:
    return _STOPPING_S if name in picture.stopping else _SILENT_S


def missed(before: ClusterPicture, why: str, now: float = 0.0, *, away: str = "") -> ClusterPicture:
    """Give the picture after a look that failed at ``now``, by the monotonic clock.

    ``away`` says in some words what did not answer, if that was it.
    """
    since = None if not away else now if before.away_since is None else before.away_since
    return replace(before, trouble=why, away=away, away_since=since)


def told_to_stop(before: ClusterPicture, name: str) -> ClusterPicture:
    """Give the picture after somebody has told a worker to stop."""
    return replace(before, stopping=before.stopping | {name})


def as_message(picture: ClusterPicture, now: float = 0.0, clock: float = 0.0) -> dict[str, Any]:
    """Give a picture as JSON: what `static/cluster` draws.

    ``now`` is the time by the monotonic clock, ``clock`` in seconds since the epoch.
    """
    return {
        "known": picture.at is not None,
        "trouble": picture.trouble,
        "away": picture.away,
        "away_s": 0.0 if picture.away_since is None else round(now - picture.away_since, 1),
        "refused": _refused(picture.rejections, clock),
        "items_per_s": _rounded(picture.items_per_s),
        "workers": [_worker(picture, each) for each in picture.workers[:MOST_WORKERS]],
        "n_workers": len(picture.workers),
        "queues": [vars(queue) for queue in picture.queues],
    }


def _worker(picture: ClusterPicture, seen: WorkerPicture) -> Mapping[str, Any]:
    worker = seen.worker
    return {
        "name": worker.name,
        "host": worker.host,
        "pid": worker.pid,
        "pool": worker.pool,
        "processes": worker.processes,
        "leaving": worker.leaving,
        "resizable": worker.resizable,
        "queues": list(worker.queues),
        "running": [_running(each) for each in worker.running[:MOST_RUNNING]],
        "n_running": worker.n_running,
        "done": worker.done,
        "items_per_s": _rounded(seen.items_per_s),
        "memory_mb": round(worker.memory_mb),
        "silent_s": round(picture.silent_s(seen), 1),
        "stopping": seen.worker.name in picture.stopping,
    }


def _running(run: Running) -> Mapping[str, Any]:
    return {"label": run.label, "task": run.task, "for_s": round(run.for_s, 1)}


def _refused(found: Rejections, clock: float) -> Mapping[str, Any] | None:
    if not found.total:
        return None
    ago_s = None if found.at is None else round(max(0.0, clock - found.at), 1)
    return {
        "total": found.total,
        "counts": [[refused_as(kind), n] for kind, n in list(found.counts.items())[:_KINDS]],
        "last": refused_as(found.last),
        "by": found.by[:_TEXT],
        "ago_s": ago_s,
    }


_KINDS = 12
_TEXT = 200
"""Whoever can write to the store can write these; they are shown, and not at any length."""

_REFUSED_AS = {
    "message": "a message that is not signed with a key of the workers",
    "message of a job that is gone": "a message of a job that is gone: one sent again, maybe",
    UNREADABLE: "a message that cannot be read",
}


def refused_as(kind: str) -> str:
    """Say what was refused, and why.

    >>> refused_as("argument block")
    'an argument block that was changed, or is not signed with the right key'
    """
    if not kind:
        return ""
    an = "an" if kind[:1] in "aeiou" else "a"
    changed = f"{an} {kind[:_TEXT]} that was changed, or is not signed with the right key"
    return _REFUSED_AS.get(kind, changed)


def _rounded(rate: float | None) -> float | None:
    return None if rate is None else float(f"{rate:.3g}")
