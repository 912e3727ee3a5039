"""A call of a Celery project's task, by its name, from within a worker: a step of a workflow.

The project's own workers run the task, with its own broker, serializer and routes; whoever makes
the call imports the project for that, as the project's workers do, and waits for the result. A step
holds a worker process for as long as it waits.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from celery import Celery
from celery.app.utils import find_app
from celery.result import allow_join_result

from nbqueue.core.errors import UsageError


class CallByName:
    """Calls a task of a project, and gives what it returned."""

    def __init__(self, project: str, task: str, options: Mapping[str, Any]) -> None:
        self.project = project
        self.task = task
        self.options = dict(options)
        self.__name__ = task

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "__signature__"}

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Send the call by the project's app, and wait for what becomes of it."""
        task = load(self.project).tasks[self.task]
        # Celery forbids tasks to wait for tasks; the project's own workers run this one. From the
        # sending on: within a task that may not wait, rpc:// makes no queue for results.
        with allow_join_result():
            sent = task.apply_async(args, kwargs, **self.options)
            try:
                return sent.get()
            finally:
                sent.forget()


def load(project: str) -> Celery:
    """Give a project's app, with its tasks.

    Args:
        project: As ``celery -A`` has it, from this folder.

    Raises:
        UsageError: there is no such module or app.
    """
    folder = str(Path.cwd())
    if (known := _loaded.get(project)) is not None:
        if known[0] == folder:
            return known[1]
        _unload(project)  # a worker serves notebooks of many folders, with a `proj` in each perhaps
    with _on_path(folder):
        try:
            found = find_app(project)
        except (ImportError, AttributeError) as exc:
            raise UsageError(
                f"no Celery app at {project!r} ({exc}): give it as `celery -A` has it "
                "('proj.celery:app'), in the folder that `proj` lies in; a workflow's steps look "
                "for it where the workers are"
            ) from exc
        if not isinstance(found, Celery):
            raise UsageError(f"{project!r} is {found!r}, and no Celery app")
        found.loader.import_default_modules()
    found.finalize()
    _loaded[project] = folder, found
    return found


_loaded: dict[str, tuple[str, Celery]] = {}
"""Apps by the names of their projects, with the folder that each was found in."""


def _unload(project: str) -> None:
    package = project.partition(":")[0].partition(".")[0]
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]
    del _loaded[project]


@contextmanager
def _on_path(folder: str) -> Iterator[None]:
    """Have modules be found in a folder, as ``celery -A`` does."""
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(folder)
