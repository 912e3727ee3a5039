"""Celery's orders ``rate_limit`` and ``time_limit``, for the tasks of notebooks too.

Under Celery's own names, so that Flower and the command line mean ours as well. For a task that the
worker knows by name they do what Celery's do.
"""

from __future__ import annotations

from typing import Any

from celery.utils.time import rate
from celery.worker import control as celery_control
from celery.worker.control import control_command

_LIMITS = 1000
"""Tasks whose time limits are remembered: anybody may send any name."""


@control_command(
    name="rate_limit",
    args=[("task_name", str), ("rate_limit", str)],
    signature="<task_name> <rate_limit (e.g., 5/s | 5/m | 5/h)>",
)
def set_rate(state: Any, task_name: str, rate_limit: str | float | None, **_: Any) -> Any:
    """Tell a task's rate limit; that of a notebook's task holds for all workers together.

    Celery's own command under its own name, so that Flower and the command line mean ours as well.
    Any worker that hears it sets the rate for all: they all set the same.
    """
    if task_name in state.app.tasks:
        return celery_control.rate_limit(state, task_name, rate_limit)
    try:
        found = None if rate_limit is None else float(rate(rate_limit))
    except (ValueError, KeyError):
        return {"error": f"Invalid rate limit string: {rate_limit!r}"}
    state.app.nbqueue_place().turns.set_rate(task_name, found)
    # Before the answer: what is begun after it heeds the rate, in every worker that has answered.
    state.app.nbqueue_tally.set_rates(True, anew=True)
    if found is None:
        return {"ok": f"task {task_name!r} has its own rate limit"}
    return {"ok": f"task {task_name!r}: {rate_limit or 'no rate limit'}, all workers together"}


@control_command(
    name="time_limit",
    args=[("task_name", str), ("soft", float), ("hard", float)],
    signature="<task_name> <soft_secs> [hard_secs]",
)
def set_time_limits(
    state: Any, task_name: str, soft: float | None = None, hard: float | None = None, **_: Any
) -> Any:
    """Change a task's time limits; those of a notebook's task are each item's.

    Celery's own command under its own name. As with Celery's, it is this worker that remembers it,
    and what it begins from now on that it holds for.
    """
    if task_name in state.app.tasks:
        return celery_control.time_limit(state, task_name, soft=soft, hard=hard)
    limits = state.app.nbqueue_time_limits
    limits[task_name] = (soft, hard)
    while len(limits) > _LIMITS:
        del limits[next(iter(limits))]
    return {"ok": f"time limits of items of {task_name!r}: soft {soft}, hard {hard}"}
