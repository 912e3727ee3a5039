"""`Future`: one item of a job, as the standard library's `concurrent.futures.Future`.

Everything that takes such futures takes these: `concurrent.futures.wait` and `as_completed`,
`asyncio.wrap_future`, callbacks. Results are unpickled when they are asked for, not when they
arrive.
"""

from __future__ import annotations

import concurrent.futures
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbqueue.client.job import Job


class Future(concurrent.futures.Future[Any]):
    """The outcome of one item, now or later; made by ``job[i]``.

    >>> future = double.submit(21)[0]                       # doctest: +CLUSTER
    >>> future.result()                                     # doctest: +CLUSTER
    42
    """

    def __init__(self, job: Job, index: int) -> None:
        super().__init__()
        self.job = job
        self.index = index

    def result(self, timeout: float | None = None) -> Any:
        """Give what the item returned, waiting for it if need be.

        Args:
            timeout: Seconds to wait; ``None`` waits for as long as it takes.

        Raises:
            Exception: what the item raised, with the worker's traceback as its ``__cause__``.
            concurrent.futures.TimeoutError: the item has not ended within ``timeout`` seconds.
            concurrent.futures.CancelledError: the item was cancelled.
        """
        super().result(timeout)
        return self.job._value(self.index)

    def cancel(self) -> bool:
        """Cancel the item if no worker has begun it; say whether it is cancelled now."""
        if self.running():
            return False
        return self.cancelled() or self.job._cancel_item(self.index)

    def _revoke(self) -> None:
        """Become cancelled: the log says so."""
        if super().cancel():
            self.set_running_or_notify_cancel()
        elif not self.done():  # it was running
            self.set_exception(concurrent.futures.CancelledError())

    def __repr__(self) -> str:
        state = self.job._state_of(self.index)
        return f"<Future {self.index} of job {self.job.name!r}: {state}>"
