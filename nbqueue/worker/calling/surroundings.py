"""What an item finds around it in a worker process, so that it runs as it would in the notebook.

One place for all of it: streams and descriptors that lead to the item's outputs (`capture`), bars
that report (`bars`), figures that are shown (`figures`), `display` (`displays`) and Celery's task
loggers (`tasklog`).
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from nbqueue.worker.capturing import bars, capture, figures, tasklog
from nbqueue.worker.cells import displays

QUICK_S = 0.0002
"""An item shorter than this has drawn no figure and started no process. More: what it left behind
may be taken for the next item's; less: items of microseconds pay for a look at it."""


def settle_in(job_id: str) -> None:
    """Have what a job's tasks write, show and report in this process go to their items."""
    capture.install()
    capture.begin_job(job_id)
    tasklog.install()
    bars.watch()
    figures.watch()
    displays.watch()


def bring_in() -> None:
    """Put out what an item has left behind at its end: texts in pipes, open figures."""
    capture.complete()
    if figures.PYPLOT in sys.modules:
        figures.put_out()
        capture.complete()


def bringing_in(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function that brings in what it has left behind before it returns."""

    @functools.wraps(function, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        value = function(*args, **kwargs)
        bring_in()
        return value

    return call
