"""The runs that came of a schedule: which jobs, when they were due, and how they ended.

For listings: nothing in it is trusted or unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import cast

import redis

from nbqueue.core import states
from nbqueue.store import keys
from nbqueue.store.lua import source

SKIPPED = "SKIPPED"
"""Outcome of a run that was left out because the one before was still going."""

EXPIRED = "EXPIRED"
"""Outcome of a run whose job was gone before anybody had noted how it ended."""

_HISTORY = 1000
"""Runs that are remembered of each schedule. More: a schedule of every second is a list of a
million by the week's end."""


@dataclass(frozen=True)
class Run:
    """One run of a schedule."""

    job: str
    """Id of its job; empty when it was skipped."""
    due: float
    outcome: str
    """A state, `SKIPPED` or `EXPIRED`."""
    finished: float | None = None
    duration_s: float = nan
    """From the job's submission to its end."""


def skip(due: float) -> str:
    """Give what stands in the place of a job when a run is skipped."""
    return f"skipped {due:.3f}"


def note(store: redis.Redis, name: str, member: str, due: float) -> None:
    """Note a run of a schedule."""
    store.register_script(source("run_note"))(
        keys=[keys.schedule(name), keys.schedule_runs(name), keys.schedule_ended(name)],
        args=[member, due, _HISTORY],
    )


def latest(store: redis.Redis, name: str, limit: int) -> list[Run]:
    """Give a schedule's latest runs, latest first, and note how those have ended that have.

    Whoever looks notes it (beat does so now and then), because jobs expire before schedules do.
    """
    found = cast(
        "list[tuple[bytes, float]]",
        store.zrevrange(keys.schedule_runs(name), 0, limit - 1, withscores=True),
    )
    if not found:
        return []
    members = [member.decode() for member, _ in found]
    noted = cast("list[bytes | None]", store.hmget(keys.schedule_ended(name), members))
    seen = _look(store, [member for member in members if " " not in member])
    new: list[str | bytes] = []
    for member, before in zip(members, noted, strict=True):
        now = _json(seen[member]) if member in seen and seen[member].finished else None
        if now is not None and now.encode() != before:  # it was retried, say
            new += (member, now)
    if new:
        store.register_script(source("run_ended"))(
            keys=[keys.schedule(name), keys.schedule_ended(name)], args=new
        )
    return [
        _run(member, due, before, seen.get(member))
        for member, (_, due), before in zip(members, found, noted, strict=True)
    ]


def _run(member: str, due: float, noted: bytes | None, seen: Run | None) -> Run:
    if " " in member:
        return Run("", due, SKIPPED)
    if seen is not None:
        return replace(seen, due=due)
    return Run(member, due, **json.loads(noted)) if noted else Run(member, due, EXPIRED)


def _json(run: Run) -> str:
    return json.dumps(
        {"outcome": run.outcome, "finished": run.finished, "duration_s": run.duration_s}
    )


def _look(store: redis.Redis, job_ids: Sequence[str]) -> dict[str, Run]:
    """Say how jobs are, by their counters; those that are gone are left out."""
    pipe = store.pipeline(transaction=False)
    for job_id in job_ids:
        pipe.hmget(keys.meta(job_id), "left", "failure", "revoked", "submitted", "finished")
    found = {}
    for job_id, raw in zip(job_ids, pipe.execute(), strict=True):
        if raw[0] is None:
            continue
        left, failure, revoked, submitted, finished = (x and float(x) for x in raw)
        if left or finished is None:
            found[job_id] = Run(job_id, 0.0, states.PENDING)
            continue
        state = states.FAILURE if failure else states.REVOKED if revoked else states.SUCCESS
        found[job_id] = Run(job_id, 0.0, state, finished, finished - (submitted or finished))
    return found
