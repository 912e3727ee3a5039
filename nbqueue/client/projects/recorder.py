"""A project's tasks as a job: its calls are published, and what becomes of them goes to a job log.

The workers of a Celery project know nothing of job logs. So this process keeps one: a thread for
each job publishes by the project's own app, with the project's serializer, routes and signals,
watches the project's result backend, and records each result as it arrives. From there on it is a
job like any other. The ids of its messages are the job's id and the item's number, so another
process can go on recording when this one is gone.

    call → task.apply_async → (the project's worker) → result backend → recorder → job log

One thread does all for a job, because Celery's connections to a result backend are a thread's own:
with ``rpc://`` results come to the thread that has sent the call, and to no other.
"""

from __future__ import annotations

import logging
import threading
import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from math import nan
from typing import Any
from weakref import WeakKeyDictionary

from celery import Celery, states
from celery.app.task import Task
from celery.result import AsyncResult, EagerResult, ResultSet

from nbqueue.client.dispatch import Call
from nbqueue.client.live import Live
from nbqueue.core import states as codes
from nbqueue.core.errors import NotPicklable
from nbqueue.core.records import Error, Outcomes
from nbqueue.store.values import results
from nbqueue.store.values.packing import ATOMS, pack_native, unpack

log = logging.getLogger("nbqueue.client")

_POLL_S = 0.1
"""How often a result backend is asked that cannot tell of news by itself."""

_LOOK_S = 0.02
"""How often a backend that tells of news is listened to. Celery 5.7 waits for news on the socket,
and what has been read from it together with something else is news only the next time."""

_AGAIN_S = 1.0
"""How long to wait for a result backend that is away."""

Meta = Mapping[str, Any]
"""A result as Celery's backends keep it: ``status``, ``result``, ``traceback``, …"""


class _NoMore(Exception):
    """Nobody wants to know any more."""


def message_id(job_id: str, item: int) -> str:
    """Give Celery's id of an item."""
    return f"{job_id}-{item}"


