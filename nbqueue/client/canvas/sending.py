"""From a draft to a job: upload what each stage is called with, open the plan, send what can begin.

The plan is the acceptance: it goes to the store in one step, together with the job, after all
arguments and functions are there. From then on the workflow needs no client: whoever ends a stage
sends those that waited for it (`store.messages.plans`).
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from nbqueue.client import dispatch, unsent
from nbqueue.client.canvas.steps import Draft, Step
from nbqueue.client.client import Client
from nbqueue.client.dispatch import Submission
from nbqueue.client.job import Job
from nbqueue.client.live import Live
from nbqueue.client.options import TaskOptions, check_name
from nbqueue.client.schedules import making
from nbqueue.client.schedules.scheduler import Noted
from nbqueue.core.errors import InfrastructureError, UsageError
from nbqueue.core.plan import (
    Listed,
    Other,
    Take,
    block_number,
    renumbered,
    stages_of,
)
from nbqueue.core.records import NO_LIMITS, JobSpec, Planned, Route, Stage
from nbqueue.core.settings import BLOCK_ITEMS
from nbqueue.store.broker.publisher import Unconfirmed
from nbqueue.store.schedules.schedules import Workflow

PARAMS = ("node", "args")
"""What stands for the parameters of a workflow's items, which have no parameters in common."""


def submit(client: Client, draft: Draft, name: str | None = None) -> Job:
    """Send a workflow.

    Raises:
        NotPicklable: an argument, or something that a function uses, cannot travel.
        UnknownJob: a job that it is to follow is not in the store; nothing was sent.
        BrokerUnreachable: the store has it, but the broker does not take what begins: it is sent
            as soon as the broker is there.
    """
    name = check_name(name)
    if not draft.steps:  # an empty group
        return dispatch.submit_rows(client, Submission("group", "", (), TaskOptions(), name), ())
    made = _Stages(client, name)
    try:
        with unsent.nothing_sent():
            for step in draft.steps:
                made.add(step)
        spec = made.spec(draft)
        planned = Planned(tuple(made.stages), renumbered(draft.result, made.numbers))
        live = Live(client, spec)
        live.blocks = made.kept
        live.apply(planned)
        client.follower.follow(live)
        for job_id in spec.after:
            client.follower.open_now(job_id)
        try:
            with unsent.not_known(spec.name):
                begun = client.plans.open(client.joblog.opening(spec), planned)
        except BaseException:
            client.follower.unfollow(live)
            raise
    except BaseException as exc:
        if not isinstance(exc, Unconfirmed):
            dispatch.discard(client, made.job_id)
        raise
    with suppress(InfrastructureError):  # whoever comes by next sends what can begin
        if begun:
            client.sequels.release()
        client.follower.catch_up(live)
    return Job(live)


def template(client: Client, draft: Draft, name: str | None) -> Template:
    """Store a workflow that is to be run again and again, instead of sending it.

    Raises:
        UsageError: it follows other jobs, has an option that is good for one run, or is empty.
        NotPicklable: an argument, or something that a function uses, cannot travel.
    """
    if not draft.steps:
        raise UsageError("an empty group has nothing to run")
    if next(iter(_others(draft)), None) is not None:
        raise UsageError("what goes on from a job cannot be run again and again")
    made = _Stages(client, name, lasting=True)
    for step in draft.steps:
        making.check(replace(step.task.options, countdown=None))
        made.add(step)
    planned = Planned(tuple(made.stages), renumbered(draft.result, made.numbers))
    return Template(
        made.spec(draft),
        Workflow(planned, tuple(made.blocks)),
        tuple(dict.fromkeys(made.noted)),
        tuple(dict.fromkeys(made.blobs.addresses)),
    )


class Template(NamedTuple):
    """A workflow as a schedule keeps it."""

    spec: JobSpec
    workflow: Workflow
    blobs: tuple[str, ...]
    call_blobs: tuple[str, ...]


