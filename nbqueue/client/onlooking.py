"""Jobs that a call waits for are shown while it does: ``nq.apply``, and libraries that run on us.

Who calls them holds no job that could be displayed, and may wait for hours. So where somebody looks
the job is shown once it has taken a while; what that means, the notebook's room says (`show`).
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbqueue.client.job import Job

_AFTER_S = 1.0
"""What is over sooner is not shown. Lower: calls that nobody waits for leave a picture each."""


def _nowhere(job: Job) -> None:
    """Show nothing: this is no notebook."""


show: Callable[[Job], None] = _nowhere
"""Shows a job where the calling cell's output goes; from any thread, at once. Set by the notebook's
room."""


@contextmanager
def waiting(job: Job) -> Iterator[None]:
    """Have a job shown to whoever waits for it in a block, if that takes long enough."""
    if show is _nowhere or job.finished:
        yield
        return
    over = threading.Event()

    def look() -> None:
        if not over.wait(_AFTER_S) and not job.finished:
            show(job)

    # In a copy of this context, because that says to which cell an output belongs.
    context = contextvars.copy_context()
    threading.Thread(
        target=context.run, args=(look,), name="nbqueue-onlooking", daemon=True
    ).start()
    try:
        yield
    finally:
        over.set()
