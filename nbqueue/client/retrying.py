"""The retry of a job's failed items: the next round of the same job."""

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
        UsageError: another client opened a round in between.
        TypeError: the other task does not take the items' arguments.
    """
    client, state = live.client, live.state
    # Followed from here on: the job may be running again already, on another client's behalf.
    client.follower.follow(live)
    client.follower.catch_up(live)
    failed = state.where(states.FAILURE_CODE)
    if not failed:
        if live.finished:
            client.follower.unfollow(live)
        return
    if state.current_round >= MOST_ROUNDS:
        raise UsageError(
            f"job {live.name!r} has been retried {MOST_ROUNDS - 1} times, which is as often as a "
            "job can be; submit what fails as a new job"
        )
    name, function = state.task, state.function
    if task is not None:
        if live.kind() != "function":
            raise UsageError(
                f"job {live.name!r} runs a cell, and another task cannot take its place: "
                "job.retry() runs the same again; mend the cell and enqueue it anew"
            )
        signature = inspect.signature(task.function)
        for i in failed:
            args, kwargs = live.call(i)
            try:
                signature.bind(*args, **kwargs)
            except TypeError as exc:
                raise TypeError(
                    f"{task.name}{signature} does not take the arguments of item {i}: {exc}; "
                    "nothing was retried"
                ) from None
        name, function = task.name, client.code.address(task.function)
    record = Retried(
        round=state.current_round + 1,
        runs=tuple(runs_of(failed)),
        at=client.now(),
        task=name,
        function=function,
    )
    if client.joblog.retry(live.id, record) == 0:
        client.follower.catch_up(live)
        raise UsageError(
            f"job {live.name!r} is being retried by another client at this moment; look at its "
            "counts() and retry what fails then"
        )
    client.follower.catch_up(live)
    start, stop = failed[0], failed[-1] + 1
    inline = live.blocks.get(0, b"") if state.spec.block == 0 else b""
    message = Message(
        opening=client.joblog.opening(state.spec, inline),
        start=start,
        stop=stop,
        round=record.round,
        whole=True,
        check=True,
        function=function,
    )
    try:
        client.publisher.send(message)
    except BrokerUnreachable:
        # Nobody is going to run them: say so in the log rather than leave them pending for ever.
        client.joblog.cancel(live.id, Cancelled(client.now(), record.runs, record.round))
        raise
