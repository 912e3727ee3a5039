"""What a task can ask and say about the item it is running as: `current`, `progress`, `track`.

Outside of a worker (the same function called in the notebook) there is nobody to report to: then
`progress` and `track` do nothing but let the function run.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from nbqueue.core.records import Progressed
from nbqueue.store.message import Message
from nbqueue.worker.ranges import RangeRun
from nbqueue.worker.reporter import Counter, Reporter

T = TypeVar("T")

_here = threading.local()

_Range = tuple[Message, RangeRun, Reporter]

_running: list[_Range] = []
"""The ranges of this process: one, except in a pool of threads."""


@dataclass(frozen=True)
class Request:
    """The item that is being run: Celery's `self.request`, as far as an item has it."""

    job_id: str
    job: str
    """Name of the job."""
    task: str
    item: int
    n: int
    round: int
    """1, and one more for each ``job.retry``."""


@contextmanager
def running(message: Message, run: RangeRun, reporter: Reporter) -> Iterator[None]:
    """Make a range the current one of this thread."""
    before = getattr(_here, "range", None)
    _here.range = found = (message, run, reporter)
    _running.append(found)
    try:
        yield
    finally:
        _here.range = before
        _running.remove(found)


def _found() -> _Range | None:
    """Give the range of this thread; of a thread that an item started, the only one there is."""
    found: _Range | None = getattr(_here, "range", None)
    if found is None:
        running = tuple(_running)
        return running[0] if len(running) == 1 else None
    return found


def reporting() -> tuple[RangeRun, Reporter] | None:
    """Give the range that this thread is running and its reporter; ``None`` outside of items."""
    found = _found()
    return None if found is None else (found[1], found[2])


def current() -> Request | None:
    """Give the item that this thread is running, or ``None`` outside of a worker.

    >>> current() is None
    True
    """
    found = _found()
    if found is None:
        return None
    message, run, _ = found
    spec = message.spec
    return Request(spec.id, spec.name, spec.task, run.current, spec.n, message.round)


def progress(done: float, total: float | None = None, **info: Any) -> None:
    """Report how far the running item is; shows in ``job.progress()`` and the live views.

    Args:
        done: How much is done, in any unit.
        total: How much there is to do in the same unit; ``None`` when that is not known.
        **info: Anything JSON-able to show beside it (``loss=0.31``); the rest is shown as text.

    >>> progress(3, 10, loss=0.31)      # outside of a worker: nothing happens
    """
    found = _found()
    if found is None:
        return
    _, run, reporter = found
    shown = {key: _plain(value) for key, value in info.items()}
    reporter.progress(
        Progressed(run.current, float(done), None if total is None else float(total), shown)
    )


def track(
    iterable: Iterable[T], total: float | None = None, desc: str | None = None
) -> Iterator[T]:
    """Walk an iterable and report progress on the way, like ``tqdm``.

    Args:
        iterable: What to walk.
        total: How many there are, where ``len(iterable)`` does not say.
        desc: A word to show beside it.

    >>> sum(track([1, 2, 3]))
    6
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    info = {"desc": desc} if desc else {}
    here = reporting()
    if here is None:
        yield from iterable
        return
    run, reporter = here
    counter = Counter(run.current, total, info)
    reporter.count(counter)
    try:
        for value in iterable:
            yield value
            counter.done += 1
    finally:
        reporter.count_no_more(counter)


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
