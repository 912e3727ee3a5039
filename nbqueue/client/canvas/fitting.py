"""Whether arguments fit a task, before anything is sent: those that are known and those to come."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbqueue.core.plan import Failed, Take

if TYPE_CHECKING:
    from nbqueue.client.canvas.steps import Call
    from nbqueue.client.task import AnyTask


@dataclass(frozen=True)
class _ToCome:
    """Stands for an argument that is not known yet."""


_TO_COME = _ToCome()
_THREE = 3
"""What an errback gets: the failed call's request, the exception, the traceback."""


def fit(task: AnyTask, calls: Iterable[Call], take: Take | None) -> Take | None:
    """Check calls with what they take in front; give that, and of an errback in which form.

    An errback gets three arguments if it takes them, as in Celery, else the failed item's id.

    Raises:
        TypeError: the task does not take these arguments.
    """
    shapes = {(len(args), tuple(kwargs)) for args, kwargs in calls}
    if isinstance(take, Failed):
        three = all(_misfit(task, _THREE + n, names) is None for n, names in shapes)
        take = Failed("three" if three else "id")
    lead = 0 if take is None else 1
    if isinstance(take, Failed) and take.form == "three":
        lead = _THREE
    for n, names in shapes:
        if why := _misfit(task, lead + n, names):
            first = ", the first of which comes from the step before" if lead == 1 else ""
            given = f"{lead + n} positional argument(s){first}"
            raise TypeError(f"{why} (it is given {given}); nothing was sent")
    return take


def check_map(task: AnyTask, values: Any, *, star: bool) -> None:
    """Raise unless a task can be called with each value; tuples are checked as they are sent.

    Raises:
        TypeError: it does not take one argument, or there is nothing to go over.
    """
    if not star and (why := _misfit(task, 1, ())):
        raise TypeError(f"{why} (a map gives it 1 argument); nothing was sent")
    known = values is None or hasattr(values, "__iter__") or hasattr(values, "__getitem__")
    if not known:
        raise TypeError(f"a map of {task.name} goes over an iterable, not {values!r}")


def _misfit(task: AnyTask, n: int, names: Iterable[str]) -> str | None:
    return task.misfit((_TO_COME,) * n, dict.fromkeys(names, _TO_COME))
