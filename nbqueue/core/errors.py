"""Every error nbqueue raises, branched by who can mend it.

    NbqueueError
    ├── UsageError              the caller: a wrong option, name or value at the call
    │   ├── UnknownJob          no job of that id or name (lists near matches)
    │   ├── UnknownSchedule     no schedule of that name (lists near matches)
    │   ├── JobTooLarge         more items, or larger arguments, than one job may have
    │   └── NotPicklable        a value that cannot travel to a worker
    ├── TaskError               the task itself
    │   ├── RemoteError         stands in for an exception that could not be pickled
    │   ├── ResultNotPicklable  the task ran, its result cannot travel back
    │   ├── ResultNotLoadable   it did travel back, and cannot be loaded here
    │   ├── UpstreamFailed      a job that this one waited for did not succeed
    │   ├── NotebookFailed      a cell of a notebook raised (nq.run_notebook)
    │   ├── FunctionNotLoadable the worker could not load the function or its arguments
    │   └── RemoteTraceback     the worker's traceback, as the ``__cause__`` of a task's exception
    ├── WorkerLost              the process that ran the item died
    ├── InfrastructureError     whoever runs the broker, the store or the machine
    │   ├── BrokerUnreachable   broker or store do not answer
    │   ├── StoreRefused        Redis answered, and refused (out of memory, read-only, disk full)
    │   └── ClusterError        the embedded cluster could not be started or stopped
    ├── Expired                 the data existed once and is gone
    └── BadSignature            bytes that were not signed with this client's key

A message says what happened, the value seen, and what to try next. Errors carry only their
message (one, a notebook too), so each one survives pickling.
"""

from __future__ import annotations

from concurrent.futures import BrokenExecutor
from pickle import PicklingError

__all__ = [
    "BadSignature",
    "BrokerUnreachable",
    "ClusterError",
    "Expired",
    "FunctionNotLoadable",
    "InfrastructureError",
    "JobTooLarge",
    "NbqueueError",
    "NotPicklable",
    "NotebookFailed",
    "RemoteError",
    "RemoteTraceback",
    "ResultNotLoadable",
    "ResultNotPicklable",
    "StoreRefused",
    "TaskError",
    "UnknownJob",
    "UnknownSchedule",
    "UpstreamFailed",
    "UsageError",
    "WorkerLost",
]


class NbqueueError(Exception):
    """Base of every error that nbqueue raises itself.

    >>> issubclass(nq.WorkerLost, nq.NbqueueError)
    True
    """


class UsageError(NbqueueError, ValueError):
    """The call cannot be carried out as written; the caller can mend it.

    >>> double.chunks([(1,)], 0)                            # doctest: +CLUSTER
    Traceback (most recent call last):
    ...
    nbqueue.core.errors.UsageError: n must be at least 1, not 0
    """


class UnknownJob(UsageError, LookupError):
    """No job has that id or name in this store.

    >>> _ = double.submit(1)                                # doctest: +CLUSTER
    >>> nq.job("no such job")                               # doctest: +CLUSTER +ELLIPSIS
    Traceback (most recent call last):
    ...
    nbqueue.core.errors.UnknownJob: no job with id or name 'no such job': ...
    """


class UnknownSchedule(UsageError, LookupError):
    """No schedule has that name in this store.

    >>> nq.schedule("no such schedule")                     # doctest: +CLUSTER +ELLIPSIS
    Traceback (most recent call last):
    ...
    nbqueue.core.errors.UnknownSchedule: no schedule with name 'no such schedule': ...
    """


class JobTooLarge(UsageError):
    """One job would have more items, or larger arguments, than a job may; nothing was sent.

    The limits are ``$NBQUEUE_MAX_ITEMS`` and ``$NBQUEUE_MAX_ARGUMENT_BYTES`` of the process that
    submits. They are there for iterables that do not end.

    >>> import itertools
    >>> double.map(itertools.count())                       # doctest: +CLUSTER +ELLIPSIS
    Traceback (most recent call last):
    ...
    nbqueue.core.errors.JobTooLarge: count(0) never ends, and a job may have 20,000,000 items; ...
    """


class NotPicklable(UsageError, TypeError, PicklingError):
    """A value on its way to a worker cannot be pickled; nothing was sent.

    It is all that `pickle` raises for one, so that what handles those handles this.

    >>> import threading
    >>> double.submit(threading.Lock())                     # doctest: +CLUSTER +ELLIPSIS
    Traceback (most recent call last):
    ...
    nbqueue.core.errors.NotPicklable: item 0: x=<unlocked _thread.lock ...
    """


class TaskError(NbqueueError):
    """The task's own failure, as opposed to a failure of what carries it.

    >>> issubclass(nq.ResultNotPicklable, nq.TaskError), issubclass(nq.WorkerLost, nq.TaskError)
    (True, False)
    """


class RemoteError(TaskError):
    """A task raised an exception that could not be pickled; the message names its type.

    >>> def fail():
    ...     class Odd(Exception):
    ...         def __reduce__(self):
    ...             raise TypeError("not me")
    ...     raise Odd("too hot")
    >>> nq.task(fail).submit().result()                     # doctest: +CLUSTER +ELLIPSIS
    Traceback (most recent call last):
    ...
    nbqueue.core.errors.RemoteError: ...Odd: too hot (the exception itself could not be pickled)
    """


