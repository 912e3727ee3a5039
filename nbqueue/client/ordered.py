"""What `Executor.map` gives: results in the order of the arguments, until a deadline.

Whoever stops taking them, or finds one that raises or is late, wants no more: that cancels what has
not ended, as CPython's `map` does.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

from nbqueue.client import cancelling
from nbqueue.client.job import Job
from nbqueue.client.saying import said_when_cancelled


def results(job: Job, deadline: float | None) -> Iterator[Any]:
    """Give the results of a job's items; cancel the rest when one raises or nobody wants more."""
    with said_when_cancelled(f"what has not ended of job {job.name!r}"):
        yield from _results(job, deadline)


def results_of(sent: deque[Job], jobs: Iterator[Job], deadline: float | None) -> Iterator[Any]:
    """Give the results of jobs that are sent as fast as their results are taken."""
    try:
        with said_when_cancelled("what was sent and has not ended"):
            while sent:
                sent.extend(islice(jobs, 1))
                yield from _results(sent.popleft(), deadline)
    finally:
        for job in sent:
            cancelling.everything(job._live)


def _results(job: Job, deadline: float | None) -> Iterator[Any]:
    try:
        for future in job:
            left = None if deadline is None else max(0, deadline - time.monotonic())
            yield future._result_unsaid(left)
    finally:
        if not job.finished:
            cancelling.everything(job._live)
