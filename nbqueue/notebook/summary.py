"""What a job's widget says beside its items' states: counts, times, what running items report.

Bounded however large the job is, and made ten times a second under the job's lock: nothing here
walks over all items until the job has ended.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nbqueue.core import states
from nbqueue.notebook import steps
from nbqueue.notebook.brief import cut
from nbqueue.notebook.failures import LOOKED_AT

if TYPE_CHECKING:
    from nbqueue.client.live import Live
    from nbqueue.core.fold import JobState
    from nbqueue.core.records import Progressed
    from nbqueue.notebook.failures import Watch

_BARS = 12
"""Running items whose own progress is shown: those that run the longest."""

_ERROR = 200
_INFO = 4
_CHARACTERS = 60


def facts(live: Live, failing: Watch) -> dict[str, Any]:
    """Give what is so whenever one looks; ``counts`` by state's code.

    ``failures``: item, error and how often of the most frequent ones, among the first ``compared``.
    ``outage``: what is away, in some words, and why in a line; empty when nothing is.
    ``waits``: why no item has begun, if that is known.
    ``cached``: how many results came from the cache.
    """
    state, outage = live.state, live.client.outage
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
        "failures": [
            [kind.item, cut(" ".join(kind.error.split()), _ERROR), kind.times]
            for kind in failing.kinds(state)
        ],
        "compared": min(LOOKED_AT, state.counts[states.FAILURE_CODE]),
        "outage": [outage.brief, outage.text] if outage.text and not live.finished else [],
        "waits": "" if outage.text or live.finished else live.waits_for(),
        "cached": state.n_cached,
    }


def rounded(value: float | None) -> float | None:
    """Give a number to three digits, so that it is news less often."""
    return None if value is None else float(f"{value:.3g}")


def elapsed_s(state: JobState, now: float) -> float:
    """Give the seconds from the submission to the end of the last item, or till now."""
    last = now if state.ended_at is None else state.ended_at
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
