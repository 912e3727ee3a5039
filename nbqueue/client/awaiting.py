"""Waiting for a job in a coroutine: ``await job`` and ``async for future in job``.

In short sleeps, not on a future: an asyncio task that waits for one does not notice the stop button
of a notebook.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from nbqueue.client.futures import Future
    from nbqueue.client.job import Job

_LOOK_S = 0.02
"""How often is looked. Higher: quick jobs come later; lower: the event loop is busy."""


async def end_of(job: Job) -> None:
    """Return when a job has ended."""
    while not job.finished:
        await _sleep(job)


async def each_of(job: Job) -> AsyncIterator[Future]:
    """Give the futures of a job's items in the order in which they end."""
    ended: deque[Future] = deque()
    for future in job:
        future.add_done_callback(cast("Any", ended.append))
    for _ in range(job.n):
        while not ended:
            await _sleep(job)
        yield ended.popleft()


async def _sleep(job: Job) -> None:
    job._live.client.check()
    await asyncio.sleep(_LOOK_S)
