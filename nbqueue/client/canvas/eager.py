"""A workflow in this process, one call after the other: what Celery's ``apply`` does.

Nothing is sent or stored. What follows a failed call is left out, its errbacks are called, and then
what it raised is raised, as with workers.
"""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Iterator
from typing import Any

from celery.app.task import Context
from celery.result import EagerResult
from celery.states import FAILURE, SUCCESS

from nbqueue.client.canvas.steps import Call, Draft, Step
from nbqueue.core.errors import UsageError
from nbqueue.core.plan import All, Failed, Listed, One, Spread, Take, stages_of
from nbqueue.store.values import arguments


def applied(draft: Draft) -> EagerResult:
    """Run a workflow here; give what came of it as Celery does."""
    own = uuid.uuid4().hex
    try:
        return EagerResult(own, _Here(draft).value(), SUCCESS)
    except Exception as exc:
        return EagerResult(own, exc, FAILURE, "".join(traceback.format_exception(exc)))


class _Here:
    """The results of a workflow's steps, as it goes."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._results: dict[int, list[Any]] = {}
        self._failed: dict[int, tuple[str, Exception]] = {}

    def value(self) -> Any:
        """Run everything; give the result."""
        for number, step in enumerate(self._draft.steps):
            if self._is_due(step):
                self._run(number, step)
        for _, exc in self._failed.values():
            raise exc
        return self._made(self._draft.result)

    def _is_due(self, step: Step) -> bool:
        if step.rescues:
            return any(number in self._failed for number in step.rescues)
        return all(number in self._results for number in (*step.after, *stages_of(step.takes)))

    def _run(self, number: int, step: Step) -> None:
        found = []
        failed = False
        for args, kwargs in self._calls(step):
            try:
                found.append(step.task(*args, **kwargs))
            except Exception as exc:  # the others of a group run all the same
                self._failed.setdefault(number, (step.task.name, exc))
                failed = True
        if not failed:
            self._results[number] = found

    def _calls(self, step: Step) -> Iterator[Call]:
        if step.each or step.values is not None:
            values = self._made(step.takes) if step.each and step.takes else step.values
            for value in values or ():
                yield arguments.call_of(value) if step.star else ((value,), {})
            return
        for args, kwargs in step.calls:
            yield (*self._lead(step), *args), kwargs

    def _lead(self, step: Step) -> tuple[Any, ...]:
        if step.takes is None:
            return ()
        if not isinstance(step.takes, Failed):
            return (self._made(step.takes),)
        name, exc = next(self._failed[n] for n in step.rescues if n in self._failed)
        request = Context({"id": uuid.uuid4().hex, "task": name, "called_directly": True})
        if step.takes.form == "id":
            return (request.id,)
        return request, exc, "".join(traceback.format_exception(exc))

    def _made(self, take: Take) -> Any:
        if isinstance(take, One):
            return self._results[take.stage][0]
        if isinstance(take, (All, Spread)):
            return list(self._results[take.stage])
        if isinstance(take, Listed):
            found: list[Any] = []
            for part in take.parts:
                made = self._made(part)
                found.extend(made if isinstance(part, Spread) else [made])
            return take.ordered(found)
        raise UsageError(f"{take!r} is not in this process")
