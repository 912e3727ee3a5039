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

from nbqueue.client.job import Job


def results(job: Job, deadline: float | None) -> Iterator[Any]:
    """Give the results of a job's items; cancel the rest when one raises or nobody wants more."""
    try:
        for future in job:
            yield future.result(None if deadline is None else max(0, deadline - time.monotonic()))
    finally:
        if not job.finished:
            job.cancel()


def results_of(sent: deque[Job], jobs: Iterator[Job], deadline: float | None) -> Iterator[Any]:
    """Give the results of jobs that are sent as fast as their results are taken."""
    try:
        while sent:
            sent.extend(islice(jobs, 1))
            yield from results(sent.popleft(), deadline)
    finally:
        for job in sent:
            job.cancel()
