"""`Job`: one submission of a task, as it runs and after it has ended.

A job is a window on its log. It holds the fold (`core.fold.JobState`), which the follower's thread
feeds, and makes futures, results and frames from it on demand. Nothing here decides what happened.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import sys
import threading
import time
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, Literal, overload

from nbqueue.client import frame, retrying
from nbqueue.client.follower import NOTHING_READ
from nbqueue.client.futures import Future
from nbqueue.client.outcome import Outcomes
from nbqueue.core import states
from nbqueue.core.errors import Expired, NbqueueError, UsageError
from nbqueue.core.fold import Changes, JobState
from nbqueue.core.records import Cancelled, JobSpec, Record
from nbqueue.core.settings import POLL_S
from nbqueue.store.arguments import Block

if TYPE_CHECKING:
    import pandas as pd

    from nbqueue.client.client import Client
    from nbqueue.client.task import Task

Errors = Literal["raise", "return", "drop"]


class Job:
    """One submission of a task: ``n`` items, their states, results and errors.

    Made by ``task.submit``, ``task.map`` and their like, or found again with ``nq.job(name)``.

    >>> job = double.map([1, 2, 3], name="doubles")         # doctest: +CLUSTER
    >>> job.result()                                        # doctest: +CLUSTER
    [2, 4, 6]
    """

    def __init__(self, client: Client, spec: JobSpec) -> None:
        self._client = client
        self._state = JobState(spec)
        self._outcomes = Outcomes(self._state, client.blobs)
        self._futures: dict[int, Future] = {}
        self._whole: list[concurrent.futures.Future[Any]] = []
        self._blocks: dict[int, bytes] = {}
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._gone: Expired | None = None
        self.cursor = NOTHING_READ
        if self._state.finished:  # no items: there is no outcome to wait for
            self._over.set()

    # -- what it is ----------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The job's identifier: 16 hexadecimal digits."""
        return self._state.spec.id

    @property
    def name(self) -> str:
        """The name given at submission, or one made from the task's."""
        return self._state.spec.name

    @property
    def task(self) -> str:
        """Name of the task."""
        return self._state.task

    @property
    def n(self) -> int:
        """How many items the job has."""
        return self._state.n

    @property
    def state(self) -> str:
        """PENDING, STARTED, or once all items are done SUCCESS, FAILURE (any) or REVOKED (any)."""
        return self._state.name

    @property
    def finished(self) -> bool:
        """Whether every item has ended."""
        return self._gone is not None or self._state.finished

    def __len__(self) -> int:
        return self.n

    @overload
    def __getitem__(self, i: int) -> Future: ...
    @overload
    def __getitem__(self, i: slice) -> list[Future]: ...
    def __getitem__(self, i: int | slice) -> Future | list[Future]:
        if isinstance(i, slice):
            return [self._future(k) for k in range(*i.indices(self.n))]
        return self._future(self._index(i))

    def __iter__(self) -> Iterator[Future]:
        return (self._future(i) for i in range(self.n))

    def __repr__(self) -> str:
        shown = ", ".join(f"{k} {v:,}" for k, v in self.counts().items() if v)
        return f"<Job {self.name!r}: {self.state}, {self.n:,} items ({shown})>"

    # -- waiting -------------------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until every item has ended; say whether it has.

        Args:
            timeout: Seconds; ``None`` waits for as long as it takes. Interrupting the wait (■,
                Ctrl-C) does not stop the job.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while not self._over.wait(_until(deadline)):
                if deadline is not None and time.monotonic() >= deadline:
                    return self.finished
        except KeyboardInterrupt:
            print(
                f"stopped waiting; job {self.name!r} goes on (job.cancel() ends it)",
                file=sys.stderr,
            )
            raise
        return True

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
        """
        if errors not in ("raise", "return", "drop"):
            raise UsageError(f"errors must be 'raise', 'return' or 'drop', not {errors!r}")
        if not self.wait(timeout):
            raise concurrent.futures.TimeoutError(
                f"job {self.name!r}: {self._state.n_done:,} of {self.n:,} items ended within "
                f"{timeout:g} s; it goes on"
            )
        return self._results(errors)

    def __await__(self) -> Generator[Any, None, Any]:
        return self._await().__await__()

    async def _await(self) -> Any:
        # Short sleeps: an asyncio task that waits on one future does not notice the stop button.
        while not self.finished:
            await asyncio.sleep(min(POLL_S, 0.02))
        return self._results("raise")

    def as_completed(self, timeout: float | None = None) -> Iterator[Future]:
        """Give the items' futures in the order in which they end.

        Args:
            timeout: Seconds for all of them together; ``None`` waits for as long as it takes.

        Raises:
            concurrent.futures.TimeoutError: not all have ended in time.
        """
        return iter(concurrent.futures.as_completed(list(self), timeout))

    def done_future(self) -> concurrent.futures.Future[Any]:
        """Give a future of the whole job: done when every item is, failed when one has."""
        whole: concurrent.futures.Future[Any] = concurrent.futures.Future()
        with self._lock:
            self._whole.append(whole)
        self._settle()
        return whole

    def exceptions(self) -> dict[int, BaseException]:
        """Give the exceptions of the items that have failed or were cancelled, by item number."""
        with self._lock:
            bad = self._state.where(states.FAILURE_CODE) + self._state.where(states.REVOKED_CODE)
            found = {i: self._outcomes.exception(i) for i in sorted(bad)}
        return {i: exc for i, exc in found.items() if exc is not None}

    # -- doing ---------------------------------------------------------------------------------

    def cancel(self, terminate: bool = False) -> int:
        """Cancel all items that have not ended; give how many those were.

        Items that are running now run to their end, but what becomes of them is not recorded;
        with ``terminate=True`` the worker processes that run them are killed (and replaced).
        """
        self._client.follower.open_now(self.id)
        running = list(self._state.running.values())
        count = self._client.joblog.cancel(self.id, Cancelled(at=self._client.now()))
        self._client.follower.catch_up(self)
        if terminate and running:
            self._client.app.control.terminate([r.message_id for r in running])
        return count

    def retry(self, task: Task | None = None) -> Job:
        """Run the failed items again, and only those; give this job back.

        Args:
            task: The task to run them with, if not the same: the function with its mistake mended.
                It is called with the same arguments.

        Raises:
            UsageError: another client retries this job at the same moment.
            TypeError: the other task does not take these arguments.
        """
        retrying.retry(self._client, self, task)
        return self

    def rerun(self, i: int) -> Any:
        """Call the task with the arguments of item ``i`` here, in this process, to debug it.

        Gives what it returns and raises what it raises, with a local traceback; the job does not
        change. ``%debug`` works on what it raises.
        """
        args, kwargs = self._call(self._index(i))
        return self._function()(*args, **kwargs)

    def forget(self) -> None:
        """Delete the job from the store: its log, arguments and results. Cannot be undone."""
        self._client.follower.open_now(self.id)
        self._client.follower.unfollow(self)
        self._client.joblog.forget(self.id)

    # -- looking -------------------------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """Give how many items are in each state, by Celery's names (zeros included)."""
        with self._lock:
            return dict(zip(states.NAMES, self._state.counts, strict=True))

    def timings(self) -> dict[str, float]:
        """Give the job's times in seconds.

        ``elapsed_s`` from submission to the end (or now), ``run_s`` the sum over items,
        ``run_s_median``, ``run_s_max``, ``queue_s_max`` over the items that have ended (NaN when
        none has), and ``items_per_s``.
        """
        return frame.timings(self._state, self._client.now())

    def progress(self) -> pd.DataFrame:
        """Give the latest that running items reported by ``nq.track``, ``nq.progress`` or tqdm.

        One row an item that has reported, indexed by item: ``done``, ``total`` (float; NaN when
        unknown), ``fraction`` (0 to 1) and a column for each further thing reported.
        """
        with self._lock:
            return frame.progress_frame(self._state)

    def to_frame(self, expand: bool = True) -> pd.DataFrame:
        """Give one row an item, in order; usable while the job runs.

        Columns: the task's parameters; ``state`` (category); ``result``, or with ``expand`` and
        results that are dicts, named tuples or dataclasses, a column for each of their fields;
        ``error`` (text, missing when none); ``started`` (UTC); ``queue_s``, ``run_s`` (seconds);
        ``worker`` (category); ``attempts`` (0 before the first outcome); ``memory_mb`` (peak of the
        worker process). A parameter with the name of one of these columns gets ``_arg`` appended, a
        field ``_result``.

        Raises:
            Expired: the arguments or large results are no longer in the store.
        """
        with self._lock:
            return frame.build(self, self._state, self._outcomes, expand=expand)

    def log(self, i: int | None = None) -> list[str]:
        """Give what the job's log says, a line a record: all of it, or what concerns item ``i``."""
        item = None if i is None else self._index(i)
        self._client.follower.open_now(self.id)
        return frame.log_lines(self._client.joblog, self.id, item)

    # -- for the follower ----------------------------------------------------------------------

    def apply(self, record: Record) -> None:
        """Take the next record of the log (called by the follower)."""
        with self._lock:
            changes = self._state.apply(record)
            touched = self._touched(changes)
            for i in [i for a, b in changes.reset for i in list(self._futures) if a <= i < b]:
                del self._futures[i]
            if changes.reset:
                self._over.clear()
        # Outside of the lock: callbacks of futures are the user's code.
        for future in touched:
            self._resolve(future)
        if changes.finished:
            self._end()

    def vanished(self) -> None:
        """The log is gone: nothing more will come (called by the follower)."""
        with self._lock:
            self._gone = Expired(
                f"job {self.name!r} is no longer in the store: it expired, was forgotten, or the "
                "store was emptied"
            )
            pending = [f for f in self._futures.values() if not f.done()]
        for future in pending:
            future.set_exception(self._gone)
        self._end()

    def _end(self) -> None:
        """Tell everybody who waits. Last, because whoever wakes wants this thread's GIL."""
        self._client.follower.unfollow(self)
        self._settle()
        self._over.set()

    def _settle(self) -> None:
        """Complete the futures of the whole job, if it is at its end."""
        with self._lock:
            if not self.finished:
                return
            futures, self._whole = self._whole, []
            failed = self._gone or next(iter(self.exceptions().values()), None)
        for future in futures:
            if failed is not None:
                future.set_exception(failed)
            else:
                future.set_result(self)

    def _touched(self, changes: Changes) -> list[Future]:
        if not self._futures:
            return []
        found = []
        for a, b in changes.done:
            wanted = range(a, b) if b - a < len(self._futures) else sorted(self._futures)
            found += [self._futures[i] for i in wanted if a <= i < b and i in self._futures]
        found += [self._futures[i] for i in self._state.running if i in self._futures]
        return found

    def _resolve(self, future: Future) -> None:
        if future.done():
            return
        code = self._state.states[future.index]
        if code == states.STARTED_CODE:
            if not future.running():
                future.set_running_or_notify_cancel()
        elif code == states.SUCCESS_CODE:
            future.set_result(None)
        elif code == states.FAILURE_CODE:
            future.set_exception(self._outcomes.exception(future.index))
        elif code == states.REVOKED_CODE:
            future._revoke()

    # -- inside --------------------------------------------------------------------------------

    def _index(self, i: int) -> int:
        if not -self.n <= i < self.n:
            raise IndexError(f"job {self.name!r} has {self.n} items, there is no item {i}")
        return i % self.n

    def _future(self, i: int) -> Future:
        with self._lock:
            future = self._futures.get(i)
            if future is None:
                future = self._futures[i] = Future(self, i)
                self._resolve(future)
                if self._gone is not None and not future.done():
                    future.set_exception(self._gone)
            return future

    def _state_of(self, i: int) -> str:
        return states.NAMES[self._state.states[i]]

    def _value(self, i: int) -> Any:
        with self._lock:
            return self._outcomes.value(i)

    def _cancel_item(self, i: int) -> bool:
        self._client.follower.open_now(self.id)
        record = Cancelled(at=self._client.now(), runs=((i, i + 1),))
        count = self._client.joblog.cancel(self.id, record, [(self._state.round[i], i)])
        self._client.follower.catch_up(self)
        return count == 1

    def _results(self, errors: Errors) -> Any:
        if self._gone is not None:
            raise self._gone
        state, outcomes = self._state, self._outcomes
        with self._lock:
            if errors == "raise" and (bad := self.exceptions()):
                raise bad[min(bad)]
            found = []
            for i, code in enumerate(state.states):
                if code == states.SUCCESS_CODE:
                    found.append(outcomes.value(i))
                elif errors == "return":
                    found.append(outcomes.exception(i))
        return (found[0] if found else None) if state.spec.block == 0 else found

    def _block(self, number: int) -> Block:
        """Give an argument block: kept from the submission, or read from the store."""
        return self._client.block(self.id, number, self._blocks.get(number))

    def _call(self, i: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        size = self._state.spec.block or 1
        return self._block(i // size).call(i % size)

    def _signature(self) -> inspect.Signature | None:
        """Give the task's signature; ``None`` when the function cannot be loaded here."""
        try:
            return inspect.signature(self._function())
        except (NbqueueError, TypeError, ValueError):
            return None

    def _function(self) -> Any:
        return self._client.functions.get(self._state.function)


def _until(deadline: float | None) -> float:
    """Seconds to wait before looking up, so that the notebook's stop button is answered."""
    return POLL_S if deadline is None else max(0.0, min(POLL_S, deadline - time.monotonic()))
