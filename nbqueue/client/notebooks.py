"""`run_notebook`: whole notebooks on the workers, once or for each of many parameters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from nbqueue.client.job import Job
from nbqueue.client.options import TaskOptions
from nbqueue.client.task import AnyTask, Task
from nbqueue.core.errors import UsageError
from nbqueue.store.code.notebooks import Notebook


def run_notebook(
    path: str | PathLike[str],
    parameters: Mapping[str, Any] | Iterable[Mapping[str, Any]] = (),
    *,
    name: str | None = None,
    kernel: str | None = None,
    **options: Any,
) -> Job:
    """Run a notebook on the workers, once for each set of parameters.

    Gives a job with an item a run. Its result is the executed copy, as the text of an ``.ipynb``
    file (``nbformat.reads(text, as_version=4)`` makes a notebook of it); its frame has a column for
    each parameter. A run in which a cell raises is an item that failed with `NotebookFailed`, whose
    ``notebook`` is the copy up to there. Parameters take the place of those in the cell that is
    tagged ``parameters``, as papermill has it; workers need papermill (``nbqueue[run]``) and the
    notebook's kernel.

    Args:
        path: The ``.ipynb`` file.
        parameters: Values by name, or several of those with the same names.
        name: A name for the job; that of the file by default.
        kernel: Name of the kernel to run in; by default the one that the notebook says.
        **options: ``queue``, ``time_limit`` and other options of `nq.task`.

    Raises:
        UsageError: the file is not there or is no notebook; the sets have different names.

    >>> nq.run_notebook("no such.ipynb", [{"year": 2024}, {"year": 2025}])
    Traceback (most recent call last):
    ...
    nbqueue.core.errors.UsageError: no such.ipynb cannot be read: No such file or directory
    """
    path = Path(path)
    many = [parameters] if isinstance(parameters, Mapping) else list(parameters) or [{}]
    names = tuple(many[0])
    for given in many:
        if set(given) != set(names):
            raise UsageError(
                f"each run must be given the same parameters, not {', '.join(names) or 'none'} and "
                f"then {', '.join(given) or 'none'}"
            )
    body = Notebook(_read(path), path.name, names, kernel)
    task: AnyTask = Task(body, TaskOptions().updated({"name": path.stem, **options}))
    if not names:
        return task.apply_async((), name=name)
    return task.starmap([tuple(given[n] for n in names) for given in many], name=name)


def _read(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text)
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror}") from None
    except ValueError:
        found = None
    if not isinstance(found, dict) or "cells" not in found:
        raise UsageError(f"{path} is no notebook (a JSON file with cells, as Jupyter saves it)")
    return text
