"""``nq.on``: the notebook's own functions, called when something happens to its jobs.

    follower ─► live: fold ─► happenings ─► a queue ─► this module's thread ─► the functions

The thread that reads the log only notes what has happened, and nothing at all while nobody listens.
A function that raises is logged; one that is slow keeps later calls waiting, and nothing else.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import inspect
import logging
import os
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from nbqueue.client import live as lives
from nbqueue.client import place
from nbqueue.client.happenings import KINDS, Happening, happenings
from nbqueue.client.job import Job
from nbqueue.client.live import Live
from nbqueue.client.task import Task
from nbqueue.core.errors import UsageError
from nbqueue.core.fold import Changes
from nbqueue.core.records import Record

log = logging.getLogger("nbqueue.client")

_DRAIN_S = 2.0
"""How long the end of a block, or of the process, waits for what has happened to be told."""


@dataclass(frozen=True)
class Event:
    """Something that has happened to a job."""

    kind: str
    """``started``, ``retry``, ``success``, ``failure``, ``revoked``; ``finished`` is a job's."""
    job: Job
    item: int | None
    """Number of the item; ``None`` of a whole job."""
    retries: int = 0
    """How often the item has been retried: of ``retry``."""

    @property
    def task(self) -> str:
        """The task's name."""
        return _task_of(self.job._live, self.item)

    @property
    def result(self) -> Any:
        """What the item returned, or the whole job's results; ``None`` of what did not succeed."""
        if self.item is None:
            return self.job.result(errors="return")
        return self.job[self.item].result(0) if self.kind == "success" else None

    @property
    def exception(self) -> BaseException | None:
        """Why the item failed or was cancelled; a job's: of the first that did."""
        return self.job.exceptions().get(self.item) if self.item is not None else _first(self.job)


class Subscription:
    """A function that is called when something happens, until ``off()``; made by `on`.

    It can be called like the function itself, and used as a context manager: at the end of the
    block, what has happened so far is told, and nothing more.
    """

    def __init__(
        self,
        function: Callable[[Event], Any],
        kinds: frozenset[str],
        task: str | None,
        job: str | None,
    ) -> None:
        functools.update_wrapper(self, function, updated=())
        self._function = function
        self.kinds = kinds
        self._task = task
        self._job = job
        found = place.cell()
        self.home = None if found is None else place.home_of(function, found)
        """The cell that it is made in, and the function's name."""
        self.run = None if found is None else found.run
        _hub.add(self)

    def is_again(self, other: Subscription) -> bool:
        """Say whether this one is made by an earlier one's cell, run again."""
        return self.home is not None and self.home == other.home and self.run != other.run

    def __call__(self, event: Event) -> Any:
        """Call the function."""
        return self._function(event)

    def off(self) -> None:
        """Have it called no more. To do so twice does no harm."""
        _hub.remove(self)

    def wants(self, event: Event) -> bool:
        """Say whether an event is one of those that it was made for."""
        return (
            event.kind in self.kinds
            and (self._task is None or self._task in _tasks_of(event.job._live, event.item))
            and self._job in (None, event.job.id, event.job.name)
        )

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *exc: object) -> None:
        if not _hub.drain():
            log.warning(
                "the block of %r ends, and after %g s it has not been told all that has happened: "
                "a function of nq.on takes long. Without a block it is told until .off() is called",
                self,
                _DRAIN_S,
            )
        self.off()

    def __repr__(self) -> str:
        name = getattr(self._function, "__qualname__", repr(self._function))
        return f"<{name} on {', '.join(sorted(self.kinds))}>"


def on(
    *kinds: str,
    task: str | Task[Any, Any] | None = None,
    job: str | Job | None = None,
    call: Callable[[Event], Any] | None = None,
) -> Any:
    """Have a function called when something happens to jobs that this process follows.

    Those are the jobs that it submitted, and those that it found by ``nq.job``. What had happened
    before is not told. The function runs in a thread of its own, one call after the other, in the
    order in which things happened to a job. If it raises, that is logged. An ``async`` function is
    run to its end in that thread. In a notebook, a cell that is run again replaces the functions
    that it had registered, by their names.

    Args:
        *kinds: Of what happens to an item, ``"started"`` (and has run for a tenth of a second: not
            of quicker ones), ``"retry"``, ``"success"``, ``"failure"``, ``"revoked"``; and
            ``"finished"`` when a job is over.
        task: Only of this task, or of all with this name; ``"finished"`` of a workflow, if it has
            a step of it.
        job: Only of this job, or of all with this name.
        call: The function, called with an `Event` (``kind``, ``job``, ``item``, ``task``,
            ``result``, ``exception``, ``retries``). Without it ``on`` is a decorator.

    Gives a `Subscription`; its ``off()`` ends it.

    Raises:
        UsageError: there is no such kind, or something else is not what it should be.

    >>> done = []
    >>> @nq.on("success", task=double)                      # doctest: +CLUSTER
    ... def note(event):
    ...     done.append((event.item, event.result))
    >>> with note:                                          # doctest: +CLUSTER
    ...     _ = double.map([1, 2, 3]).result()
    >>> sorted(done)                                        # doctest: +CLUSTER
    [(0, 2), (1, 4), (2, 6)]
    """
    wrong = [kind for kind in kinds if kind not in KINDS]
    if wrong or not kinds:
        hint = ": pass a function as call=, or decorate it: @nq.on('success')"
        raise UsageError(
            f"nq.on takes {', '.join(map(repr, KINDS))}, not {wrong or 'nothing'}"
            f"{hint if any(map(callable, wrong)) else ''}"
        )
    named = _name(task, Task, "task", lambda t: t.name)
    of = _name(job, Job, "job", lambda j: j.id)
    if call is None:
        return lambda function: on(*kinds, task=task, job=job, call=function)
    if not callable(call):
        raise UsageError(f"nq.on calls a function, not {call!r}")
    return Subscription(call, frozenset(kinds), named, of)


