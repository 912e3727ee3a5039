"""What a job's widget says beside its items' states: counts, times, what running items report.

Bounded however large the job is, and made ten times a second under the job's lock: nothing here
walks over all items until the job has ended.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from nbqueue.notebook import steps

if TYPE_CHECKING:
    from nbqueue.client.live import Live
    from nbqueue.core.fold import JobState
    from nbqueue.core.records import Progressed

_BARS = 12
"""Running items whose own progress is shown: those that run the longest."""

_INFO = 4
_CHARACTERS = 60


def facts(live: Live) -> dict[str, Any]:
    """Give what is so whenever one looks; ``counts`` by state's code."""
    state = live.state
    return {
        "state": state.name,
        "counts": list(state.counts),
        "done": state.n_done,
        "finished": live.finished,
        "gone": live.finished and not state.finished,
        "round": state.current_round,
        "progress": _bars(state),
        "n": state.n,
        "steps": [[step.task, list(step.counts), step.rescue] for step in steps.steps(state)],
        "steps_left": steps.left_out(state),
    }


def rounded(value: float | None) -> float | None:
    """Give a number to three digits, so that it is news less often."""
    return None if value is None else float(f"{value:.3g}")


def elapsed_s(state: JobState, now: float) -> float:
    """Give the seconds from the submission to the end of the last item, or till now."""
    if not state.finished:
        return max(0.0, now - state.submitted[0])
    ends = np.array(state.started, dtype=np.float64) + np.array(state.run_s, dtype=np.float64)
    last = max(float(np.nanmax(ends, initial=-math.inf)), state.cancelled_at or -math.inf)
    return max(0.0, last - state.submitted[0])


def _bars(state: JobState) -> list[list[Any]]:
    """Give what running items report: item, how much is done, of how much, and what they say."""
    # Not all of `progress`: the reports of items that have ended stay there.
    reporting = (i for i in state.running if i in state.progress)
    longest = sorted(reporting, key=lambda i: (state.running[i].at, i))
    return [_bar(state.progress[i]) for i in longest[:_BARS]]


def _bar(report: Progressed) -> list[Any]:
    info = dict(report.info)
    said = [str(info.pop("desc", "") or "")]
    said += [f"{key} {_shown(value)}" for key, value in list(info.items())[:_INFO]]
    total = report.total if report.total and math.isfinite(report.total) else None
    done = report.done if math.isfinite(report.done) else 0.0
    return [report.item, done, total, " · ".join(part[:_CHARACTERS] for part in said if part)]


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
