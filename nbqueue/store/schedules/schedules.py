"""Schedules: what is to be submitted again and again, and the runs that came of it.

A schedule keeps the spec of a job as a template, its packed arguments, and copies of the function
and of the large values that they refer to: those expire after some days, and a schedule may wait
for months. When it is due, beat sends `SCHEDULED_TASK` with its name, and a worker submits a job
from the template (`Schedules.submit`), through the same message and log as any other. Of a workflow
the template is its plan, and its argument blocks are kept under an id that no job has.

The times are in RedBeat's hands (`store.schedules.beat`) while the schedule is enabled, and only
then; this module knows neither Celery's beat nor its clock. The definition is signed. Runs are for
listings: nothing in them is trusted or unpickled.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import secrets
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import redis

from nbqueue.core import states, wire
from nbqueue.core.errors import UnknownSchedule
from nbqueue.core.records import JobSpec, Limits, Planned, Route, Stage
from nbqueue.core.settings import INLINE_BYTES, KEEP_EXTRA_S, RESULT_EXPIRES_S
from nbqueue.core.timetable import Timetable
from nbqueue.store import keys
from nbqueue.store.broker.message import Message
from nbqueue.store.broker.publisher import Publisher
from nbqueue.store.log.joblog import JobLog
from nbqueue.store.messages.plans import Plans
from nbqueue.store.schedules import runs
from nbqueue.store.signing import Keyring
from nbqueue.store.values.arguments import Arguments

SCHEDULED_TASK = "nbqueue.scheduled"
"""The Celery task that beat sends; its arguments are a schedule's name and when it was due."""

_LATEST = 20
"""Runs among which one that still goes on is looked for."""

_TTL_S = RESULT_EXPIRES_S + KEEP_EXTRA_S
_LENGTHS = struct.Struct("<II")


@dataclass(frozen=True)
class Workflow:
    """The template of a workflow."""

    planned: Planned
    blocks: tuple[int, ...]
    """Numbers of its argument blocks, which are those of the id in the template."""

    @property
    def first(self) -> JobSpec:
        """The spec of its first stage."""
        return self.planned.stages[0].spec

    @property
    def functions(self) -> set[str]:
        """Addresses of what its stages call."""
        return {stage.spec.function for stage in self.planned.stages}


@dataclass(frozen=True)
class Definition:
    """A schedule: what is to be run, and when."""

    name: str
    spec: JobSpec
    """The job of each run, but for its id, name and time."""
    call: bytes
    """Packed arguments."""
    timetable: Timetable
    zone: str
    """Time zone in which runs are named."""
    overlap: bool
    """Whether a run may begin while the one before is still going."""
    created: float
    blobs: tuple[str, ...]
    """Addresses of the large values that the function refers to."""
    call_blobs: tuple[str, ...] = ()
    """Addresses of those that the arguments refer to."""
    workflow: Workflow | None = None
    """What is run instead of a call."""

    @property
    def route(self) -> Route:
        """Where its jobs go; of a workflow, its first step."""
        return self.spec.route if self.workflow is None else self.workflow.first.route


