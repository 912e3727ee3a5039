"""Every error nbqueue raises, branched by who can mend it.

    NbqueueError
    ├── UsageError              the caller: a wrong option, name or value at the call
    │   ├── UnknownJob          no job of that id or name (lists near matches)
    │   └── NotPicklable        a value that cannot travel to a worker
    ├── TaskError               the task itself
    │   ├── RemoteError         stands in for an exception that could not be pickled
    │   ├── ResultNotPicklable  the task ran, its result cannot travel back
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
message, so each one survives pickling.
"""

from __future__ import annotations

__all__ = [
    "BadSignature",
    "BrokerUnreachable",
    "ClusterError",
    "Expired",
    "FunctionNotLoadable",
    "InfrastructureError",
    "NbqueueError",
    "NotPicklable",
    "RemoteError",
    "RemoteTraceback",
    "ResultNotPicklable",
    "StoreRefused",
    "TaskError",
    "UnknownJob",
    "UsageError",
    "WorkerLost",
]


class NbqueueError(Exception):
    """Base of every error that nbqueue raises itself."""


class UsageError(NbqueueError, ValueError):
    """The call cannot be carried out as written; the caller can mend it."""


class UnknownJob(UsageError, LookupError):
    """No job has that id or name in this store."""


class NotPicklable(UsageError, TypeError):
    """A value on its way to a worker cannot be pickled; nothing was sent."""


class TaskError(NbqueueError):
    """The task's own failure, as opposed to a failure of what carries it."""


class RemoteError(TaskError):
    """A task raised an exception that could not be pickled; the message names its type."""


class ResultNotPicklable(TaskError):
    """The item ran to its end, but what it returned cannot be pickled."""


class FunctionNotLoadable(TaskError):
    """A worker received the item but could not load its function or its arguments."""


class RemoteTraceback(TaskError):
    """The traceback of the worker, as text; the ``__cause__`` of an exception a task raised."""

    def __str__(self) -> str:
        return "\n\n" + "".join(str(arg) for arg in self.args).rstrip("\n")


class WorkerLost(NbqueueError):
    """The worker process died while it ran the item, more often than is worth another try."""


class InfrastructureError(NbqueueError):
    """Something between client and worker does not work; no task is to blame."""


class BrokerUnreachable(InfrastructureError, ConnectionError):
    """The broker or the store does not answer (URLs in messages carry no password)."""


class StoreRefused(InfrastructureError):
    """Redis answered and refused the command."""


class ClusterError(InfrastructureError):
    """The embedded cluster (private Redis and workers) could not be started or reached."""


class Expired(NbqueueError, LookupError):
    """The data was there once; its time to live has passed or it was forgotten."""


class BadSignature(NbqueueError):
    """Bytes did not carry a signature made with one of this process's keys."""
