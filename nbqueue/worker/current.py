"""What a task can ask and say about the item it is running as: `current`, `progress`, `track`.

Outside of a worker (the same function called in the notebook) there is nobody to report to: then
`progress` and `track` do nothing but let the function run.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from numbers import Real
from typing import Any, TypeVar

from celery._state import get_current_task, pop_current_task, push_current_task
from celery.app.task import Context

from nbqueue.core.errors import UsageError
from nbqueue.core.records import Progressed
from nbqueue.store.broker.message import Message
from nbqueue.store.code.behaviour import PlainTask
from nbqueue.store.code.itemtask import Here, ItemTask
from nbqueue.store.code.retries import Again
from nbqueue.store.values.arguments import Call
from nbqueue.worker.reporting.ranges import NO_ITEM, RangeRun
from nbqueue.worker.reporting.reporter import Counter, Reporter

T = TypeVar("T")

_TEXT_CHARS = 1_000
"""How much of a text that is reported beside progress is kept: it is sent ten times a second."""

_here = threading.local()

PLAIN = PlainTask()
"""The task of whatever has no behaviour of its own."""


class Request(Context):
    """The item that is being run: Celery's ``self.request``, of an item instead of a message.

    Celery's fields mean what they mean in Celery. ``id`` is the job's id and the item's number
    (``"0123456789abcdef-7"``), ``root_id`` the job's id, and ``group`` too where the job has many
    items, ``group_index`` the item's number; ``args`` and ``kwargs`` are the item's own, and
    ``retries`` counts its retries since it was submitted or ``job.retry`` began it anew.
    ``delivery_info``, ``hostname``, ``reply_to`` and ``properties`` are those of the message that
    the item came in, with others perhaps. Fields of what an item has not (``chord``, ``chain``,
    ``callbacks``, ``errbacks``) are ``None``.

    And these of its own: ``job_id``, ``job`` (its name), ``task`` (its name), ``item``, ``n`` (how
    many the job has), ``round`` (1, and one more for each ``job.retry``).
    """

    job_id: str
    job: str
    task: str
    item: int
    n: int
    round: int

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.__dict__.update(fields)

    def __repr__(self) -> str:
        return f"<Request {self.id}: item {self.item} of job {self.job!r}, {self.task}>"


@dataclass
class _Range:
    """What a thread is running."""

    message: Message
    run: RangeRun
    reporter: Reporter
    call: Callable[[int], Call]
    """Gives what an item is called with."""
    outer: Any = None
    """The Celery task that took the message, where another covers it."""
    request: Request | None = None
    """Of the latest item that was asked about."""
    said: tuple[int, str, Mapping[str, Any]] = (NO_ITEM, "", {})
    """The latest item that gave itself a state, the state, and what it said with it."""
    again: Again | None = None
    """The retry that the item wants when it returns."""


_running: list[_Range] = []
"""The ranges of this process: one, except in a pool of threads."""


@contextmanager
def running(
    message: Message, run: RangeRun, reporter: Reporter, task: Any, call: Callable[[int], Call]
) -> Iterator[None]:
    """Make a range the current one of this thread, and its task ``celery.current_task``."""
    before = getattr(_here, "range", None)
    _here.range = found = _Range(message, run, reporter, call)
    _running.append(found)
    if task is not PLAIN:  # else it is the one that has taken the message (`rangetask`)
        found.outer = get_current_task()
        push_current_task(task)  # as Celery's own tracer does: there is no public name for it
    try:
        yield
    finally:
        if task is not PLAIN:
            pop_current_task()
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
    return None if found is None else (found.run, found.reporter)


def current() -> Request | None:
    """Give the item that this thread is running, or ``None`` outside of a worker.

    >>> current() is None
    True
    """
    found = _found()
    return None if found is None else _request(found)


def own_request() -> Request | None:
    """Give the item that this thread itself is running; ``None`` between two."""
    found: _Range | None = getattr(_here, "range", None)
    return None if found is None or found.run.current == NO_ITEM else _request(found)


def _request(found: _Range) -> Request:
    item, retries = found.run.current, found.run.retried.get(found.run.current, 0)
    known = found.request
    if known is None or known.item != item or known.retries != retries:
        outer = getattr(found.outer or get_current_task(), "message_request", None)
        call = ((), {}) if item == NO_ITEM else found.call(item)
        known = found.request = request_of(
            found.message, item, call=call, retries=retries, outer=outer
        )
    return known


def item_id(job_id: str, item: int) -> str:
    """Give the id of an item, for those who want one word for it."""
    return f"{job_id}-{item}"


def request_of(
    message: Message,
    item: int,
    *,
    call: Call = ((), {}),
    retries: int = 0,
    outer: Context | None = None,
) -> Request:
    """Give the request of an item of a message; ``outer`` is that of Celery's task around it."""
    spec, limits = message.spec, message.spec.limits
    outer = Context() if outer is None else outer
    args, kwargs = call
    own = item_id(spec.id, item)
    headers = json.loads(spec.headers) if spec.headers else {}
    stamped = headers.pop("stamped_headers", None)
    fields = {
        "id": own,
        "correlation_id": own,
        "root_id": spec.id,
        "group": spec.id if spec.block else None,
        "group_index": item if spec.block else None,
        "args": args,
        "kwargs": kwargs,
        "retries": retries,
        "eta": _moment(spec.route.eta) if not retries else None,
        "origin": spec.origin,
        "called_directly": False,
        "timelimit": [limits.time_limit, limits.soft_time_limit],
        "time_limit": limits.time_limit,
        "soft_time_limit": limits.soft_time_limit,
        "expires": _moment(limits.expires),
        "ignore_result": spec.ignore_result,
        "utc": True,
        "headers": {**(outer.headers or {}), **headers} if headers else outer.headers,
        "stamped_headers": stamped,
        "stamps": {name: headers[name] for name in stamped or () if name in headers},
        "hostname": outer.hostname,
        "delivery_info": outer.delivery_info,
        "reply_to": outer.reply_to,
        "properties": outer.properties,
        "job_id": spec.id,
        "job": spec.name,
        "task": spec.task,
        "item": item,
        "n": spec.n,
        "round": message.round,
    }
    return Request(fields)