class Recorder(threading.Thread):
    """Publishes a job's calls, and records what becomes of them."""

    def __init__(
        self, live: Live, app: Celery, task: Task, calls: Sequence[Call], options: dict[str, Any]
    ) -> None:
        super().__init__(name=f"nbqueue-record-{live.id}", daemon=True)
        self._live = live
        self._app = app
        self._task = task
        self._calls = calls
        self._options = options
        self._sent: list[str] = []
        self._found: Sequence[AsyncResult] = ()
        self._pending: dict[str, AsyncResult] = {}
        self._listens = False
        self.published: Future[None] = Future()
        """Done when all calls are with the broker."""

    def run(self) -> None:
        """Do all of it."""
        try:
            self._run()
        finally:
            self._hang_up()

    def _hang_up(self) -> None:
        """Listen no longer for results.

        Celery names a thread's queue of results (``rpc://``) after the thread's number, which the
        next thread is given: what still listens there would take results of the next job.
        """
        # (A backend of all threads is another thread's, too.)
        if not self._listens or getattr(self._app.backend, "thread_safe", False):
            return
        try:
            self._app.backend.result_consumer.stop()
        except Exception as exc:  # each result backend has errors of its own
            log.debug("a result backend was not left in order: %r", exc)

    def _run(self) -> None:
        if self._found:
            self._record(self._found)
            return
        try:
            found = self._publish()
        except BaseException as exc:
            self._revoke(self._sent)
            self.published.set_exception(exc)
            return
        self.published.set_result(None)
        self._record(found)

    def go_on(self, found: Sequence[AsyncResult]) -> None:
        """Begin with what has been published already."""
        self._found = found
        self.start()

    def _record(self, found: Sequence[AsyncResult]) -> None:
        """Record results until all have arrived, or nobody wants to know any more."""
        self._pending = {result.id: result for result in found}
        self._live.whole_future().add_done_callback(lambda _: self._revoke(list(self._pending)))
        while self._pending:
            try:
                for task_id, meta in self._arrivals(list(self._pending.values())):
                    self._take(task_id, meta)
            except _NoMore:
                return
            except Exception as exc:  # each result backend has errors of its own
                if self._live.client.closed:
                    return
                log.warning("job %s: no news of results (%s), trying again", self._live.name, exc)
                time.sleep(_AGAIN_S)

    def _take(self, task_id: str, meta: Meta) -> None:
        """Record a result, once."""
        if task_id in self._pending:
            self._commit(int(task_id.rpartition("-")[2]), meta)
            self._pending.pop(task_id, None)

    def _publish(self) -> list[AsyncResult]:
        found = []
        eager = self._app.conf.task_always_eager  # nothing is sent then
        with nullcontext() if eager else self._app.producer_pool.acquire(block=True) as producer:
            for item, (args, kwargs) in enumerate(self._calls):
                task_id = message_id(self._live.id, item)
                found.append(
                    self._task.apply_async(
                        args, kwargs, task_id=task_id, producer=producer, **self._options
                    )
                )
                self._sent.append(task_id)
        return found

    def _revoke(self, ids: list[str]) -> None:
        """Have what is not begun dropped: the job was cancelled, or never came to be."""
        if ids and not self._live.client.closed:
            self._app.control.revoke(ids)

    # -- arrivals ------------------------------------------------------------------------------

    def _arrivals(self, found: list[AsyncResult]) -> Iterator[tuple[str, Meta]]:
        if isinstance(found[0], EagerResult):
            for result in found:
                yield result.id, _eager(result)
            return
        backend = self._app.backend
        if hasattr(backend, "result_consumer") and not self._found:
            self._listens = True
            # The iterator gives a result one interval after it has come; the callback at once.
            yield from ResultSet(found, app=self._app).iter_native(
                interval=_LOOK_S, on_message=self._hear, on_interval=self._check
            )
            return
        # Results that may be there already, or a backend that only answers (a database, files).
        pending = {result.id for result in found}
        while pending:
            for task_id in sorted(pending):
                meta = backend.get_task_meta(task_id)
                if meta["status"] in states.READY_STATES:
                    pending.discard(task_id)
                    yield task_id, meta
            self._check()
            time.sleep(_POLL_S)

    def _hear(self, news: Meta) -> None:
        if news["status"] in states.READY_STATES:
            meta = self._app.backend.meta_from_decoded(dict(news))
            self._take(str(news["task_id"]), meta)

    def _check(self) -> None:
        if self._live.client.closed or self._live.finished:
            raise _NoMore

    # -- outcomes ------------------------------------------------------------------------------

    def _commit(self, item: int, meta: Meta) -> None:
        client = self._live.client
        succeeded = meta["status"] == states.SUCCESS
        value: Any = results.NO_RESULT
        errors: tuple[Error, ...] = ()
        if succeeded:
            try:
                value = self._handed_in(meta["result"])
            except NotPicklable as exc:
                succeeded, errors = False, (Error(type(exc).__name__, str(exc), ""),)
        else:
            errors = (self._described(meta),)
        record = Outcomes(
            round=1,
            worker=str(meta.get("worker") or ""),
            runs=((item, item + 1),),
            states=bytes([codes.SUCCESS_CODE if succeeded else codes.FAILURE_CODE]),
            base=client.now(),
            # Celery keeps neither when a task began nor how long it took.
            started=array("f", [nan]),
            run_s=array("f", [nan]),
            memory_mb=nan,
            results=results.encode([value], client.blobs),
            errors=errors,
            error_of=((item, 0),) if errors else (),
            # Celery keeps how often it was retried where the project says result_extended.
            retries=((item, retries),) if (retries := int(meta.get("retries") or 0)) else (),
        )
        if client.joblog.commit(self._live.id, record, client.now()).ready:
            client.sequels.release()

    def _handed_in(self, value: Any) -> Any:
        if type(value) in ATOMS and not isinstance(value, (str, bytes)):
            return value
        return results.Packed(pack_native(value, self._live.client.blobs))

    def _described(self, meta: Meta) -> Error:
        exc, blobs = meta["result"], self._live.client.blobs
        text = str(meta.get("traceback") or "")
        if not isinstance(exc, BaseException):
            return Error(str(meta["status"]), str(exc), text)
        try:
            packed = pack_native(exc, blobs)
            packed = packed if type(unpack(packed, blobs)) is type(exc) else b""
        except Exception:  # the text travels instead
            packed = b""
        cls = type(exc)
        name = cls.__qualname__
        if cls.__module__ not in ("builtins", "__main__"):
            name = f"{cls.__module__}.{name}"
        return Error(name, str(exc), text, packed)


def _eager(result: EagerResult) -> Meta:
    return {"status": result.state, "result": result.result, "traceback": result.traceback}


recorders: WeakKeyDictionary[Live, Recorder] = WeakKeyDictionary()
"""Who records the jobs of this process."""
