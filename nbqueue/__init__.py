"""nbqueue: the task queue that lives in a notebook.

    import nbqueue as nq

    @nq.task
    def fit(depth, lr):
        ...

    job = fit.starmap(itertools.product(range(2, 9), [0.1, 0.3]), name="grid")
    df = job.to_frame()

One sentence holds the whole flow: a *task* is packed and its message published (`client.dispatch`),
an *executor* in a Celery worker runs its items and commits outcomes to the job's log
(`worker.executor`, `store.log.joblog`), and the *follower* brings the log back, folded into states,
futures and frames (`client.follower`, `core.fold`, `client.job`).

Names are imported when they are first used (PEP 562): workers and the embedded cluster's supervisor
import this package too, and must not load a client for it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbqueue._version import __version__
    from nbqueue.client.applying import apply
    from nbqueue.client.canvas.composing import (
        chain,
        chord,
        chunks,
        group,
        map,
        run,
        signature,
        starmap,
    )
    from nbqueue.client.canvas.signature import Signature
    from nbqueue.client.client import Client
    from nbqueue.client.connecting import connect
    from nbqueue.client.decorator import task
    from nbqueue.client.doctor.examining import doctor
    from nbqueue.client.executor import Executor
    from nbqueue.client.futures import Future
    from nbqueue.client.job import Job
    from nbqueue.client.listening import on
    from nbqueue.client.local import LocalCluster
    from nbqueue.client.notebooks import run_notebook
    from nbqueue.client.projects.project import AsyncResult, tasks
    from nbqueue.client.reaching import (
        cluster,
        control,
        job,
        jobs,
        put,
        queues,
        schedule,
        schedules,
        workers,
    )
    from nbqueue.client.schedules.schedule import Schedule
    from nbqueue.client.task import Task
    from nbqueue.client.waiting import as_completed, gather, wait
    from nbqueue.core.errors import (
        BadSignature,
        BrokerUnreachable,
        ClusterError,
        Expired,
        FunctionNotLoadable,
        InfrastructureError,
        JobTooLarge,
        NbqueueError,
        NotebookFailed,
        NotPicklable,
        RemoteError,
        RemoteTraceback,
        ResultNotLoadable,
        ResultNotPicklable,
        StoreRefused,
        TaskError,
        UnknownJob,
        UnknownSchedule,
        UpstreamFailed,
        UsageError,
        WorkerLost,
    )
    from nbqueue.store.values.refs import Ref
    from nbqueue.worker.current import current, progress, track

_HOMES = {
    "nbqueue._version": ("__version__",),
    "nbqueue.client.applying": ("apply",),
    "nbqueue.client.canvas.composing": (
        "chain",
        "chord",
        "chunks",
        "group",
        "map",
        "run",
        "signature",
        "starmap",
    ),
    "nbqueue.client.client": ("Client",),
    "nbqueue.client.connecting": ("connect",),
    "nbqueue.client.decorator": ("task",),
    "nbqueue.client.doctor.examining": ("doctor",),
    "nbqueue.client.executor": ("Executor",),
    "nbqueue.client.futures": ("Future",),
    "nbqueue.client.job": ("Job",),
    "nbqueue.client.listening": ("on",),
    "nbqueue.client.local": ("LocalCluster",),
    "nbqueue.client.notebooks": ("run_notebook",),
    "nbqueue.client.projects.project": ("AsyncResult", "tasks"),
    "nbqueue.client.reaching": (
        "cluster",
        "control",
        "job",
        "jobs",
        "put",
        "queues",
        "schedule",
        "schedules",
        "workers",
    ),
    "nbqueue.client.schedules.schedule": ("Schedule",),
    "nbqueue.client.canvas.signature": ("Signature",),
    "nbqueue.client.task": ("Task",),
    "nbqueue.client.waiting": ("as_completed", "gather", "wait"),
    "nbqueue.core.errors": (
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
    ),
    "nbqueue.store.values.refs": ("Ref",),
    "nbqueue.worker.current": ("current", "progress", "track"),
}

_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AsyncResult",
    "BadSignature",
    "BrokerUnreachable",
    "Client",
    "ClusterError",
    "Executor",
    "Expired",
    "FunctionNotLoadable",
    "Future",
    "InfrastructureError",
    "Job",
    "JobTooLarge",
    "LocalCluster",
    "NbqueueError",
    "NotPicklable",
    "NotebookFailed",
    "Ref",
    "RemoteError",
    "RemoteTraceback",
    "ResultNotLoadable",
    "ResultNotPicklable",
    "Schedule",
    "Signature",
    "StoreRefused",
    "Task",
    "TaskError",
    "UnknownJob",
    "UnknownSchedule",
    "UpstreamFailed",
    "UsageError",
    "WorkerLost",
    "__version__",
    "apply",
    "as_completed",
    "chain",
    "chord",
    "chunks",
    "cluster",
    "connect",
    "control",
    "current",
    "doctor",
    "gather",
    "group",
    "job",
    "jobs",
    "map",
    "on",
    "progress",
    "put",
    "queues",
    "run",
    "run_notebook",
    "schedule",
    "schedules",
    "signature",
    "starmap",
    "task",
    "tasks",
    "track",
    "wait",
    "workers",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


class _Package(ModuleType):
    """This module: ``nq.cluster`` is a function here, though there is a room of that name.

    Importing ``nbqueue.cluster`` for the first time binds the room to that name, as Python does;
    the property lets that pass. (``from nbqueue.cluster import …`` does not look here.)
    """

    @property
    def cluster(self) -> Any:
        return import_module(_HOME_OF["cluster"]).cluster

    @cluster.setter
    def cluster(self, room: ModuleType) -> None:
        pass

    def __reduce__(self) -> tuple[Any, ...]:
        # Tasks use the package (``nq.track``); cloudpickle knows modules by their very type only.
        return import_module, (__name__,)


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})


def load_ipython_extension(shell: Any) -> None:
    """Bring the magics, and have IPython display jobs live (``%load_ext nbqueue``)."""
    from nbqueue.notebook.magics import load
    from nbqueue.notebook.register import register

    register(shell)
    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Take the magics away again (``%unload_ext nbqueue``)."""
    from nbqueue.notebook.magics import unload

    unload(shell)


import_module("nbqueue.joblib").watch()

if "IPython" in sys.modules:  # nobody else has anything to display
    import_module("nbqueue.notebook.register").register_here()
if "marimo" in sys.modules:
    import_module("nbqueue.notebook.marimo").register_here()
