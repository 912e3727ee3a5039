"""A Celery project's task as a step of a workflow, among tasks by value.

A worker of ours makes the call by the project's app and waits for its result (`store.code.byname`),
so the step is recorded, retried and cancelled like any other.
"""

from __future__ import annotations

import inspect
from typing import Any

from nbqueue.client.options import TaskOptions
from nbqueue.client.task import Task
from nbqueue.store.code.byname import CallByName

_OURS = ("chunksize", "name")
"""Options that are the step's; all others are the call's."""


class ProjectStep(Task[..., Any]):
    """A task of a project, called by name; options are those of Celery's ``apply_async``."""

    def __init__(
        self, call: CallByName, signature: inspect.Signature | None, options: TaskOptions
    ) -> None:
        if signature is not None:
            call.__signature__ = signature  # type: ignore[attr-defined]  # for `inspect`
        super().__init__(call, options)
        self._call = call

    def __reduce__(self) -> tuple[Any, ...]:
        return ProjectStep, (self._call, self._parameters.signature, self.options)

    def with_options(self, **options: Any) -> ProjectStep:
        """Give the same step with options for the call."""
        ours = {name: options.pop(name) for name in _OURS if name in options}
        call = CallByName(self._call.project, self._call.task, {**self._call.options, **options})
        return ProjectStep(call, self._parameters.signature, self.options.updated(ours))
