"""Refuses what a task must not do: wait, in a worker, for what only a worker can do.

A task that waits holds its process while it does; as soon as as many of them wait as there are
processes, nobody is left to do what they wait for. Celery refuses the same ("never call
result.get() within a task") for the same reason. Submitting without waiting is fine.
"""

from __future__ import annotations

from celery import current_task

from nbqueue.core.errors import UsageError


def refuse_to_wait(what: str) -> None:
    """Raise if this is a task in a worker.

    Raises:
        UsageError: it is.
    """
    if current_task:
        raise UsageError(
            f"a task may not wait for {what}: it would hold its worker process, and when all "
            "processes wait, nobody works. Submit without waiting, or call the function itself"
        )
