"""The result of a workflow, made of the results of its stages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbqueue.core import states
from nbqueue.core.errors import NbqueueError, ResultNotLoadable, UsageError
from nbqueue.core.plan import Failed, Listed, One, Other, Spread, Take, stages_of

if TYPE_CHECKING:
    from nbqueue.client.live import Live

_MISSING: Any = object()
"""Stands for a result that is not there and is to be dropped."""


def gathered(live: Live, take: Take, errors: str) -> Any:
    """Give what a take says, of a workflow that has ended.

    Where an item has no result there is its exception, or with ``errors="drop"`` nothing (``None``
    for the whole).
    """
    found = _made(live, take, drop=errors == "drop")
    return None if found is _MISSING else found


def function_of(live: Live, i: int) -> Any:
    """Give what an item of a workflow calls.

    Raises:
        UsageError: it finds the items of a fan-out, and is nobody's function.
    """
    stage = live.state.stage_of(i)
    assert stage is not None
    if stage.kind == "spreads":
        raise UsageError(f"item {i} of job {live.name!r} only finds the items of a fan-out")
    return live.client.functions.get(stage.spec.function)


def lead_of(live: Live, i: int) -> tuple[Any, ...]:
    """Give what an item of a workflow takes from those before it.

    Raises:
        UsageError: that is not there: something before it has failed, or it is an errback.
    """
    stage = live.state.stage_of(i)
    if stage is None or stage.takes is None:
        return ()
    with live.lock:
        before = [live.state.stages[s] for s in stages_of(stage.takes)]
        codes = b"".join(bytes(live.state.states[s.start : s.stop]) for s in before)
        if isinstance(stage.takes, Failed) or any(code != states.SUCCESS_CODE for code in codes):
            raise UsageError(
                f"item {i} of job {live.name!r} takes what is not there: call the function itself"
            )
        return (gathered(live, stage.takes, "return"),)


def items(live: Live, errors: str) -> list[Any]:
    """Give what the items of a job returned, in order; see ``Job.result`` for ``errors``."""
    n = live.state.n
    if live.state.counts[states.SUCCESS_CODE] == n:
        try:
            return live.outcomes.values()
        except NbqueueError:  # (asked again, a large value that was refused is not there any more)
            if errors == "raise":
                raise
        except Exception:  # one of them: which, and what to do, is found out item by item
            if errors == "raise":
                return [live.outcomes.value(i) for i in range(n)]
    found = [_item(live, i, drop=errors == "drop") for i in range(n)]
    return [value for value in found if value is not _MISSING]


def _made(live: Live, take: Take, *, drop: bool) -> Any:
    if isinstance(take, Listed):
        found: list[Any] = []
        for part in take.parts:
            if isinstance(part, Spread):
                found.extend(_values(live, part.stage, drop=drop))
            else:
                found.append(_made(live, part, drop=drop))
        return [value for value in take.ordered(found) if value is not _MISSING]
    if isinstance(take, Other):
        return live.client.job(take.job_id).result(errors="drop" if drop else "return")
    if isinstance(take, Failed):
        raise UsageError(f"{take!r} is no result")
    values = _values(live, take.stage, drop=drop)
    if isinstance(take, One):
        return values[0] if values else _MISSING
    return [value for value in values if value is not _MISSING]


def _values(live: Live, number: int, *, drop: bool) -> list[Any]:
    """Give the results of a stage's items, with something in the place of those that are not."""
    stage = live.state.stages[number]
    return [_item(live, i, drop=drop) for i in range(stage.start, stage.stop)]


def _item(live: Live, i: int, *, drop: bool) -> Any:
    if live.state.states[i] != states.SUCCESS_CODE:
        return _MISSING if drop else live.outcomes.exception(i)
    found = live.outcomes.readable(i)
    return _MISSING if drop and isinstance(found, ResultNotLoadable) else found
