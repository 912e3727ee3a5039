"""The retry of a job's failed items: the next round of the same job.

A workflow goes on from its failed nodes: they run again, those that could not begin because of them
begin after all, and so does what was cancelled. Nothing that has succeeded runs again.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING

from nbqueue.client.saying import say
from nbqueue.core import states
from nbqueue.core.errors import InfrastructureError, UsageError
from nbqueue.core.records import MOST_ROUNDS, Retried
from nbqueue.core.splitting import runs_of
from nbqueue.store.broker.message import Message

if TYPE_CHECKING:
    from nbqueue.client.live import Live
    from nbqueue.client.task import AnyTask


_KEPT_S = 10.0
"""How long a retry's client has for sending its message, before a worker does. Less: one that waits
for a broker sends it twice; more: the items of one that has died wait for longer."""

Replacements = Mapping["AnyTask | str | int", "AnyTask"]
"""Other tasks, by the task or the item whose place they take."""


def retry(live: Live, task: AnyTask | Replacements | None) -> None:
    """Open the next round for the failed items of a job and send them.

    Raises:
        UsageError: another client opened a round in between, or a job that this workflow follows
            has not succeeded, or what is to be replaced has not failed.
        TypeError: the other task does not take the items' arguments.
    """
    client, state = live.client, live.state
    client.follower.catch_up(live)  # it may be running again already, on another client's behalf
    failed = state.where(states.FAILURE_CODE)
    revoked = state.where(states.REVOKED_CODE) if state.stages else []
    if not failed and not revoked:
        say(_nothing_to_retry(live))
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
    causes = list(filter(live.is_cause, failed))
    others = _replaced(live, causes, task)
    if others and not state.stages:
        other = others[causes[0]]
        name, function = other.name, client.code.address(other.body)
    items = sorted(failed + revoked)
    record = Retried(
        round=state.current_round + 1,
        runs=tuple(runs_of(items)),
        at=client.now(),
        task=name,
        function=function if not state.stages else "",
    )
    stages = _stages(live, items, others)
    message = None if state.stages else _message(live, record, items[0], items[-1] + 1)
    # Kept before the round is there: a client that dies in between leaves none that nobody runs.
    kept = None if message is None else client.later.keep(message, client.now() + _KEPT_S)
    if client.joblog.retry(live.id, record, stages, len(revoked)) == 0:
        client.later.drop(kept)
        client.follower.catch_up(live)
        raise UsageError(
            f"job {live.name!r} is being retried by another client at this moment; look at its "
            "counts() and retry what fails then"
        )
    client.follower.catch_up(live)
    if message is None:
        client.sequels.release()
        return
    try:
        client.publisher.send(message)
    except InfrastructureError as exc:
        say(f"job {live.name!r} is retried when the broker is there again ({exc})")
    else:
        client.later.drop(kept)


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


def _message(live: Live, record: Retried, start: int, stop: int) -> Message:
    spec = live.state.spec
    inline = live.blocks.get(0, b"") if spec.block == 0 else b""
    return Message(
        opening=live.client.joblog.opening(spec, inline),
        start=start,
        stop=stop,
        round=record.round,
        whole=True,
        check=True,
        function=record.function,
    )


def _nothing_to_retry(live: Live) -> str:
    state = live.state
    cancelled = state.counts[states.REVOKED_CODE]
    so_far = "" if live.finished else f" so far ({state.n_done:,} of {state.n:,} items ended)"
    said = f"nothing of job {live.name!r} has failed{so_far}, so there is nothing to retry"
    if cancelled:
        said += (
            f", and nothing was sent; {cancelled:,} item(s) were cancelled and stay so: to run "
            "those, submit them as a new job (task.map(…), or run the cell again)"
        )
    return said


def _replaced(
    live: Live, causes: list[int], task: AnyTask | Replacements | None
) -> dict[int, AnyTask]:
    """Give the tasks that take the place of others, by the failed items that they run."""
    if task is None:
        return {}
    if live.kind() != "function":
        raise UsageError(
            f"job {live.name!r} runs a cell, and another task cannot take its place: "
            "job.retry() runs the same again; mend the cell and enqueue it anew"
        )
    if isinstance(task, Mapping):
        found = {i: new for old, new in task.items() for i in _of(live, causes, old)}
    else:
        _check_is_one(live, causes)
        found = dict.fromkeys(causes, task)
    for i, new in found.items():
        if not hasattr(new, "body"):
            raise UsageError(f"job.retry() takes a task (@nq.task), not {new!r}")
        _check_fits(live, new, i)
    return found


def _of(live: Live, causes: list[int], old: AnyTask | str | int) -> list[int]:
    """List the failed items that a task or an item's number means."""
    if isinstance(old, int):
        found = [i for i in causes if i == old % live.state.n]
    else:
        found = [i for i in causes if _task_of(live, i) == getattr(old, "name", old)]
    if found:
        return found
    failed = dict.fromkeys(f"{_task_of(live, i)!r} (item {i})" for i in causes[:5])
    more = ", …" if len(causes) > 5 else ""
    raise UsageError(
        f"{getattr(old, 'name', old)!r} is not among what failed in job {live.name!r}: "
        f"{', '.join(failed)}{more}"
    )


def _task_of(live: Live, i: int) -> str:
    stage = live.state.stage_of(i) if live.state.stages else None
    return live.state.task if stage is None else stage.spec.task


def _check_is_one(live: Live, causes: list[int]) -> None:
    """Raise unless one task can take the place of all that failed."""
    names = {_task_of(live, i) for i in causes}
    if len(names) > 1:
        which = ", ".join(f"{name!r}: …" for name in sorted(names))
        raise UsageError(
            f"in job {live.name!r} failed {', '.join(map(repr, sorted(names)))}, and one task "
            f"cannot take the place of {len(names)}: say which takes whose, "
            f"job.retry({{{which}}}), or mend what they use and job.retry()"
        )


def _check_fits(live: Live, task: AnyTask, i: int) -> None:
    """Raise unless a task can take the place of the one that an item failed in."""
    signature = inspect.signature(task.body)
    stage = live.state.stage_of(i) if live.state.stages else None
    args, kwargs = live.call(i)
    taken = () if stage is None or stage.takes is None else (None,)
    try:
        signature.bind(*taken, *args, **kwargs)
    except TypeError as exc:
        raise TypeError(
            f"{task.name}{signature} does not take the arguments of item {i}: {exc}; "
            "nothing was retried"
        ) from None


def _stages(live: Live, items: list[int], others: dict[int, AnyTask]) -> list[tuple[int, int, str]]:
    """Say of a workflow's stages how many of their items are meant, and their new function."""
    if not live.state.stages:
        return []
    counts: dict[int, int] = {}
    for i in items:
        stage = live.state.stage_of(i)
        if stage is not None:
            counts[stage.number] = counts.get(stage.number, 0) + 1
    new = {
        stage.number: live.client.code.address(task.body)
        for i, task in others.items()
        if (stage := live.state.stage_of(i)) is not None
    }
    return [(s, count, new.get(s, "")) for s, count in sorted(counts.items())]