class ResultNotLoadable(TaskError):
    """The item ran to its end, but what it returned cannot be loaded here.

    Its class is of a package that only the workers have, say, or raises as it is unpickled. With
    ``errors="return"`` it stands in the result's place, and in the frame; others are not affected.

    >>> class Strange:
    ...     def __reduce__(self):
    ...         return int, ("x",)
    >>> nq.task(Strange).submit().result()                  # doctest: +CLUSTER +ELLIPSIS
    Traceback (most recent call last):
    ...
    nbqueue.core.errors.ResultNotLoadable: what item 0 of job ... returned cannot be loaded here ...
    """


class ResultNotPicklable(TaskError, PicklingError):
    """The item ran to its end, but what it returned cannot be pickled.

    >>> import threading
    >>> nq.task(threading.Lock).submit().result()           # doctest: +CLUSTER +ELLIPSIS
    Traceback (most recent call last):
    ...
    nbqueue.core.errors.ResultNotPicklable: the task's result cannot travel back: ...
    """


class FunctionNotLoadable(TaskError):
    """A worker received the item but could not load its function or its arguments.

    >>> class OnlyHere:
    ...     def __reduce__(self):
    ...         return __import__, ("a_package_that_only_this_machine_has",)
    >>> only_here = OnlyHere()
    >>> nq.task(lambda: only_here).submit().result()        # doctest: +CLUSTER +ELLIPSIS
    Traceback (most recent call last):
    ...
    nbqueue.core.errors.FunctionNotLoadable: '<lambda>' needs the package 'a_package_that_only...
    """


class UpstreamFailed(TaskError):
    """A job that this one was to follow failed, was cancelled or is gone, so it was not begun.

    >>> issubclass(nq.UpstreamFailed, nq.TaskError)
    True
    """


class NotebookFailed(TaskError):
    """A cell raised in a run of a notebook (``nq.run_notebook``).

    >>> nq.NotebookFailed("cell 3 raised KeyError: 'x'", "{...}").notebook
    '{...}'
    """

    def __init__(self, message: str, notebook: str = "") -> None:
        super().__init__(message, notebook)  # both, or it would not survive pickling

    @property
    def notebook(self) -> str:
        """The executed copy up to there, as the text of an ``.ipynb`` file."""
        return str(self.args[1])

    def __str__(self) -> str:
        return str(self.args[0])


class RemoteTraceback(TaskError):
    """The traceback of the worker, as text; the ``__cause__`` of an exception a task raised.

    >>> failed = nq.task(lambda x: 1 / x).submit(0).result(errors="return")    # doctest: +CLUSTER
    >>> type(failed), type(failed.__cause__)                # doctest: +CLUSTER
    (<class 'ZeroDivisionError'>, <class 'nbqueue.core.errors.RemoteTraceback'>)
    >>> "ZeroDivisionError: division by zero" in str(failed.__cause__)         # doctest: +CLUSTER
    True
    """

    def __str__(self) -> str:
        return "\n\n" + "".join(str(arg) for arg in self.args).rstrip("\n")


class WorkerLost(NbqueueError, BrokenExecutor):
    """The worker process died while it ran the item, more often than is worth another try.

    >>> import os
    >>> nq.task(os._exit).submit(1).result()                # doctest: +CLUSTER +ELLIPSIS
    Traceback (most recent call last):
    ...
    nbqueue.core.errors.WorkerLost: the worker process died ...
    """


class InfrastructureError(NbqueueError):
    """Something between client and worker does not work; no task is to blame.

    >>> issubclass(nq.BrokerUnreachable, nq.InfrastructureError)
    True
    """


class BrokerUnreachable(InfrastructureError, ConnectionError):
    """The broker or the store does not answer (URLs in messages carry no password).

    >>> nq.connect("redis://:secret@127.0.0.1:1/0", key="0" * 32)   # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    nbqueue....BrokerUnreachable: no Redis answers at redis://:***@127.0.0.1:1/0 ...
    """


class StoreRefused(InfrastructureError):
    """Redis answered and refused the command.

    >>> issubclass(nq.StoreRefused, nq.InfrastructureError)
    True
    """


class ClusterError(InfrastructureError):
    """The embedded cluster (private Redis and workers) could not be started or reached.

    >>> from nbqueue.cluster import embedded
    >>> from pathlib import Path
    >>> embedded.ensure(Path("/dev/null/x"))                # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    nbqueue.core.errors.ClusterError: ...
    """


class Expired(NbqueueError, LookupError):
    """The data was there once; its time to live has passed or it was forgotten.

    >>> job = double.map([1, 2])                            # doctest: +CLUSTER
    >>> job.wait()                                          # doctest: +CLUSTER
    True
    >>> job.forget()                                        # doctest: +CLUSTER
    >>> job.cancel()                                        # doctest: +CLUSTER +ELLIPSIS
    Traceback (most recent call last):
    ...
    nbqueue.core.errors.Expired: job '...' is no longer in the store: it expired or was forgotten
    """


class BadSignature(NbqueueError):
    """Bytes did not carry a signature made with one of this process's keys.

    >>> from nbqueue.store.signing import Keyring
    >>> sealed = Keyring("one key of sixteen letters").seal("message", b"bytes")
    >>> Keyring("another key than that").unseal("message", sealed)    # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    nbqueue.core.errors.BadSignature: message: ...
    """
