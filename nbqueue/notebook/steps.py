"""The steps of a workflow as displays show them: bounded, and made under the job's lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbqueue.core import states
from nbqueue.notebook.picture import StepShown

if TYPE_CHECKING:
    from nbqueue.core.fold import JobState
    from nbqueue.core.records import Stage

_MOST = 24
"""Steps that are shown; of a workflow of more, the first ones."""


def steps(state: JobState) -> tuple[StepShown, ...]:
    """Give a workflow's steps in their order; none of a job that is no workflow."""
    shown = [stage for stage in state.stages if _is_shown(stage)]
    return tuple(_step(state, stage) for stage in shown[:_MOST])


def left_out(state: JobState) -> int:
    """Count the steps that are not shown."""
    return max(0, sum(map(_is_shown, state.stages)) - _MOST)


def _is_shown(stage: Stage) -> bool:
    # What finds the items of a fan-out is nobody's step; an errback is one when it is called.
    return stage.kind != "spreads" and (stage.kind != "rescues" or stage.stop > stage.start)


def _step(state: JobState, stage: Stage) -> StepShown:
    codes = range(len(states.NAMES))
    counts = tuple(state.states.count(code, stage.start, stage.stop) for code in codes)
    return StepShown(stage.spec.task, counts, stage.kind == "rescues")