class _Hub:
    """All subscriptions of this process, and the thread that serves them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subscriptions: tuple[Subscription, ...] = ()
        self._kinds: frozenset[str] = frozenset()
        self._queue: SimpleQueue[tuple[Live, Happening] | threading.Event] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._pid = 0

    def add(self, subscription: Subscription) -> None:
        with self._lock:
            others = (one for one in self._subscriptions if not subscription.is_again(one))
            self._set((*others, subscription))
            if self._thread is None or self._pid != os.getpid():  # a fork has no threads
                self._pid = os.getpid()
                self._queue = SimpleQueue()
                self._thread = threading.Thread(
                    target=self._serve, name="nbqueue-listener", daemon=True
                )
                self._thread.start()

    def remove(self, subscription: Subscription) -> None:
        with self._lock:
            self._set(tuple(one for one in self._subscriptions if one is not subscription))

    def drain(self) -> bool:
        """Wait until what has happened so far is told, but not for ever; say whether it is."""
        if self._pid != os.getpid() or threading.current_thread() is self._thread:
            return True
        told = threading.Event()
        self._queue.put(told)
        return told.wait(_DRAIN_S)

    def note(self, live: Live, record: Record, changes: Changes) -> None:
        """Remember what a record means; called with the job's lock held."""
        for happening in happenings(live.state, record, changes):
            if happening.kind in self._kinds:
                self._queue.put((live, happening))

    def _set(self, subscriptions: tuple[Subscription, ...]) -> None:
        self._subscriptions = subscriptions
        self._kinds = frozenset(kind for one in subscriptions for kind in one.kinds)
        if subscriptions and self.note not in lives.on_records:
            lives.on_records.append(self.note)
        elif not subscriptions and self.note in lives.on_records:
            lives.on_records.remove(self.note)

    def _serve(self) -> None:
        queue = self._queue
        while True:
            found = queue.get()
            if isinstance(found, threading.Event):
                found.set()
                continue
            live, happening = found
            items = range(happening.start, happening.stop) if happening.start >= 0 else (None,)
            for item in items:
                self._tell(Event(happening.kind, Job(live), item, happening.retries))

    def _tell(self, event: Event) -> None:
        for subscription in self._subscriptions:
            try:
                if subscription.wants(event):
                    given = subscription(event)
                    if inspect.isawaitable(given):
                        asyncio.run(_awaited(given))
            except Exception:
                log.exception("%r raised on %s of %s", subscription, event.kind, _whose(event))


_hub = _Hub()
atexit.register(_hub.drain)


def _whose(event: Event) -> str:
    job = f"job {event.job.name!r}"
    return job if event.item is None else f"item {event.item} of {job}"


async def _awaited(given: Awaitable[Any]) -> None:
    await given


def _tasks_of(live: Live, item: int | None) -> set[str]:
    """Name the task of an item, or of a whole job all that it calls."""
    if item is None and live.state.stages:
        return {live.state.task, *(stage.spec.task for stage in live.state.stages)}
    return {_task_of(live, item)}


def _task_of(live: Live, item: int | None) -> str:
    stage = live.state.stage_of(item) if item is not None and live.state.stages else None
    return stage.spec.task if stage is not None else live.state.task


def _first(job: Job) -> BaseException | None:
    return next(iter(job.exceptions().values()), None)


def _name(value: Any, kind: type, what: str, name: Callable[[Any], str]) -> str | None:
    if value is None or (isinstance(value, str) and value):
        return value or None
    if isinstance(value, kind):
        return name(value)
    raise UsageError(f"{what} is a {what} or a name, not {value!r}")
