"""What becomes of a submission that a broker or a store did not take: it is known, and said.

A job is there as soon as its message is, or the plan of a workflow: what goes wrong before that has
sent nothing, what goes wrong after it is made good by others. In between is the moment in which the
broker hangs up and nobody can say whether it has the message. Then the store is asked to refuse the
job for good, which it does unless a worker has begun it; only where the store does not answer
either, the question stays open, and the error says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nbqueue.client.saying import say
from nbqueue.core.errors import BrokerUnreachable, InfrastructureError, StoreRefused
from nbqueue.core.records import JobSpec
from nbqueue.store.broker.publisher import Unconfirmed
from nbqueue.store.log.joblog import JobLog


@contextmanager
def nothing_sent() -> Iterator[None]:
    """Have an error of the broker or the store within the block say that nothing was sent."""
    try:
        yield
    except InfrastructureError as exc:
        raise _with(exc, "nothing was sent") from exc


@contextmanager
def not_known(name: str) -> Iterator[None]:
    """Have an error within the block say that it cannot be known whether the job was sent.

    For what the store does in one step: only its answer may have been lost. What it refuses was not
    done.
    """
    try:
        yield
    except BrokerUnreachable as exc:
        raise Unconfirmed(f"{exc}; {unknown(name)}") from exc
    except InfrastructureError as exc:
        raise _with(exc, "nothing was sent") from exc


def settle(exc: InfrastructureError, joblog: JobLog, spec: JobSpec) -> None:
    """Find out what has become of a message that could not be published.

    Returns if it was sent all the same.

    Raises:
        BrokerUnreachable: it was not, and nothing is going to run; or that cannot be known now.
        StoreRefused: it was not.
    """
    refused = True
    if isinstance(exc, Unconfirmed):
        try:
            refused = joblog.refuse(spec.id)
        except InfrastructureError:
            raise Unconfirmed(f"{exc}; {unknown(spec.name)}") from exc
    if refused:
        raise _with(exc, "nothing was sent") from exc


def opened(open_job: Callable[[], object], spec: JobSpec) -> bool:
    """Open a job that was sent; ``False`` when that must be done later, or by a worker."""
    try:
        open_job()
    except InfrastructureError as exc:
        say(f"job {spec.name!r} was sent, and is listed once the store answers ({exc})")
        return False
    return True


def unknown(name: str) -> str:
    """Say that it cannot be known whether a job was sent."""
    return (
        f"it is not known whether job {name!r} was sent: once the store answers, nq.job({name!r}) "
        "finds it, or it was not"
    )


def _with(exc: InfrastructureError, outcome: str) -> InfrastructureError:
    kind = StoreRefused if isinstance(exc, StoreRefused) else BrokerUnreachable
    return (kind if isinstance(exc, kind) else type(exc))(f"{exc}; {outcome}")
