"""The retry of a job's failed items: the next round of the same job."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from nbqueue.core import states
from nbqueue.core.errors import BrokerUnreachable, UsageError
from nbqueue.core.records import Cancelled, Retried
from nbqueue.core.splitting import indices, runs_of
from nbqueue.store.message import Message

if TYPE_CHECKING:
    from nbqueue.client.client import Client
    from nbqueue.client.job import Job
    from nbqueue.client.task import Task


def retry(client: Client, job: Job, task: Task | None) -> None:
    """Open the next round for the failed items of a job and send them.

    Raises:
        UsageError: another client opened a round in between.
        TypeError: the other task does not take the items' arguments.
    """
    client.follower.catch_up(job)
    state = job._state
    failed = state.where(states.FAILURE_CODE)
    if not failed:
        return
    name, function = state.task, state.function
    if task is not None:
        signature = inspect.signature(task.function)
        for i in failed:
            args, kwargs = job._call(i)
            signature.bind(*args, **kwargs)
        name, function = task.name, client.code.address(task.function)
    record = Retried(
        round=state.current_round + 1,
        runs=tuple(runs_of(failed)),
        at=client.now(),
        task=name,
        function=function,
    )
    client.follower.follow(job)
    if client.joblog.retry(job.id, record) == 0:
        raise UsageError(
            f"job {job.name!r} is being retried by another client at this moment; look at its "
            "counts() and retry what fails then"
        )
    client.follower.catch_up(job)
    start, stop = failed[0], failed[-1] + 1
    message = Message(
        spec=state.spec,
        start=start,
        stop=stop,
        round=record.round,
        whole=True,
        check=True,
        function=function,
        inline=job._blocks.get(0, b"") if state.spec.block == 0 else b"",
    )
    try:
        client.publisher.send(message)
    except BrokerUnreachable:
        # Nobody is going to run them: say so in the log rather than leave them pending for ever.
        gone = Cancelled(at=client.now(), runs=record.runs)
        client.joblog.cancel(job.id, gone, [(record.round, i) for i in indices(record.runs)])
        raise
