"""The retry of a job's failed items: the next round of the same job.

A workflow goes on from its failed nodes: they run again, those that could not begin because of them
begin after all, and so does what was cancelled. Nothing that has succeeded runs again.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from nbqueue.core import states
from nbqueue.core.errors import BrokerUnreachable, UsageError
from nbqueue.core.records import MOST_ROUNDS, Cancelled, Retried
from nbqueue.core.splitting import runs_of
from nbqueue.store.message import Message

if TYPE_CHECKING:
    from nbqueue.client.live import Live
    from nbqueue.client.task import AnyTask


def retry(live: Live, task: AnyTask | None) -> None:
    """Open the next round for the failed items of a job and send them.

    Raises:
        UsageError: another client opened a round in between, or a job that this workflow follows
            has not succeeded.
        TypeError: the other task does not take the items' arguments.
    """
    client, state = live.client, live.state
    client.follower.catch_up(live)  # it may be running again already, on another client's behalf
    failed = state.where(states.FAILURE_CODE)
    revoked = state.where(states.REVOKED_CODE) if state.stages else []
    if not failed and not revoked:
        return
    if state.current_round >= MOST_ROUNDS:
        raise UsageError(
            f"job {live.name!r} has been retried {MOST_ROUNDS - 1} times, which is as often as a "
            "job can be; submit what fails as a new job"
        )
    name, function = state.task, state.function
    if state.stages:
        _check_followed(live)
    if task is None and not state.stages:
        live.function()  # (a Celery project's task has none here)
    if task is not None:
        if not hasattr(task, "body"):
            raise UsageError(f"job.retry() takes a task (@nq.task), not {task!r}")
        _check_fits(live, task, list(filter(live.is_cause, failed)))
        function = client.code.address(task.body)
        name = name if state.stages else task.name
    items = sorted(failed + revoked)
    record = Retried(
        round=state.current_round + 1,
        runs=tuple(runs_of(items)),
        at=client.now(),
        task=name,
        function=function if not state.stages else "",
    )
    stages = _stages(live, items, function if task is not None else "")
    if client.joblog.retry(live.id, record, stages, len(revoked)) == 0:
        client.follower.catch_up(live)
        raise UsageError(
            f"job {live.name!r} is being retried by another client at this moment; look at its "
            "counts() and retry what fails then"
        )
    client.follower.catch_up(live)
    if state.stages:
        client.sequels.release()
    else:
        _send(live, record, items[0], items[-1] + 1)


def _check_followed(live: Live) -> None:
    """Raise unless the jobs that a workflow follows have succeeded: it takes their results."""
    for job_id in live.state.spec.after:
        left, bad = live.client.joblog.left_and_bad(job_id)
        if left or bad:
            name = live.client.joblog.spec(job_id).name
            what = f"has {left:,} item(s) that have not ended" if left else "did not succeed"
            raise UsageError(
                f"job {live.name!r} follows {name!r}, which {what}: retry that one first "
                f"(nq.job({name!r}).retry()), and this one when it has succeeded"
            )


def _send(live: Live, record: Retried, start: int, stop: int) -> None:
    client, spec = live.client, live.state.spec
    inline = live.blocks.get(0, b"") if spec.block == 0 else b""
    message = Message(
        opening=client.joblog.opening(spec, inline),
        start=start,
        stop=stop,
        round=record.round,
        whole=True,
        check=True,
        function=record.function,
    )
    try:
        client.publisher.send(message)
    except BrokerUnreachable:
        # Nobody is going to run them: say so in the log rather than leave them pending for ever.
        client.joblog.cancel(live.id, Cancelled(client.now(), record.runs, record.round))
        raise


def _check_fits(live: Live, task: AnyTask, items: list[int]) -> None:
    """Raise unless a task can take the place of the one that some items failed in."""
    if live.kind() != "function":
        raise UsageError(
            f"job {live.name!r} runs a cell, and another task cannot take its place: "
            "job.retry() runs the same again; mend the cell and enqueue it anew"
        )
    found = [live.state.stage_of(i) for i in items]
    names = {stage.spec.task for stage in found if stage is not None}
    if len(names) > 1:
        raise UsageError(
            f"in job {live.name!r} failed {', '.join(map(repr, sorted(names)))}, and one task "
            f"cannot take the place of {len(names)}: mend what they use and job.retry()"
        )
    signature = inspect.signature(task.body)
    for i, stage in zip(items, found, strict=True):
        args, kwargs = live.call(i)
        taken = () if stage is None or stage.takes is None else (None,)
        try:
            signature.bind(*taken, *args, **kwargs)
        except TypeError as exc:
            raise TypeError(
                f"{task.name}{signature} does not take the arguments of item {i}: {exc}; "
                "nothing was retried"
            ) from None


def _stages(live: Live, items: list[int], function: str) -> list[tuple[int, int, str]]:
    """Say of a workflow's stages how many of their items are meant, and their new function."""
    if not live.state.stages:
        return []
    counts: dict[int, int] = {}
    for i in items:
        stage = live.state.stage_of(i)
        if stage is not None:
            counts[stage.number] = counts.get(stage.number, 0) + 1
    failed = filter(live.is_cause, live.state.where(states.FAILURE_CODE)) if function else []
    new = {stage.number for i in failed if (stage := live.state.stage_of(i)) is not None}
    return [(s, count, function if s in new else "") for s, count in sorted(counts.items())]
