"""`Future`: one item of a job, as the standard library's `concurrent.futures.Future`.

Everything that takes such futures takes these: `concurrent.futures.wait` and `as_completed`,
`asyncio.wrap_future`, callbacks. Results are unpickled when they are asked for, not when they
arrive.
"""

from __future__ import annotations

import concurrent.futures
from typing import TYPE_CHECKING, Any, NoReturn

from nbqueue.client import cancelling, why
from nbqueue.client.inside import refuse_to_wait
from nbqueue.client.options import check_timeout
from nbqueue.client.saying import say
from nbqueue.core import states
from nbqueue.store.values.packing import Stays

if TYPE_CHECKING:
    from nbqueue.client.live import Live
    from nbqueue.client.why.why import JobWhy, Why


class Future(concurrent.futures.Future[Any]):
    """The outcome of one item, now or later; made by ``job[i]``.

    >>> future = double.submit(21)[0]                       # doctest: +CLUSTER
    >>> future.result()                                     # doctest: +CLUSTER
    42
    """

    def __init__(self, live: Live, index: int) -> None:
        super().__init__()
        self._live = live
        self.index = index

    def result(self, timeout: float | None = None) -> Any:
        """Give what the item returned, waiting for it if need be.

        Args:
            timeout: Seconds to wait; ``None`` waits for as long as it takes.

        Raises:
            Exception: what the item raised, with the worker's traceback as its ``__cause__``.
            concurrent.futures.TimeoutError: the item has not ended within ``timeout`` seconds.
            concurrent.futures.CancelledError: the item was cancelled.

        >>> double.submit(21)[0].result(timeout=60)         # doctest: +CLUSTER
        42
        """
        try:
            return self._result_unsaid(timeout)
        except KeyboardInterrupt:
            if not self.done():  # else it is the item's own
                say(
                    f"stopped waiting; item {self.index} of job {self._live.name!r} goes on "
                    "(job.cancel() ends it)"
                )
            raise

    def _result_unsaid(self, timeout: float | None) -> Any:
        """Give what `result` does; what an interrupt does to the item is the caller's to say."""
        check_timeout(timeout)
        if not self.done():
            refuse_to_wait(f"item {self.index} of job {self._live.name!r}")
        super().result(timeout)
        return self._live.value(self.index)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Give what `result` would raise: the item's exception, or ``None`` when it returned.

        A result that cannot be read here (a class that is missing) counts as an exception. asyncio
        depends on that: `asyncio.wrap_future` asks here first, and waits for ever if `result` then
        raises.

        >>> nq.task(lambda x: 1 / x).submit(0)[0].exception(timeout=60)  # doctest: +CLUSTER
        ZeroDivisionError('division by zero')
        """
        check_timeout(timeout)
        found = super().exception(timeout)
        if found is None:
            try:
                self._live.value(self.index)
            except Exception as unreadable:
                return unreadable
        return found

    def cancel(self) -> bool:
        """Cancel the item if no worker has begun it; say whether it is cancelled now.

        >>> future = double.with_options(queue="nobody").submit(1)[0]  # doctest: +CLUSTER
        >>> future.cancel(), future.cancelled()             # doctest: +CLUSTER
        (True, True)
        """
        if self.running():
            return False
        return self.cancelled() or cancelling.some(self._live, [self.index]) == 1

    def why(self) -> Why | JobWhy:
        """Say why the item is as it is, as ``job.why(i)`` does.

        >>> double.submit(21)[0].why().item                 # doctest: +CLUSTER
        0
        """
        return why.ask(self._live, self.index)

    def _revoke(self) -> None:
        """Become cancelled: the log says so."""
        if super().cancel():
            self.set_running_or_notify_cancel()
        elif not self.done():  # it was running
            self.set_exception(concurrent.futures.CancelledError())

    def __reduce__(self) -> NoReturn:
        raise Stays(
            "a future stays with the client that follows it: pass what it gave (job.result(), or "
            "future.result()), or go on from its job (job | task.s())"
        )

    def __repr__(self) -> str:
        state = states.NAMES[self._live.state.states[self.index]]
        return f"<Future {self.index} of job {self._live.name!r}: {state}>"
