"""Workflows: their stages are sent when what they wait for has succeeded.

Whatever ends the last item of a stage (a worker's commit, a cancellation, the end of a job that the
workflow follows) decides in the same script which stages begin and which cannot, and puts them down
in the store (`lua/stages.lua`). The process that did it then claims them here, and so do clients
every few seconds, for a process that died in between:

    go       the stage's message goes to the broker
    doomed   its items are recorded as UpstreamFailed

To do it twice does no harm: a message that is sent twice is recorded once.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import nan
from typing import Any, NamedTuple

from nbqueue.core.errors import BadSignature, Expired, NbqueueError, UnknownJob, UpstreamFailed
from nbqueue.core.failing import all_failed
from nbqueue.core.plan import stages_of
from nbqueue.core.records import Error, JobSpec, Planned, Stage
from nbqueue.core.splitting import Range
from nbqueue.store.broker.message import Message
from nbqueue.store.log.joblog import JobLog
from nbqueue.store.log.opening import Opening, opening_arguments
from nbqueue.store.messages.later import Later
from nbqueue.store.values.packing import BlobStore, pack_native

_CLAIM_MS = 10_000
"""How long a process has for sending what it claimed, before another may."""

_KEPT = 16
"""Plans that are remembered; each is read anew for every stage otherwise."""


class _Decided(NamedTuple):
    """A stage about which something is decided."""

    stage: str
    how: str
    items: str
    cause: str
    function: str


class Plans:
    """Opens workflows, and sends their stages as their time comes."""

    def __init__(
        self,
        joblog: JobLog,
        later: Later,
        blobs: BlobStore,
        *,
        now: Callable[[], float],
        name: str,
    ) -> None:
        self._joblog = joblog
        self._later = later
        self._blobs = blobs
        self._now = now
        self._name = name
        self._lock = threading.Lock()
        self._token = secrets.token_hex(8)
        self._known: OrderedDict[str, tuple[Opening, Planned]] = OrderedDict()

    def open(self, opening: Opening, planned: Planned) -> bool:
        """Make a workflow exist, and begin it; says whether there is something to send.

        Raises:
            UnknownJob: a job that it is to follow is not in the store; nothing was done.
        """
        spec = opening.spec
        body, sig = self._joblog.sealed(spec.id, planned)
        known, value = self._joblog.run(
            "plan", spec.id, body, sig, *_table(planned.stages), len(spec.after), *spec.after,
            *opening_arguments(opening),
        )  # fmt: skip
        if known == 0:
            raise UnknownJob(f"job {value.decode()!r} is not in the store; nothing was sent")
        self._remember(spec.id, (opening, planned))
        return bool(value)

    def spec(self, job_id: str) -> JobSpec | None:
        """Give the spec of a workflow that is remembered here."""
        found = self._known.get(job_id)
        return None if found is None else found[0].spec

    def advance(self, spec: JobSpec) -> bool:
        """Send what is decided about a workflow; says whether others may begin because of it.

        Raises:
            BrokerUnreachable: the broker does not take it; it stays for the next time.
            Expired: the workflow's plan cannot be read.
        """
        with self._lock:  # two threads have one token
            return self._advance(spec)

    def _advance(self, spec: JobSpec) -> bool:
        if spec.after:
            self._joblog.run("begin", spec.id, *spec.after)
        done: list[str] = []
        others = False
        while found := self._joblog.run("advance", spec.id, _CLAIM_MS, self._token, *done):
            opening, planned = self._plan(spec.id)
            done = []
            for k in range(1, len(found), 5):
                decided = _Decided(*(value.decode() for value in found[k : k + 5]))
                others |= self._do(opening, planned, found[0], decided)
                done += decided[:2]
        return others

    def spread(self, job_id: str, stage: int, count: int) -> int | None:
        """Give a stage that grows its items; their first number, ``None`` when it is too late."""
        start = int(self._joblog.run("spread", job_id, stage, count))
        return start if start >= 0 else None

    def stages(self, job_id: str) -> tuple[Stage, ...]:
        """Give the stages of a workflow, as they were planned.

        Raises:
            Expired: the workflow's plan cannot be read.
        """
        with self._lock:
            return self._plan(job_id)[1].stages

    def message(
        self, job_id: str, number: int, items: Range, round_: int, function: str
    ) -> Message:
        """Give the message of a stage that has begun, for another time.

        Raises:
            Expired: the workflow's plan cannot be read.
        """
        with self._lock:
            opening, planned = self._plan(job_id)
        start, stop = items
        stage = planned.stages[number]
        spec = replace(stage.spec, n=stop - start)
        stage = replace(stage, start=start, stop=stop, spec=spec)
        return Message(
            opening,
            start,
            stop,
            round=round_,
            whole=True,
            check=True,
            function=function,
            stage=stage,
        )

    def _do(self, opening: Opening, planned: Planned, round_: int, decided: _Decided) -> bool:
        stage = planned.stages[int(decided.stage)]
        start, stop = _items_of(stage, decided.items, opening.spec.n)
        spec = replace(stage.spec, n=stop - start)
        if stage.countdown is not None and round_ == 1:
            spec = replace(spec, route=replace(spec.route, eta=self._now() + stage.countdown))
        stage = replace(stage, start=start, stop=stop, spec=spec)
        if decided.how.startswith("doomed"):
            text = self._upstream(planned, decided.cause)
            return self._fail(opening.spec.id, round_, stage, UpstreamFailed(text))
        try:
            function = self._joblog.function_of_stage(spec.id, stage.number, decided.function)
        except BadSignature as exc:
            return self._fail(opening.spec.id, round_, stage, exc)
        self._later.send(
            Message(
                opening,
                start,
                stop,
                round=round_,
                whole=True,
                check=round_ > 1,
                function=function,
                stage=stage,
                sources=_sources(planned, stage),
            )
        )
        return False

    def _upstream(self, planned: Planned, cause: str) -> str:
        what = (
            f"{planned.stages[int(cause)].spec.task!r}, earlier in the workflow,"
            if cause.isdigit()
            else self._called(cause)
        )
        return (
            f"not begun, because {what} did not succeed; once that is mended, job.retry() of this "
            "one goes on from there"
        )

    def _fail(self, job_id: str, round_: int, stage: Stage, exc: NbqueueError) -> bool:
        error = Error(type(exc).__name__, str(exc), "", pack_native(exc, self._blobs))
        record = all_failed(
            [(stage.start, stage.stop)],
            error,
            round_=round_,
            worker=self._name,
            at=self._now(),
            times=nan,
        )
        reply = self._joblog.commit(job_id, record, self._now(), stage=stage.number)
        return bool(reply.ready)

    def _called(self, cause: str) -> str:
        """Name another job (``job ID``) as a person knows it."""
        name = self._joblog.name(cause.rpartition(" ")[2])
        return cause if name is None else repr(name)

    def _plan(self, job_id: str) -> tuple[Opening, Planned]:
        if job_id not in self._known:
            self._remember(job_id, self._read(job_id))
        return self._known[job_id]

    def _read(self, job_id: str) -> tuple[Opening, Planned]:
        entries = [entry.record for entry in self._joblog.read(job_id, limit=2)]
        if len(entries) == 2 and isinstance(spec := entries[0], JobSpec):
            planned = entries[1]
            if isinstance(planned, Planned):
                return self._joblog.opening(spec), planned
        raise Expired(
            f"the plan of job {job_id!r} cannot be read: it expired, or was signed with another key"
        )

    def _remember(self, job_id: str, found: tuple[Opening, Planned]) -> None:
        self._known[job_id] = found
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)


def _items_of(stage: Stage, told: str, n: int) -> tuple[int, int]:
    """Give the items of a stage: by the plan, which is signed, or if it has none as the store says.

    Raises:
        BadSignature: they are other stages' items; somebody has written to the store.
    """
    if stage.start < stage.stop:
        return stage.start, stage.stop
    start, stop = map(int, told.split())
    if not n <= start <= stop:
        raise BadSignature(f"stage {stage.number} cannot have the items from {start} to {stop}")
    return start, stop


def _sources(planned: Planned, stage: Stage) -> tuple[tuple[int, Range], ...]:
    """Give the items of the stages that a stage takes from, where the plan has them."""
    stages = (planned.stages[s] for s in sorted(set(stages_of(stage.takes))))
    return tuple((s.number, s.planned_items) for s in stages if s.planned_items is not None)


def _table(stages: Sequence[Stage]) -> list[Any]:
    """Give what ``plan.lua`` wants to know of the stages."""
    then: dict[int, list[int]] = {}
    rescuers: dict[int, list[int]] = {}
    for stage in stages:
        for before in stage.after:
            (rescuers if stage.kind == "rescues" else then).setdefault(before, []).append(
                stage.number
            )
    rows: list[Any] = [len(stages)]
    for stage in stages:
        rescues = stage.kind == "rescues"
        rows += (
            "" if stage.planned_items is None else f"{stage.start} {stage.stop}",
            stage.stop - stage.start,
            0 if rescues else len(stage.after),
            "-" if rescues else _words(stage.after),
            _words(then.get(stage.number, ())),
            _words(rescuers.get(stage.number, ())),
        )
    first = [s.number for s in stages if not s.after]
    return [*rows, _words(first)]


def _words(numbers: Sequence[int]) -> str:
    return " ".join(map(str, numbers))
