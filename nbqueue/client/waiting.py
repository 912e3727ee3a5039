"""Waiting for many jobs and futures at once."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, cast

from nbqueue.client.futures import Future
from nbqueue.client.job import Errors, Job
from nbqueue.client.options import check_timeout
from nbqueue.client.saying import said_when_interrupted, waited_for
from nbqueue.core.errors import UsageError


class DoneAndNotDone(NamedTuple):
    """Two sets, as `concurrent.futures.wait` gives them, of jobs and futures."""

    done: set[Any]
    not_done: set[Any]


def gather(
    *jobs: Job | Future | Iterable[Job | Future],
    errors: Errors = "raise",
    timeout: float | None = None,
) -> list[Any]:
    """Give the results of several jobs or futures, in the order given.

    Args:
        *jobs: Jobs and futures, or one list of them.
        errors: As in ``Job.result``, within each job; a future that failed is raised, returned or
            dropped as an item is.
        timeout: Seconds to wait for each.

    Raises:
        Exception: with ``errors="raise"``, what the first failed item raised.

    >>> nq.gather(double.submit(1), double.map([2, 3]))     # doctest: +CLUSTER
    [2, [4, 6]]
    """
    found: list[Any] = []
    for job in _several(jobs):
        if isinstance(job, Job):
            found.append(job.result(timeout, errors))
        elif errors == "raise" or (failed := _failure(job, timeout)) is None:
            found.append(job.result(timeout))
        elif errors == "return":
            found.append(failed)
    return found


def wait(
    jobs: Iterable[Job | Future],
    timeout: float | None = None,
    return_when: str = concurrent.futures.ALL_COMPLETED,
) -> DoneAndNotDone:
    """Wait for jobs and futures as `concurrent.futures.wait` does; a job is done when all of it is.

    Args:
        jobs: Jobs and futures.
        timeout: Seconds; ``None`` waits for as long as it takes.
        return_when: ``FIRST_COMPLETED``, ``FIRST_EXCEPTION`` or ``ALL_COMPLETED``.

    >>> done, not_done = nq.wait([double.submit(1)])        # doctest: +CLUSTER
    >>> len(done), len(not_done)                            # doctest: +CLUSTER
    (1, 0)
    """
    check_timeout(timeout)
    by_future = {_whole(job): job for job in _listed(jobs, "nq.wait")}
    with said_when_interrupted(_going_on(by_future.values())):
        done, not_done = concurrent.futures.wait(by_future, timeout, return_when)
    return DoneAndNotDone({by_future[f] for f in done}, {by_future[f] for f in not_done})


def as_completed(jobs: Iterable[Job | Future], timeout: float | None = None) -> Iterator[Future]:
    """Give the futures of all items of all jobs in the order in which they end.

    Raises:
        concurrent.futures.TimeoutError: not all have ended within ``timeout`` seconds.

    >>> sorted(f.result() for f in nq.as_completed([double.map([1, 2])]))   # doctest: +CLUSTER
    [2, 4]
    """
    check_timeout(timeout)
    jobs = _listed(jobs, "nq.as_completed")
    futures: list[Future] = []
    for job in jobs:
        futures.extend(job if isinstance(job, Job) else [job])
    completed = concurrent.futures.as_completed(futures, timeout)
    return waited_for(cast("Iterator[Future]", completed), _going_on(jobs))


def _several(jobs: tuple[Any, ...]) -> Iterable[Job | Future]:
    if len(jobs) == 1 and not isinstance(jobs[0], (Job, Future)) and isinstance(jobs[0], Iterable):
        return _listed(jobs[0], "nq.gather")
    return _listed(jobs, "nq.gather")


def _listed(jobs: Any, where: str) -> list[Job | Future]:
    """Give jobs and futures as a list, if they are that."""
    several = isinstance(jobs, Iterable) and not isinstance(jobs, str)
    found = list(jobs) if several else [jobs]
    for job in found:
        if not (several and isinstance(job, (Job, concurrent.futures.Future))):
            raise UsageError(f"{where} takes jobs and futures, not {job!r}")
    return found


def _failure(future: Future, timeout: float | None) -> BaseException | None:
    try:
        return future.exception(timeout)
    except concurrent.futures.CancelledError as cancelled:
        return cancelled


def _going_on(jobs: Iterable[Job | concurrent.futures.Future[Any]]) -> str:
    """Say what an interrupted wait leaves running."""
    ours = (job for job in jobs if isinstance(job, (Job, Future)))
    names = list(dict.fromkeys(repr(job._live.name) for job in ours))
    if not names:
        return "what runs goes on"
    if len(names) == 1:
        return f"job {names[0]} goes on"
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return f"jobs {', '.join(names[:3])}{more} go on"


def _whole(job: Job | Future) -> concurrent.futures.Future[Any]:
    return job.done_future() if isinstance(job, Job) else job
