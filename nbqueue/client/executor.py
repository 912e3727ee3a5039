"""`Executor`: nbqueue for whatever takes a `concurrent.futures.Executor`.

A call is a job of one item, a `map` one job of many; what is new here is CPython's contract: what
raises where, what is cancelled when, and what waits for what.
"""

from __future__ import annotations

import concurrent.futures
import os
import secrets
import threading
import time
import types
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from nbqueue.client import endings, ordered
from nbqueue.client.job import Job
from nbqueue.client.options import TaskOptions, check_count
from nbqueue.client.reaching import processes
from nbqueue.client.task import AnyTask, Task, name_of
from nbqueue.core.errors import UsageError
from nbqueue.store.code.callables import Initialized

T = TypeVar("T")

_TASKS = 64
"""Functions that are remembered as tasks, the latest used. More: lambdas made in a loop stay in
memory with what they capture; fewer: a function of many is looked through again at each call."""

_MADE_FOR_ONE_CALL = (partial, types.MethodType, types.MethodWrapperType)
"""They are other objects each time, so remembering one helps nobody and keeps what it is bound
to in memory."""


class Executor(concurrent.futures.Executor):
    """Runs calls on nbqueue's workers, for everything that takes a `concurrent.futures.Executor`.

    What is submitted is a job like any other: it is listed by ``nq.jobs()``, displays live, and
    goes on if this process dies. Its futures are `Future`, which `concurrent.futures.wait`,
    `as_completed` and `asyncio.wrap_future` take; ``asyncio``'s ``loop.run_in_executor`` and dask
    (``dask.config.set(scheduler=nq.Executor())``) take the executor.

    Differs from CPython's pools where it can only be better: functions, lambdas and classes of the
    notebook travel; a process that dies fails the call that it was running, with `WorkerLost` (a
    `concurrent.futures.BrokenExecutor`), and no other, and the executor goes on; a call that is
    running is known to be.
    A call that ends its process by `sys.exit` raises `RemoteError`, not `SystemExit` here.

    As with those, a script does not end before the calls have; a notebook's kernel does, and what
    was submitted goes on.

    Args:
        max_workers: How many calls run at the same time, at most; by default as many as there are
            processes.
        initializer: Called once in each process, before the executor's first call there. Calls
            fail with `concurrent.futures.BrokenExecutor` where it raises.
        initargs: Its arguments.
        name: What its calls are named after, rather than after their functions.
        **options: Options of `nq.task` for all calls: ``queue``, ``priority``, ``time_limit`` …

    Raises:
        TypeError: there is no such option, or ``initializer`` cannot be called.
        UsageError: ``max_workers`` is not a positive number (it is a ValueError too).

    >>> with nq.Executor() as executor:                     # doctest: +CLUSTER
    ...     future = executor.submit(pow, 2, 10)
    ...     print(future.result(), list(executor.map(str.upper, "abc")))
    1024 ['A', 'B', 'C']
    """

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        initializer: Callable[..., Any] | None = None,
        initargs: tuple[Any, ...] = (),
        name: str | None = None,
        **options: Any,
    ) -> None:
        if initializer is not None and not callable(initializer):
            raise TypeError(f"initializer must be a callable, not {initializer!r}")
        self._id = secrets.token_hex(4)
        if max_workers is not None:
            # A limit holds for a name: all that this executor calls has one.
            name = name or f"executor-{self._id}"
            options["concurrency"] = check_count(max_workers, "max_workers")
        self._limit = max_workers
        self._processes = 0
        self._options = TaskOptions().updated({"typing": False, **options})
        self._name = name
        self._initializer = None if _is_of_tqdm(initializer) else initializer
        self._initargs = tuple(initargs)
        self._lock = threading.Lock()
        self._shut = False
        self._broken: str = ""
        self._tasks: OrderedDict[int, tuple[Callable[..., Any], AnyTask]] = OrderedDict()
        self._open: set[concurrent.futures.Future[Any]] = set()
        self._maps: dict[concurrent.futures.Future[Any], Job] = {}

    @property
    def _max_workers(self) -> int:
        # What takes an executor (dask, tqdm) asks for this name, to know how much to have under
        # way at once.
        if self._limit is not None:
            return self._limit
        if not self._processes:
            self._processes = processes()
        return self._processes or os.cpu_count() or 1

    def submit(
        self, fn: Callable[..., T], /, *args: Any, **kwargs: Any
    ) -> concurrent.futures.Future[T]:
        """Send a call; give its future.

        What cannot travel (an argument that cannot be pickled) is the future's exception.

        Raises:
            RuntimeError: the executor was shut down, or the interpreter is.
            concurrent.futures.BrokenExecutor: the initializer has failed before.
            BrokerUnreachable: the broker does not take it.

        >>> with nq.Executor() as executor:                 # doctest: +CLUSTER
        ...     executor.submit(pow, 2, 10).result(timeout=30)
        1024
        """
        self._check_open()
        try:
            future: concurrent.futures.Future[T] = self._task(fn).submit(*args, **kwargs)[0]
        except UsageError as exc:
            future = concurrent.futures.Future()
            future.set_running_or_notify_cancel()
            future.set_exception(exc)
            return future
        self._hold(future, self._open.add)
        return future

    def map(
        self,
        fn: Callable[..., T],
        /,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """Send one job with an item for each element of the iterables; give the results in order.

        Closing the iterator, an item that raises, or a result that is not there in time cancels
        what has not ended.

        Args:
            fn: The function.
            *iterables: One for each of its parameters; consumed now, if not for ``buffersize``.
            timeout: Seconds from this call after which results are no longer waited for.
            chunksize: Items to a message; by default workers divide the job by themselves, by time.
            buffersize: At most so many calls (chunks, of ``chunksize`` elements) are sent ahead of
                the results that were taken, each as a job; the iterables may then have no end.

        Where `submit` was replaced, in this executor or by a subclass, it is called for each
        element, and each is a job.

        Raises:
            RuntimeError: the executor was shut down, or the interpreter is.
            concurrent.futures.BrokenExecutor: the initializer has failed before.
            ValueError: ``chunksize`` or ``buffersize`` is less than 1.
            NotPicklable: an argument cannot travel; nothing was sent.
            concurrent.futures.TimeoutError: from the iterator, a result was not there in time.

        >>> with nq.Executor() as executor:                 # doctest: +CLUSTER
        ...     list(executor.map(pow, [2, 3, 4], [5, 2, 1]))
        [32, 9, 4]
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        self._check_open()
        # (CPython's default, 1, is what callers write who have not thought about it.)
        size = check_count(1 if chunksize is None else chunksize, "chunksize")
        if buffersize is not None:
            check_count(buffersize, "buffersize")
        if not iterables:
            return iter(())
        if "submit" in vars(self) or type(self).submit is not Executor.submit:
            # Somebody wants to see each call (tqdm, to move its bar), as CPython's map lets them.
            more = {} if buffersize is None else {"buffersize": buffersize}
            return super().map(fn, *iterables, timeout=timeout, **more)
        task = self._task(fn)
        task = task if size == 1 else task.with_options(chunksize=size)
        if buffersize is None:
            return ordered.results(self._hold_job(task.map(*iterables)), deadline)
        chunks = self._sent(task, zip(*iterables, strict=False), size)
        return ordered.results_of(deque(islice(chunks, buffersize)), chunks, deadline)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls.

        Args:
            wait: Return when all calls have ended.
            cancel_futures: Cancel the calls that have not begun.

        >>> executor = nq.Executor(queue="nobody")          # doctest: +CLUSTER
        >>> future = executor.submit(pow, 2, 10)            # doctest: +CLUSTER
        >>> executor.shutdown(cancel_futures=True)          # doctest: +CLUSTER
        >>> future.cancelled()                              # doctest: +CLUSTER
        True
        """
        with self._lock:
            self._shut = True
            calls, maps = set(self._open), dict(self._maps)
        if cancel_futures:
            for call in calls:
                call.cancel()
            for job in maps.values():
                waiting = [f.index for f in job if not (f.done() or f.running())]
                job.cancel(items=waiting)
        if wait:
            endings.wait({*calls, *maps})

    # -- inside --------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"<nbqueue.Executor{f' {self._name!r}' if self._name else ''}>"

    def _check_open(self) -> None:
        if self._shut:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if endings.is_over():
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        if self._broken:
            raise concurrent.futures.BrokenExecutor(self._broken)

    def _task(self, fn: Callable[..., Any]) -> AnyTask:
        """Give a function as a task: the same one each time, because its address is known then."""
        _, task = self._tasks.get(id(fn), (None, None))
        if task is None:
            function = fn.function if isinstance(fn, Task) else fn
            if self._initializer is not None:
                function = Initialized(function, self._id, self._initializer, self._initargs)
            task = Task(function, self._options.updated({"name": self._name or name_of(fn)}))
            if not isinstance(fn, _MADE_FOR_ONE_CALL):
                with self._lock:
                    if len(self._tasks) >= _TASKS:
                        self._tasks.popitem(last=False)
                    # With the function itself, so that its id cannot become another's.
                    self._tasks[id(fn)] = fn, task
        return task

    def _sent(self, task: AnyTask, calls: Iterator[Any], size: int) -> Iterator[Job]:
        while chunk := [*islice(calls, size)]:
            self._check_open()
            yield self._hold_job(task.starmap(chunk))

    def _hold_job(self, job: Job) -> Job:
        """Know of a job of `map`, until it has ended."""
        whole = job.done_future()
        self._hold(whole, lambda future: self._maps.update({future: job}))
        return job

    def _hold(
        self,
        future: concurrent.futures.Future[Any],
        keep: Callable[[concurrent.futures.Future[Any]], None],
    ) -> None:
        with self._lock:
            keep(future)
        future.add_done_callback(self._forget)
        endings.hold(future)

    def _forget(self, future: concurrent.futures.Future[Any]) -> None:
        with self._lock:
            self._open.discard(future)
            self._maps.pop(future, None)
        if self._initializer is not None and not future.cancelled():
            # (Not our own futures' way, which would read the result for it.)
            failed = concurrent.futures.Future.exception(future)
            if type(failed) is concurrent.futures.BrokenExecutor:
                self._broken = str(failed)


def _is_of_tqdm(initializer: Any) -> bool:
    """Say whether an initializer hands tqdm's lock to a pool's processes.

    That lock is for processes that share a terminal. Workers share none, and it cannot be pickled;
    the bars of their items show where the item does.
    """
    owner = getattr(initializer, "__self__", None)
    module = getattr(owner, "__module__", "") or ""
    return module.split(".")[0] == "tqdm" and getattr(initializer, "__name__", "") == "set_lock"
