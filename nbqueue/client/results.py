"""`ItemResult`: an item, or a whole job, in the words of Celery's ``AsyncResult``.

For code that was written for Celery and has an id to ask about: ``self.request.id`` of an item
(``"0123456789abcdef-7"``) or a job's id. Everything is read from the job, which knows more.
"""

from __future__ import annotations

import re
from typing import Any

from nbqueue.client.connecting import default_client
from nbqueue.client.inside import refuse_to_wait
from nbqueue.client.job import Job
from nbqueue.core import states
from nbqueue.core.errors import UnknownJob, UsageError

_ID = re.compile(r"([0-9a-f]{16})(?:-(\d+))?")


class ItemResult:
    """What became of an item or a job; from ``nq.AsyncResult(id)`` and ``self.AsyncResult(id)``.

    As in Celery, an id that is not known is PENDING: a job that was sent a moment ago is known
    to the store when a worker begins it.
    """

    def __init__(self, task_id: str) -> None:
        read = _ID.fullmatch(task_id)
        if read is None:
            raise UsageError(
                f"{task_id!r} is no id of an item (0123456789abcdef-7: self.request.id) nor of a "
                "job; for a Celery project's tasks, ask nq.AsyncResult(id, app)"
            )
        self.id = self.task_id = task_id
        self._job_id, number = read.groups()
        self.item = None if number is None else int(number)
        """The item's number; ``None`` for a job as a whole."""
        self._job: Job | None = None

    @property
    def job(self) -> Job:
        """The job.

        Raises:
            UnknownJob: there is none in the store, or it has no such item.
        """
        if self._job is None:
            job = default_client().job(self._job_id)
            if self.item is not None and self.item >= job.n:
                raise UnknownJob(f"job {job.name!r} has {job.n} items: there is none {self.item}")
            self._job = job
        return self._job

    @property
    def name(self) -> str:
        """Name of the task."""
        return self.job.task if self.item is None else self.job._live.node(self.item)[0]

    @property
    def state(self) -> str:
        """One of Celery's states."""
        try:
            job = self.job
        except UnknownJob:
            return states.PENDING
        return job.state if self.item is None else states.NAMES[job._live.state.states[self.item]]

    @property
    def status(self) -> str:
        """Celery's other word for `state`."""
        return self.state

    @property
    def result(self) -> Any:
        """What it returned, or its exception; of one that runs, what it has last reported."""
        if self._job is None and self.state == states.PENDING:
            return None
        if not self.ready():
            reported = self.job.progress()
            known = self.item is not None and self.item in reported.index
            return dict(reported.loc[self.item]) if known else None
        if self.successful():
            return self.get()
        return self._exception()

    @property
    def info(self) -> Any:
        """Celery's other word for `result`."""
        return self.result

    @property
    def traceback(self) -> str | None:
        """The worker's traceback of a failure, as a text."""
        exc = self._exception()
        return None if exc is None or exc.__cause__ is None else str(exc.__cause__)

    def ready(self) -> bool:
        """Say whether it has ended."""
        return self.state in (states.SUCCESS, states.FAILURE, states.REVOKED)

    def successful(self) -> bool:
        """Say whether it has ended well."""
        return self.state == states.SUCCESS

    def failed(self) -> bool:
        """Say whether it has failed."""
        return self.state == states.FAILURE

    def get(self, timeout: float | None = None, propagate: bool = True, **_: Any) -> Any:
        """Wait for it, and give what it returned or raise what it raised.

        Args:
            timeout: Seconds to wait; ``None`` waits for as long as it takes.
            propagate: Raise its exception instead of giving that.

        Raises:
            concurrent.futures.TimeoutError: it has not ended in time.
            UsageError: this is a task in a worker, and it has not ended.
        """
        if not self.ready():
            refuse_to_wait(f"the result of {self.id}")
        if self.item is None:
            return self.job.result(timeout, errors="raise" if propagate else "return")
        future = self.job[self.item]
        found = None if propagate else future.exception(timeout)
        return future.result(timeout) if found is None else found

    def wait(self, timeout: float | None = None, propagate: bool = True, **_: Any) -> Any:
        """Celery's other word for `get`."""
        return self.get(timeout, propagate)

    def revoke(self, terminate: bool = False, **_: Any) -> None:
        """Cancel it; ``terminate`` ends it if it runs already."""
        self.job.cancel(terminate, items=self.item)

    def forget(self) -> None:
        """Delete the whole job that it belongs to from the store."""
        self.job.forget()

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"<ItemResult {self.id}: {self.state}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ItemResult) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def _exception(self) -> BaseException | None:
        found = self.job.exceptions()
        return next(iter(found.values()), None) if self.item is None else found.get(self.item)


def is_id(text: str) -> bool:
    """Say whether a text looks like the id of an item or a job."""
    return _ID.fullmatch(text) is not None
