"""An existing Celery project's tasks: `nq.tasks`, and `nq.AsyncResult` for any id of Celery's.

The project's own workers run them, in its own ways; here they are called, by their names, and their
results are jobs. Whoever is connected to it all the same has two brokers: the project's, and the
one of by-value tasks.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from celery import Celery
from celery import result as celery_result
from celery.app.task import Task as CeleryTask
from celery.backends.base import DisabledBackend

from nbqueue.client.canvas import composition
from nbqueue.client.client import Client, current_project, default_client
from nbqueue.client.dispatch import Call, Submission, Upload, make_spec, new_id
from nbqueue.client.job import Job
from nbqueue.client.live import Live
from nbqueue.client.options import TaskOptions, check_name
from nbqueue.client.projects.joining import Project, project_of
from nbqueue.client.projects.recorder import Recorder, message_id
from nbqueue.client.projects.step import ProjectStep
from nbqueue.client.results import ItemResult, is_id
from nbqueue.client.schedules.schedule import Schedule
from nbqueue.client.schedules.timed import MakeRule, Timed
from nbqueue.core import states
from nbqueue.core.errors import UnknownJob, UsageError
from nbqueue.core.records import JobSpec
from nbqueue.core.settings import INLINE_BYTES
from nbqueue.store import arguments
from nbqueue.store.byname import CallByName
from nbqueue.store.joblog import Opening

_latest: Tasks | None = None
"""The last project that was asked for."""


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
        calls: list[Call] = [(row, {}) for row in zip(*iterables, strict=False)]
        return self._send(calls, name, options)

    def starmap(self, rows: Iterable[Any], *, name: str | None = None, **options: Any) -> Job:
        """Send a call for each row: a tuple of positional or a dict of keyword arguments."""
        calls: list[Call] = [
            ((), dict(row)) if isinstance(row, Mapping) else (tuple(row), {}) for row in rows
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
        recorder = Recorder(live, self._app, self.task, calls, options)
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


class Tasks(Mapping[str, ProjectTask]):
    """The tasks of a project, by their full names; by the last words of them as attributes.

    A last word that two tasks share is no attribute.
    """

    def __init__(self, app: Celery, project: str = "") -> None:
        self.app = app
        names = sorted(name for name in app.tasks if not name.startswith("celery."))
        self._tasks = {name: ProjectTask(app, app.tasks[name], project) for name in names}
        short: dict[str, list[ProjectTask]] = {}
        for name, task in self._tasks.items():
            short.setdefault(name.rpartition(".")[2], []).append(task)
        # In the instance's own dictionary, so that Tab finds them as it finds anything.
        for word, found in short.items():
            if len(found) == 1 and word.isidentifier() and not hasattr(self, word):
                self.__dict__[word] = found[0]

    def __getitem__(self, name: str) -> ProjectTask:
        if name in self._tasks:
            return self._tasks[name]
        raise UsageError(self._no(name))

    def __getattr__(self, name: str) -> ProjectTask:
        """Say which tasks there are: those that are attributes are found before this is asked."""
        if name.startswith("_"):
            raise AttributeError(name)
        same = [known for known in self._tasks if known.rpartition(".")[2] == name]
        if same:
            which = " or ".join(f"tasks[{known!r}]" for known in same)
            raise AttributeError(f"{name!r} is no single task's last word: write {which}")
        raise AttributeError(self._no(name))

    def _no(self, name: str) -> str:
        words = {known.rpartition(".")[2]: known for known in self._tasks}
        near = difflib.get_close_matches(name.rpartition(".")[2], words, n=3)
        hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
        return f"the project has no task {name!r}; {hint}It has {', '.join(self._tasks) or 'none'}"

    def __contains__(self, name: object) -> bool:
        return name in self._tasks

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._tasks)

    def __repr__(self) -> str:
        lines = [f"  {task.name}{task.__signature__ or '(...)'}" for task in self._tasks.values()]
        return "\n".join([f"<Tasks of {self.app.main or 'a project'}: {len(self)}>", *lines])

    def record(self, job: Job) -> None:
        """Go on recording a job of this project that another process has sent and left.

        Raises:
            UsageError: its task is not one of this project's.
        """
        live = job._live
        task = self[live.state.task]
        recorder = Recorder(live, self.app, task.task, (), {})
        pending = [
            self.app.AsyncResult(message_id(live.id, item))
            for item in range(live.state.n)
            if live.state.states[item] < states.FIRST_DONE_CODE
        ]
        if pending:
            recorder.go_on(pending)


def tasks(app: str | Celery | None = None) -> Tasks:
    """Give the tasks of an existing Celery project, run by its own workers.

    Args:
        app: Where its app is, as ``celery -A`` has it (``"proj"``, ``"proj.celery:app"``), from
            this folder; or the app itself. Django projects are set up by it. Without one, that of
            ``nq.connect(app=…)``, or the one that was asked for last.

    Raises:
        UsageError: there is no such module or app, or none was given yet.

    >>> from celery import Celery
    >>> app = Celery("proj", set_as_current=False)
    >>> app.conf.update(task_always_eager=True, result_backend="cache+memory://")
    >>> @app.task(name="proj.add")
    ... def add(x, y):
    ...     return x + y
    >>> tasks = nq.tasks(app)
    >>> tasks
    <Tasks of proj: 1>
      proj.add(x, y)
    >>> tasks.add.map([1, 2], [3, 4]).result()              # doctest: +CLUSTER
    [4, 6]
    """
    global _latest
    if app is not None:
        _latest = _tasks_of(project_of(app))
        return _latest
    found = _known()
    if found is None:
        raise UsageError(
            "whose tasks? nq.tasks('proj.celery:app') says which project, or nq.connect(app=…)"
        )
    return found


def _tasks_of(project: Project) -> Tasks:
    return Tasks(project.app, project.name)


def _known() -> Tasks | None:
    """Give the project that was last asked for, or that the default client was connected for."""
    global _latest
    if _latest is None and (project := current_project()) is not None:
        _latest = _tasks_of(project)
    return _latest


def AsyncResult(id: str, app: Celery | None = None) -> celery_result.AsyncResult | ItemResult:
    """Give what is known of any id, as Celery's ``AsyncResult`` does.

    An item's (``self.request.id``) or a job's id gives an `ItemResult`, read from the job. Any
    other is one of the project that was last asked for (`nq.tasks`), or of ``app``.

    Raises:
        UsageError: no project was asked for yet.

    >>> job = double.map([1, 2])                            # doctest: +CLUSTER
    >>> nq.AsyncResult(f"{job.id}-1").get(timeout=20)       # doctest: +CLUSTER
    4
    >>> from celery import Celery
    >>> app = Celery("proj", backend="cache+memory://", set_as_current=False)
    >>> nq.AsyncResult("8f2c4d", app).state
    'PENDING'
    """
    known = app or (None if (latest := _known()) is None else latest.app)
    if app is None and (found := _own_result(id)) is not None:
        return found
    if known is None:
        raise UsageError(
            "whose result? nq.tasks('proj.celery:app') says which project, or pass app="
        )
    return known.AsyncResult(id)


def _own_result(id: str) -> ItemResult | None:
    """Give what the job log knows of an id; ``None`` when a project's result backend knows more."""
    if not is_id(id):
        return None
    found = ItemResult(id)
    try:
        is_projects = (latest := _known()) is not None and found.job.task in latest
    except UnknownJob:
        is_projects = _known() is not None
    return None if is_projects else found


def _step_of(name: str) -> ProjectStep | None:
    """Give the task of a name, as a step, of the project that was last asked for."""
    latest = _known()
    return None if latest is None or name not in latest else latest[name].step()


composition.named = _step_of


def _signature(task: CeleryTask) -> inspect.Signature | None:
    try:
        return inspect.signature(task.run)
    except (TypeError, ValueError):
        return None