class _Stages:
    """Makes stages of steps, and stores their arguments; ``lasting`` those of a schedule."""

    def __init__(self, client: Client, name: str | None, *, lasting: bool = False) -> None:
        self._client = client
        self._name = name
        self._lasting = lasting
        self.blobs = Noted(client.blobs)
        """What is put there is noted, for those who keep it."""
        self.noted: list[str] = []
        """Addresses of large values that functions refer to."""
        self.blocks: list[int] = []
        self.job_id = dispatch.new_id()
        self.stages: list[Stage] = []
        self.numbers: dict[int, int] = {}
        """The stage whose results are a step's, by the step's position."""
        self.kept: dict[int, bytes] = {}
        self._parts: list[tuple[int, ...]] = []
        self._n = 0

    def add(self, step: Step) -> None:
        """Make the next step's stage, or stages."""
        after = {self.numbers[k] for k in step.after}
        takes = None if step.takes is None else renumbered(step.takes, self.numbers)
        after.update(stages_of(takes))
        if step.each:
            self._upload([((), {})], step)
            number = self._append(step, 1, 1, after, takes, "spreads", star=step.star)
            self._append(step, 0, BLOCK_ITEMS, {number}, None, "grows")
            self._parts.append((number, number + 1))
        elif step.rescues:
            watched = {s for k in step.rescues for s in self._parts[k]}
            self._upload(step.calls, step)
            self._parts.append((self._append(step, 0, 1, watched, takes, "rescues"),))
        else:
            n, block = self._uploaded(step)
            self._parts.append((self._append(step, n, block, after, takes),))
        self.numbers[len(self.numbers)] = self._parts[-1][-1]

    def spec(self, draft: Draft) -> JobSpec:
        """Give the spec of the whole."""
        first = self.stages[0].spec
        tasks = dict.fromkeys(stage.spec.task for stage in self.stages)
        return replace(
            first,
            task=" | ".join(tasks) if len(tasks) <= 4 else f"{len(tasks)} tasks",
            function="",
            n=self._n,
            block=1,
            params=PARAMS,
            route=Route(),
            limits=NO_LIMITS,
            chunksize=None,
            cache="",
            after=tuple(dict.fromkeys(_others(draft))),
            stages=len(self.stages),
        )

    def _append(
        self,
        step: Step,
        n: int,
        block: int,
        after: Iterable[int],
        takes: Take | None,
        kind: str = "",
        *,
        star: bool = False,
    ) -> int:
        number = len(self.stages)
        self._name = self._name or f"{step.task.name}-{self.job_id[:6]}"
        submission = step.task.submission(self._name)
        if self._lasting:
            address, blobs = self._client.schedules.put(step.task.body)
            self.noted += blobs
            submission = replace(submission, function=address)
        spec = dispatch.make_spec(
            self._client, submission, n=n, block=block or 1, job_id=self.job_id
        )
        appended = kind in ("grows", "rescues")
        start = 0 if appended else self._n
        self._n += 0 if appended else n
        stop = start if appended else self._n
        waits = tuple(sorted(after))
        countdown = step.task.options.countdown
        if countdown is not None:
            spec = replace(spec, route=replace(spec.route, eta=None))
            countdown = None if kind == "grows" else countdown
        self.stages.append(Stage(number, start, stop, spec, kind, waits, takes, star, countdown))
        return number

    def _uploaded(self, step: Step) -> tuple[int, int]:
        if step.values is not None:
            upload = self._uploader(step)
            upload.all(
                step.task.checked(step.values) if step.star else step.values, bare=not step.star
            )
            self.blocks += upload.numbers
        else:
            upload = self._upload(step.calls, step)
        return upload.n, upload.block

    def _upload(self, calls: Iterable[dispatch.Call], step: Step) -> dispatch.Upload:
        upload = self._uploader(step)
        upload.calls(calls)
        self.blocks += upload.numbers
        return upload

    def _uploader(self, step: Step) -> dispatch.Upload:
        params = step.task.submission(None).params
        first = block_number(len(self.stages), 0)
        return dispatch.Upload(
            self._client,
            self.job_id,
            params,
            first=first,
            kept=self.kept,
            blobs=self.blobs if self._lasting else None,
        )


def _others(draft: Draft) -> Iterable[str]:
    """List the other jobs that a workflow follows."""
    yield from draft.follows
    takes: list[Take] = [step.takes for step in draft.steps if step.takes is not None]
    while takes:
        take = takes.pop()
        if isinstance(take, Other):
            yield take.job_id
        elif isinstance(take, Listed):
            takes.extend(take.parts)
