"""How much memory a process of the pool may take: an item that wants more gets a MemoryError.

Without a limit, the system ends some process when memory runs out, and not always the one that took
it. ``--max-memory-per-child`` is Celery's and another thing: a process that has taken that much is
replaced, after its message.

The limit is on what a process has for itself (``RLIMIT_DATA``: on Linux all private writable memory
since 4.7). Blobs that it only maps are not counted. C code that cannot bear that an allocation
fails ends its process; then its item is recorded as WorkerLost, like any that does.
"""

from __future__ import annotations

import resource
from typing import Any

from celery import signals

LEAST_MIB = 128
"""What a worker process needs for itself, and a little."""

_MIB = 2**20


def prepare(memory_mib: int | None) -> None:
    """Have the processes of the pool begin with a limit, if there is to be one."""
    if memory_mib is None:
        return
    most = memory_mib * _MIB

    def limit(**_: Any) -> None:
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))

    signals.worker_process_init.connect(limit, weak=False, dispatch_uid="nbqueue-memory")


def explain(exc: MemoryError) -> None:
    """Have an error say what there was too little of, where a process has a limit of its own.

    Python's own says nothing at all, and NumPy's how much was wanted.
    """
    soft = resource.getrlimit(resource.RLIMIT_DATA)[0]
    if soft == resource.RLIM_INFINITY:
        return
    limit = f"a process of this worker may take {soft // _MIB:,} MiB (--memory)"
    if not exc.args:
        exc.args = (limit,)
    elif hasattr(exc, "add_note"):  # Python 3.11 and later
        exc.add_note(limit)
