"""An existing Celery project's tasks: `nq.tasks`, and `nq.AsyncResult` for any id of Celery's.

The project's own workers run them, in its own ways; here they are called, by their names, and their
results are jobs. Whoever is connected to it all the same has two brokers: the project's, and the
one of by-value tasks.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from celery import Celery
from celery import result as celery_result
from celery.backends.rpc import RPCBackend

from nbqueue.client.canvas import composition
from nbqueue.client.connecting import current_project
from nbqueue.client.job import Job
from nbqueue.client.projects.joining import Project, project_of
from nbqueue.client.projects.recorder import Recorder, message_id, recorders
from nbqueue.client.projects.step import ProjectStep
from nbqueue.client.projects.task import ProjectTask
from nbqueue.client.results import ItemResult, is_id
from nbqueue.client.saying import say
from nbqueue.core import states
from nbqueue.core.errors import UnknownJob, UsageError

_latest: Tasks | None = None
"""The last project that was asked for."""


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
        if live in recorders:
            return
        recorder = Recorder(live, self.app, task.task, (), {})
        pending = [
            self.app.AsyncResult(message_id(live.id, item))
            for item in range(live.state.n)
            if live.state.states[item] < states.FIRST_DONE_CODE
        ]
        if pending:
            recorders[live] = recorder
            recorder.go_on(pending)


def go_on(job: Job) -> None:
    """Go on recording a job that was found, if it is one of a project's and nobody does here.

    Where that cannot be, a line says what can be done.
    """
    live = job._live
    spec = live.state.spec
    if live.finished or spec.function or spec.stages or live in recorders:
        return
    latest = _known()
    if latest is None or job.task not in latest:
        say(
            f"job {job.name!r} calls {job.task}, a Celery project's task: what becomes of it is "
            "recorded by the process that sent it, and by this one after "
            f"nq.tasks('proj.celery:app') and another nq.job({job.name!r})"
        )
    elif isinstance(latest.app.backend, RPCBackend):
        say(
            f"job {job.name!r} was sent by another process, and its project's results (rpc://) "
            "come to nobody else; with a result_backend that keeps them, they could be read here"
        )
    else:
        latest.record(job)


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
