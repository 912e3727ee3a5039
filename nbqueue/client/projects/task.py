"""`ProjectTask`: a task of a Celery project, whose calls are jobs.

Each call is published by the project's own app and recorded by a thread of this process
(`recorder`); composed and scheduled, it is a step that one of our workers makes (`step`).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from celery import Celery
from celery.app.task import Task as CeleryTask
from celery.backends.base import DisabledBackend

from nbqueue.client.client import Client
from nbqueue.client.connecting import default_client
from nbqueue.client.dispatch import Call, Submission, Upload, make_spec, new_id
from nbqueue.client.job import Job
from nbqueue.client.live import Live
from nbqueue.client.options import TaskOptions, check_name
from nbqueue.client.projects.recorder import Recorder, recorders
from nbqueue.client.projects.step import ProjectStep
from nbqueue.client.schedules.schedule import Schedule
from nbqueue.client.schedules.timed import MakeRule, Timed
from nbqueue.core.errors import UsageError
from nbqueue.core.records import JobSpec
from nbqueue.core.settings import INLINE_BYTES
from nbqueue.store.code.byname import CallByName
from nbqueue.store.log.opening import Opening
from nbqueue.store.values import arguments, bounds


class ProjectTask(Timed):
    """A task of a Celery project, whose calls are jobs.

    ``task`` is Celery's own task, with all that it has (``s``, ``delay_on_commit`` …).
    """

    def __init__(self, app: Celery, task: CeleryTask, project: str) -> None:
        self._app = app
        self._project = project
        self.task = task
        self.name: str = task.name
        self.__doc__ = task.__doc__ if task.run.__doc__ is None else task.run.__doc__
        self.__name__ = self.name.rpartition(".")[2]
        self.__signature__ = _signature(task)
        self._params = tuple(self.__signature__.parameters) if self.__signature__ else ()

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the task here."""
        return self.task(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<ProjectTask {self.name}{self.__signature__ or '(...)'}>"

    def submit(self, /, *args: Any, **kwargs: Any) -> Job:
        """Send one call; ``job.result()`` is what the task returns.

        Raises:
            TypeError: the task does not take these arguments; nothing was sent.
            UsageError: its results are not kept, so nothing could be known of it.
        """
        return self.apply_async(args, kwargs)

    def delay(self, /, *args: Any, **kwargs: Any) -> Job:
        """Send one call: Celery's name for `submit`."""
        return self.apply_async(args, kwargs)

    def apply_async(
        self,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        **options: Any,
    ) -> Job:
        """Send one call with Celery's options (``queue``, ``countdown``, ``serializer`` …)."""
        return self._send_one((tuple(args), dict(kwargs or {})), name, options)

    def map(self, *iterables: Iterable[Any], name: str | None = None, **options: Any) -> Job:
        """Send a call for each element of the iterables, as the built-in ``map`` pairs them."""
        if not iterables:
            raise TypeError(f"{self.name}.map() needs at least one iterable")
        calls: list[Call] = [(row, {}) for row in bounds.within(zip(*iterables, strict=False))]
        return self._send(calls, name, options)

    def starmap(self, rows: Iterable[Any], *, name: str | None = None, **options: Any) -> Job:
        """Send a call for each row: a tuple of positional or a dict of keyword arguments."""
        calls: list[Call] = [
            ((), dict(row)) if isinstance(row, Mapping) else (tuple(row), {})
            for row in bounds.within(rows)
        ]
        return self._send(calls, name, options)

    def s(self, /, *args: Any, **kwargs: Any) -> Any:
        """Give the signature of a call, to be composed with others (``|``, `nq.group` …).

        A worker makes the call by the project's app, which it imports as ``celery -A`` does, and
        waits for its result.

        Raises:
            UsageError: the project was not given by name, so that no worker could import it.
        """
        return self.step().s(*args, **kwargs)

    def si(self, /, *args: Any, **kwargs: Any) -> Any:
        """Give the signature of a call that takes nothing from the step before."""
        return self.step().si(*args, **kwargs)

    def step(self) -> ProjectStep:
        """Give the task as what a workflow calls."""
        if not self._project:
            raise UsageError(
                f"a worker could not import the project of {self.name}: give it by name, "
                "nq.tasks('proj.celery:app')"
            )
        call = CallByName(self._project, self.name, {})
        return ProjectStep(call, self.__signature__, TaskOptions())

    def _schedule(
        self,
        make_rule: MakeRule,
        name: str | None,
        args: Iterable[Any],
        kwargs: dict[str, Any] | None,
        options: dict[str, Any],
    ) -> Schedule:
        return self.step()._schedule(make_rule, name, args, kwargs, options)

    def _send(self, calls: list[Call], name: str | None, options: dict[str, Any]) -> Job:
        self._check(calls, name, options)
        client, job_id = default_client(), new_id()
        upload = Upload(client, job_id, self._params)
        upload.calls(calls)
        opening = client.joblog.opening(
            self._spec(client, job_id, name, upload.n, upload.block or 1)
        )
        return self._published(client, opening, upload.kept, calls, options)

    def _send_one(self, call: Call, name: str | None, options: dict[str, Any]) -> Job:
        self._check([call], name, options)
        client, job_id = default_client(), new_id()
        packed = arguments.pack_call(*call, client.blobs, self._params)
        inline = packed if len(packed) <= INLINE_BYTES else b""
        if not inline:
            client.arguments.put(job_id, 0, packed)
        opening = client.joblog.opening(self._spec(client, job_id, name, 1, 0), inline)
        return self._published(client, opening, {0: packed}, [call], options)

    def _spec(self, client: Client, job_id: str, name: str | None, n: int, block: int) -> JobSpec:
        sub = Submission(self.name, "", self._params, TaskOptions(), name)
        return make_spec(client, sub, n=n, block=block, job_id=job_id)

    def _published(
        self,
        client: Client,
        opening: Opening,
        blocks: dict[int, bytes],
        calls: list[Call],
        options: dict[str, Any],
    ) -> Job:
        live = Live(client, opening.spec)
        live.blocks = blocks
        client.follower.follow(live)
        client.joblog.open(opening)  # before anything is sent: results may come at once
        if not calls:
            client.follower.catch_up(live)
            return Job(live)
        recorder = recorders[live] = Recorder(live, self._app, self.task, calls, options)
        recorder.start()
        try:
            recorder.published.result()
        except BaseException:
            client.follower.unfollow(live)
            client.joblog.forget(live.id)
            raise
        return Job(live)

    def _check(self, calls: list[Call], name: str | None, options: dict[str, Any]) -> None:
        check_name(name)
        if self.__signature__ is not None and getattr(self.task, "typing", True):
            for args, kwargs in calls:
                self.__signature__.bind(*args, **kwargs)
        if isinstance(self._app.backend, DisabledBackend):
            raise UsageError(
                f"the project of {self.name} keeps no results, so nothing could be known of a job: "
                "give it a result_backend, or send the call off with .task.delay()"
            )
        if options.get("ignore_result", self.task.ignore_result):
            raise UsageError(
                f"{self.name} ignores its results, so nothing could be known of a job; "
                "send the call off with .task.delay()"
            )


def _signature(task: CeleryTask) -> inspect.Signature | None:
    try:
        return inspect.signature(task.run)
    except (TypeError, ValueError):
        return None
