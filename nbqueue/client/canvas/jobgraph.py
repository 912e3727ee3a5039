"""The graph of a workflow that was sent, made of its plan: steps again, without their tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbqueue.client.canvas.graph import Graph
from nbqueue.client.canvas.steps import Call, Draft, Step
from nbqueue.core import states
from nbqueue.core.errors import NbqueueError
from nbqueue.core.plan import All, renumbered
from nbqueue.core.records import Stage

if TYPE_CHECKING:
    from nbqueue.client.live import Live

_SOME: Call = (("…",), {})
"""Stands for a call of many, whose arguments no drawing shows."""


@dataclass(frozen=True)
class _Named:
    """What a drawing knows of a task."""

    name: str


def graph_of_job(live: Live) -> Graph:
    """Give the graph of a job's steps, with how far each is; nothing is waited for."""
    with live.lock:
        stages, result = list(live.state.stages), live.state.result
    if not stages or result is None:
        calls = _calls(live, 0, live.state.n)
        step = Step(_task(live.state.task), calls=calls)
        return Graph(Draft((step,), All(0)), (_state(live, 0, live.state.n),))
    numbers: dict[int, int] = {}
    for stage in stages:
        # A fan-out of a result is two stages, and one step.
        numbers[stage.number] = len(set(numbers.values())) - (stage.kind == "grows")
    steps: list[Step] = []
    said: list[str] = []
    for stage in stages:
        if stage.kind == "grows":
            said[-1] = _state(live, stage.start, stage.stop)
            continue
        steps.append(_step(live, stage, numbers))
        said.append(_state(live, stage.start, stage.stop))
    return Graph(Draft(tuple(steps), renumbered(result, numbers)), tuple(said))


def _step(live: Live, stage: Stage, numbers: dict[int, int]) -> Step:
    after = tuple(sorted({numbers[s] for s in stage.after}))
    takes = None if stage.takes is None else renumbered(stage.takes, numbers)
    task = _task(stage.spec.task)
    if stage.kind == "spreads":
        return Step(task, each=True, star=stage.star, after=after, takes=takes)
    if stage.kind == "rescues":
        calls = _calls(live, stage.start, stage.stop) or (_SOME,)
        return Step(task, calls=calls, takes=takes, rescues=after)
    return Step(task, calls=_calls(live, stage.start, stage.stop), after=after, takes=takes)


def _calls(live: Live, start: int, stop: int) -> tuple[Call, ...]:
    if stop - start != 1:
        return (_SOME,) * (stop - start)
    try:
        return (live.call(start),)
    except NbqueueError:  # they have expired, or are not signed with our key: the step is known
        return (_SOME,)


def _state(live: Live, start: int, stop: int) -> str:
    """Say how far a step is: the states of its items."""
    with live.lock:
        codes = bytes(live.state.states[start:stop])
    counts = [(name, codes.count(code)) for code, name in enumerate(states.NAMES)]
    found = [(name, count) for name, count in counts if count]
    if len(found) == 1:
        return found[0][0]
    return ", ".join(f"{name} {count:,}" for name, count in found)


def _task(name: str) -> Any:
    return _Named(name)