def _moment(at: float | None) -> str | None:
    """Give a time as Celery's messages have it."""
    return None if at is None else datetime.fromtimestamp(at, timezone.utc).isoformat()


class _Here:
    """What `self` of a task is told, and what it tells."""

    @property
    def app(self) -> Any:
        found = _found()
        return None if found is None else getattr(found.outer or get_current_task(), "app", None)

    def request(self) -> Request | None:
        return current()

    def options(self) -> dict[str, Any]:
        found = _found()
        if found is None:
            return {}
        spec = found.message.spec
        route, limits = spec.route, spec.limits
        given = {
            "queue": route.queue,
            "exchange": route.exchange,
            "routing_key": route.routing_key,
            "priority": route.priority,
            "soft_time_limit": limits.soft_time_limit,
            "time_limit": limits.time_limit,
            "rate_limit": limits.rate_limit,
            "concurrency": limits.concurrency,
            "ignore_result": spec.ignore_result or None,
            "track_started": spec.track_started or None,
            "cache": bool(spec.cache) or None,
            "headers": json.loads(spec.headers) if spec.headers else None,
        }
        return {name: value for name, value in given.items() if value is not None}

    def report(self, state: str, meta: Mapping[str, Any]) -> None:
        found = _found()
        if found is None:
            return
        found.said = (found.run.current, state, meta)
        about = {"state": state, **meta} if state else dict(meta)
        done, total = about.pop("current", about.pop("done", 0)), about.pop("total", None)
        if not _is_number(done):
            about["current"], done = done, 0
        progress(done, total if _is_number(total) else None, **about)

    def run_again(self, again: Again) -> None:
        found = _found()
        if found is not None:
            found.again = again


ItemTask.here = _Here()


def here() -> Here:
    """Give what this process knows of the item that a thread is running."""
    return ItemTask.here


def said() -> tuple[str, Mapping[str, Any]]:
    """Give the state that the running item has given itself by ``update_state``, and its words."""
    found = _found()
    if found is None or found.said[0] != found.run.current:
        return "", {}
    return found.said[1:]


def wanted_again() -> Again | None:
    """Take the retry that the running item has asked for without raising it."""
    found = _found()
    if found is None or found.again is None:
        return None
    again, found.again = found.again, None
    return again


def _amount(value: Any, name: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise UsageError(
            f"nq.progress takes numbers, not {name}={value!r}; anything else goes beside them by "
            "a name of its own (step='fit')"
        ) from None


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def progress(done: float, total: float | None = None, **info: Any) -> None:
    """Report how far the running item is; shows in ``job.progress()`` and the live views.

    Args:
        done: How much is done, in any unit.
        total: How much there is to do in the same unit; ``None`` when that is not known.
        **info: Anything JSON-able to show beside it (``loss=0.31``); the rest is shown as text.

    Raises:
        UsageError: in a task, ``done`` or ``total`` is no number (it is a ValueError too).

    >>> progress(3, 10, loss=0.31)      # outside of a worker: nothing happens
    """
    found = _found()
    if found is None:
        return
    shown = {key: _plain(value) for key, value in info.items()}
    at, of = _amount(done, "done"), None if total is None else _amount(total, "total")
    found.reporter.progress(Progressed(found.run.current, at, of, shown))


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
    if isinstance(value, (int, float, bool, type(None))):
        return value
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= _TEXT_CHARS else f"{text[:_TEXT_CHARS]}…"
