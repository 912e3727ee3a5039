"""`Job`: one submission of a task, as it runs and after it has ended.

A job is a window on its log, which `live.Live` follows; results, futures and frames are made from
it on demand. What touches the store is a method; a property is instant. Here is what can be waited
for and done; what can be looked at is in `shown`.
"""

from __future__ import annotations

import concurrent.futures
import sys
from collections.abc import AsyncIterator, Generator, Iterable, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any, Literal, NoReturn, overload

from nbqueue.client import (
    awaiting,
    cancelling,
    completing,
    pulling,
    retrying,
)
from nbqueue.client.canvas import gathering
from nbqueue.client.futures import Future
from nbqueue.client.saying import say, waited_for
from nbqueue.client.shown import Shown
from nbqueue.core.errors import UsageError
from nbqueue.store.values.packing import Stays

if TYPE_CHECKING:
    from nbqueue.client.task import AnyTask

Errors = Literal["raise", "return", "drop"]


class Job(Shown):
    """One submission of a task: ``n`` items, their states, results and errors.

    Made by ``task.submit``, ``task.map`` and their like, or found again with ``nq.job(name)``.

    >>> job = double.map([1, 2, 3], name="doubles")         # doctest: +CLUSTER
    >>> job.result()                                        # doctest: +CLUSTER
    [2, 4, 6]
    """

    @overload
    def __getitem__(self, i: int) -> Future: ...
    @overload
    def __getitem__(self, i: slice) -> list[Future]: ...
    def __getitem__(self, i: int | slice) -> Future | list[Future]:
        if isinstance(i, slice):
            return [self._live.future(k) for k in range(*i.indices(self.n))]
        return self._live.future(self._index(i))

    def __iter__(self) -> Iterator[Future]:
        return (self._live.future(i) for i in range(self.n))

    def __repr__(self) -> str:
        shown = ", ".join(f"{k} {v:,}" for k, v in self.counts().items() if v)
        items = "1 item" if self.n == 1 else f"{self.n:,} items"
        waits = self._live.waits_for()
        shown = (f" ({shown})" if shown else "") + (f"; {waits}" if waits else "")
        return f"<Job {self.name!r}: {self.state}, {items}{shown}>"

    def __reduce__(self) -> NoReturn:
        raise Stays(
            "a job stays with the client that follows it: pass what it gave (job.result()), or go "
            "on from it (job | task.s(), of a cell --after)"
        )

    # -- waiting -------------------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until every item has ended; say whether it has.

        Args:
            timeout: Seconds; ``None`` waits for as long as it takes. Interrupting the wait (■,
                Ctrl-C) does not stop the job.

        >>> double.map([1, 2, 3]).wait(timeout=60)          # doctest: +CLUSTER
        True
        """
        return self._live.wait(timeout)

    def result(self, timeout: float | None = None, errors: Errors = "raise") -> Any:
        """Give what the job returned: a list in the order of the items, or one value for a call.

        Args:
            timeout: Seconds to wait; ``None`` waits for as long as it takes.
            errors: What to do about items that failed or were cancelled: ``"raise"`` the first
                one's exception, ``"return"`` exceptions in their places, or ``"drop"`` them.

        Raises:
            Exception: with ``errors="raise"``, what the first failed item raised; its ``__cause__``
                shows the worker's traceback.
            concurrent.futures.TimeoutError: the job has not ended within ``timeout`` seconds.
            Expired: the job is no longer in the store.

        >>> double.map([1, 2, 3]).result()                  # doctest: +CLUSTER
        [2, 4, 6]
        >>> nq.task(lambda x: 6 // x).map([3, 0, 2]).result(errors="drop")  # doctest: +CLUSTER
        [2, 3]
        """
        __tracebackhide__ = True
        check_errors(errors)
        if not self.wait(timeout):
            waits = self._live.waits_for()
            raise concurrent.futures.TimeoutError(
                f"job {self.name!r}: {self._live.state.n_done:,} of {self.n:,} items ended within "
                f"{timeout:g} s; it goes on{f' ({waits})' if waits else ''}"
            )
        return self._results(errors)

    def __await__(self) -> Generator[Any, None, Any]:
        return self._await().__await__()

    async def _await(self) -> Any:
        __tracebackhide__ = True
        await awaiting.end_of(self)
        return self._results("raise")

    def __aiter__(self) -> AsyncIterator[Future]:
        """Give the items' futures in the order in which they end, each one done.

        >>> async def total(job):                           # doctest: +CLUSTER
        ...     return sum([future.result() async for future in job])
        >>> import asyncio
        >>> asyncio.run(total(double.map([1, 2, 3])))       # doctest: +CLUSTER
        12
        """
        return awaiting.each_of(self)

    def as_completed(self, timeout: float | None = None) -> Iterator[Future]:
        """Give the items' futures in the order in which they end.

        As ``for future in job`` it holds a few results at a time, so all of them together may be
        larger than memory.

        Args:
            timeout: Seconds for all of them together; ``None`` waits for as long as it takes.

        Raises:
            concurrent.futures.TimeoutError: not all have ended in time.

        >>> job = double.map([1, 2, 3])                     # doctest: +CLUSTER
        >>> sorted(future.result() for future in job.as_completed())         # doctest: +CLUSTER
        [2, 4, 6]
        """
        return waited_for(
            completing.as_completed(self._live, timeout), f"job {self.name!r} goes on"
        )

    def done_future(self) -> concurrent.futures.Future[Any]:
        """Give a future of the whole job: done when every item is, failed when one has.

        >>> future = double.map([1, 2, 3]).done_future()    # doctest: +CLUSTER
        >>> future.exception(timeout=60) is None            # doctest: +CLUSTER
        True
        """
        return self._live.whole_future()

    def exceptions(self) -> dict[int, BaseException]:
        """Give the exceptions of the items that have failed or were cancelled, by item number.

        >>> job = nq.task(lambda x: 6 // x).map([3, 0, 2])  # doctest: +CLUSTER
        >>> job.wait(), job.exceptions()                    # doctest: +CLUSTER
        (True, {1: ZeroDivisionError('integer division or modulo by zero')})
        """
        return self._live.exceptions()

    def pull(
        self,
        *names: str,
        into: MutableMapping[str, Any] | None = None,
        errors: Literal["raise", "drop"] = "raise",
    ) -> dict[str, Any]:
        """Bring back what a cell assigned (``%%enqueue``): wait, and make it variables here.

        Gives a dict of the variables. In IPython they are assigned in the notebook as well. Of a
        job with ``--for``, each is the list of all items' values, in order. A value that could not
        be pickled stays where it was made: a line names it, and the rest arrives.

        Args:
            *names: Bring only these; without any, all that the cell assigned. ``"value"`` is the
                value of its last expression (see ``to_frame``).
            into: Assign them in this namespace instead of the notebook's.
            errors: What to do about items that failed or were cancelled: ``"raise"`` the first
                one's exception, or ``"drop"`` them and bring the values of the others.

        Raises:
            Exception: with ``errors="raise"``, what the first failed item raised; nothing is
                assigned then.
            UsageError: the job runs a task or an expression, or a name is not among its variables.

        >>> double.submit(1).pull("x")                      # doctest: +CLUSTER
        Traceback (most recent call last):
        ...
        nbqueue.core.errors.UsageError: ...
        """
        __tracebackhide__ = True  # in IPython and pytest, the error is the cell's
        return pulling.pull(self, names, into, errors)

    # -- doing ---------------------------------------------------------------------------------

    def cancel(self, terminate: bool = False, *, items: int | Iterable[int] | None = None) -> int:
        """Cancel all items that have not ended, or some of those; give how many they were.

        They are recorded as cancelled when this returns. Items that are running now run to their
        end, which a line says, but what becomes of them is not recorded; with ``terminate=True``
        they end at once: the process that runs one is killed (and replaced), and the other items of
        its message run. In a pool of threads an exception ends the item, when it next runs Python
        code.

        Args:
            terminate: Also end what is running, and what was cancelled before and runs on (which is
                not counted again).
            items: The number of an item, or several; all if not given.

        Raises:
            IndexError: there is no such item.
            UsageError: ``items`` are not numbers of items.

        >>> job = double.with_options(queue="nobody").map([1, 2, 3])         # doctest: +CLUSTER
        >>> job.cancel(items=[0, 2])                        # doctest: +CLUSTER
        2
        >>> job.cancel()                                    # doctest: +CLUSTER
        1
        """
        return cancelling.cancel(self, terminate, items)

    def retry(self, task: AnyTask | retrying.Replacements | None = None) -> Job:
        """Run the failed items again, and only those; give this job back.

        When nothing has failed, a line says so.

        Args:
            task: The task to run them with, if not the same: the function with its mistake mended.
                It is called with the same arguments. Where several tasks of a workflow have failed,
                a dict of them, by task, by its name, or by the number of the item:
                ``job.retry({"load": load_again, 7: fit_again})``.

        Raises:
            UsageError: another client retries this job at the same moment, or a task is given for a
                job that runs a cell, or for something that has not failed.
            TypeError: the other task does not take these arguments.

        >>> job = nq.task(lambda x: 6 // x).map([3, 0, 2])  # doctest: +CLUSTER
        >>> job.wait()                                      # doctest: +CLUSTER
        True
        >>> job.retry(nq.task(lambda x: 6 // (x or 1))).result()  # doctest: +CLUSTER
        [2, 6, 3]
        """
        retrying.retry(self._live, task)
        return self

    def rerun(self, i: int) -> Any:
        """Call the task with the arguments of item ``i`` here, in this process, to debug it.

        Gives what it returns and raises what it raises, with a local traceback; the job does not
        change. ``%debug`` works on what it raises. An item that ended its process on a worker may
        end this one too; a line says so first.

        Raises:
            UsageError: the job runs a cell, which is its notebook's to run; the message says how.
                Or of a workflow, what the call takes from those before is not there.

        >>> double.map([1, 2, 3]).rerun(2)                  # doctest: +CLUSTER
        6
        """
        live, i = self._live, self._index(i)
        args, kwargs = live.call(i, opened=True)
        pulling.check_is_task(live, i, args)
        if (error := live.state.error(i)) is not None and error.is_death:
            say(f"item {i} ended the process that ran it, and may end or block this one too")
            sys.stderr.flush()  # it may be the last word of this process
        if live.state.stages:
            return gathering.function_of(live, i)(*gathering.lead_of(live, i), *args, **kwargs)
        return live.function()(*args, **kwargs)

    def forget(self) -> None:
        """Delete the job from the store: its log, arguments and results. Cannot be undone.

        Items that wait are not run any more, and those that run are ended, as by
        ``cancel(terminate=True)``.

        >>> job = double.map([1, 2, 3], name="to be forgotten")  # doctest: +CLUSTER
        >>> job.wait(), job.forget()                        # doctest: +CLUSTER
        (True, None)
        >>> "to be forgotten" in nq.jobs()["name"].tolist()  # doctest: +CLUSTER
        False
        """
        client = self._live.client
        client.follower.open_now(self.id)
        client.follower.unfollow(self._live)
        client.joblog.forget(self.id)
        client.sequels.release()
        if not self._live.finished:
            self._live.vanished()
            cancelling.end_all(self._live)

    # -- inside --------------------------------------------------------------------------------

    def _results(self, errors: Errors) -> Any:
        __tracebackhide__ = True
        live = self._live
        live.check()
        with live.lock:
            if errors == "raise" and (bad := live.first_exception()) is not None:
                raise bad
            if live.state.result is not None:
                return gathering.gathered(live, live.state.result, errors)
            found = gathering.items(live, errors)
        return (found[0] if found else None) if live.state.spec.block == 0 else found


def check_errors(errors: str) -> None:
    """See that ``errors`` is a word for what to do about items that failed.

    Raises:
        UsageError: it is none.
    """
    if errors not in ("raise", "return", "drop"):
        raise UsageError(f"errors must be 'raise', 'return' or 'drop', not {errors!r}")