class Schedules:
    """The schedules of a store."""

    def __init__(
        self,
        store: redis.Redis,
        keyring: Keyring,
        joblog: JobLog,
        arguments: Arguments,
        publisher: Publisher,
        *,
        plans: Plans,
        release: Callable[[], object],
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._joblog = joblog
        self._arguments = arguments
        self._publisher = publisher
        self._plans = plans
        self._release = release
        self._now = now

    # -- definitions -------------------------------------------------------------------------------

    def save(self, definition: Definition) -> None:
        """Store a schedule, in the place of any of its name, whose runs it takes over.

        Function and large values must be in the store; they are kept from now on.
        """
        name = definition.name
        sealed = self._keyring.seal(_context(name), _encode(definition))
        before = set(_kept(self._store, name))
        sources = _sources(definition)
        pipe = self._store.pipeline()
        for key in sources:
            pipe.copy(key, keys.schedule_kept(name, key), replace=True)
            pipe.persist(keys.schedule_kept(name, key))
        for old in before - {keys.schedule_kept(name, key) for key in sources}:
            pipe.delete(old)
        pipe.hset(keys.schedule(name), "definition", sealed)
        pipe.hset(keys.schedule(name), "kept", json.dumps(sources))
        pipe.hdel(keys.schedule(name), "paused", "sent")
        pipe.sadd(keys.SCHEDULES, name)
        pipe.execute()

    def load(self, name: str) -> Definition:
        """Read a schedule.

        Raises:
            UnknownSchedule: there is none of that name.
            BadSignature: it is not signed with a key of this process.
        """
        sealed = cast("bytes | None", self._store.hget(keys.schedule(name), "definition"))
        if sealed is None:
            raise unknown(self._store, name)
        return _decode(self._keyring.unseal(_context(name), sealed))

    def remove(self, name: str) -> bool:
        """Delete a schedule and the list of its runs (not their jobs); False if there is none."""
        gone = _kept(self._store, name)
        pipe = self._store.pipeline()
        pipe.srem(keys.SCHEDULES, name)
        pipe.delete(keys.schedule(name), keys.schedule_runs(name), keys.schedule_ended(name), *gone)
        removed, _ = pipe.execute()
        return bool(removed)

    # -- runs --------------------------------------------------------------------------------------

    def submit(self, name: str, due: float | None = None) -> JobSpec | None:
        """Submit the job of one run; None when it is skipped, or was submitted before.

        Args:
            name: The schedule's.
            due: When the run was due; None for one out of turn, which is made in any case. The
                same time twice is one run: messages may come twice.

        Raises:
            UnknownSchedule, BadSignature: as `load`.
            Expired: a large value is not in the store any more, although it was kept.
            BrokerUnreachable: the broker does not take the message.
        """
        definition = self.load(name)
        at = self._now() if due is None else due
        job_id = secrets.token_hex(8) if due is None else _job_id(definition, at)
        if due is not None and self._is_over(name, job_id):
            return None
        if due is not None and not definition.overlap and self._is_running(name):
            runs.note(self._store, name, runs.skip(at), at)
            return None
        self._revive(definition)
        now = self._now()
        spec = replace(
            definition.spec,
            id=job_id,
            name=f"{name} @ {definition.timetable.stamp(at, definition.zone)}",
            submitted=now,
            limits=_later(definition.spec.limits, now - definition.spec.submitted),
        )
        if definition.workflow is None:
            self._send(definition, spec)
        else:
            self._begin(definition, definition.workflow, spec)
        runs.note(self._store, name, job_id, at)
        return spec

    def _send(self, definition: Definition, spec: JobSpec) -> None:
        inline = definition.call if len(definition.call) <= INLINE_BYTES else b""
        if not inline:
            self._arguments.put(spec.id, 0, definition.call)
        opening = self._joblog.opening(spec, inline)
        self._publisher.send(Message(opening, 0, 1, whole=True))
        self._joblog.open(opening)

    def _begin(self, definition: Definition, workflow: Workflow, spec: JobSpec) -> None:
        for number in workflow.blocks:
            self._arguments.copy(definition.spec.id, spec.id, number)
        later_s = spec.submitted - definition.spec.submitted

        def of_this_run(stage: Stage) -> Stage:
            own = replace(stage.spec, id=spec.id, name=spec.name, submitted=spec.submitted)
            return replace(stage, spec=replace(own, limits=_later(own.limits, later_s)))

        planned = replace(workflow.planned, stages=tuple(map(of_this_run, workflow.planned.stages)))
        if self._plans.open(self._joblog.opening(spec), planned):
            self._release()

    def _is_over(self, name: str, job_id: str) -> bool:
        left = self._store.hget(keys.meta(job_id), "left")
        return left == b"0" or self._store.hexists(keys.schedule_ended(name), job_id)

    def _is_running(self, name: str) -> bool:
        return any(run.outcome == states.PENDING for run in runs.latest(self._store, name, _LATEST))

    def _revive(self, definition: Definition) -> None:
        """Put back from the schedule's copies what has expired."""
        sources = _sources(definition)
        pipe = self._store.pipeline(transaction=False)
        for key in sources:
            pipe.expire(key, _TTL_S)
        for key, is_there in zip(sources, pipe.execute(), strict=True):
            if not is_there and self._store.copy(keys.schedule_kept(definition.name, key), key):
                self._store.expire(key, _TTL_S)


def names(store: redis.Redis) -> list[str]:
    """Give the names of all schedules, in alphabetical order."""
    found = cast("set[bytes]", store.smembers(keys.SCHEDULES))
    return sorted(name.decode() for name in found)


def unknown(store: redis.Redis, name: str) -> UnknownSchedule:
    """Give the error that there is no such schedule."""
    near = difflib.get_close_matches(name, names(store), n=3)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "nq.schedules() lists all"
    return UnknownSchedule(f"no schedule with name {name!r}: {hint}")


def _later(limits: Limits, by_s: float) -> Limits:
    """Give a template's limits as they are for a run that is submitted later."""
    return limits if limits.expires is None else replace(limits, expires=limits.expires + by_s)


# -- bytes -----------------------------------------------------------------------------------------


def _context(name: str) -> str:
    return f"schedule {name}"


def _encode(definition: Definition) -> bytes:
    head = json.dumps(
        {
            "name": definition.name,
            "timetable": definition.timetable.to_plain(),
            "zone": definition.zone,
            "overlap": definition.overlap,
            "created": definition.created,
            "blobs": definition.blobs,
            "call_blobs": definition.call_blobs,
            "blocks": None if definition.workflow is None else definition.workflow.blocks,
        }
    ).encode()
    spec = wire.encode(definition.spec)
    what = definition.call
    if definition.workflow is not None:
        what = wire.encode(definition.workflow.planned)
    return _LENGTHS.pack(len(head), len(spec)) + head + spec + what


def _decode(body: bytes) -> Definition:
    head_size, spec_size = _LENGTHS.unpack_from(body)
    start = _LENGTHS.size + head_size
    head = json.loads(body[_LENGTHS.size : start])
    spec = wire.decode(JobSpec.kind, body[start : start + spec_size])
    assert isinstance(spec, JobSpec)
    what = body[start + spec_size :]
    workflow = None
    if (blocks := head.get("blocks")) is not None:
        planned = wire.decode(Planned.kind, what)
        assert isinstance(planned, Planned)
        workflow, what = Workflow(planned, tuple(blocks)), b""
    return Definition(
        name=head["name"],
        spec=spec,
        call=what,
        workflow=workflow,
        timetable=Timetable.from_plain(head["timetable"]),
        zone=head["zone"],
        overlap=head["overlap"],
        created=head["created"],
        blobs=tuple(head["blobs"]),
        call_blobs=tuple(head["call_blobs"]),
    )


def _sources(definition: Definition) -> list[str]:
    """Name the keys that a schedule keeps copies of. (Blobs that are files do not expire.)"""
    blobs = map(keys.blob, sorted({*definition.blobs, *definition.call_blobs}))
    workflow = definition.workflow
    if workflow is None:
        return [keys.function(definition.spec.function), *blobs]
    blocks = [keys.args(definition.spec.id)] if workflow.blocks else []
    return [*map(keys.function, sorted(workflow.functions)), *blocks, *blobs]


def _kept(store: redis.Redis, name: str) -> list[str]:
    raw = cast("bytes | None", store.hget(keys.schedule(name), "kept"))
    return [keys.schedule_kept(name, key) for key in json.loads(raw or b"[]")]


def _job_id(definition: Definition, due: float) -> str:
    text = f"{definition.name}\0{definition.created}\0{due:.3f}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
