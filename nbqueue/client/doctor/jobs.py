"""Jobs that have not ended: which of them get nowhere, and in which queues they wait."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nbqueue.client.doctor.findings import Finding, doubtful, good
from nbqueue.client.remote.survey import Survey
from nbqueue.client.why import looking, why
from nbqueue.core.errors import NbqueueError
from nbqueue.store.log.catalogue import Summary

if TYPE_CHECKING:
    from nbqueue.client.client import Client

STUCK = ("lost", "stopped", "unheard", "gone")
"""Verdicts (`why.verdict`) that do not pass by themselves, or not soon."""

_PATIENCE_S = 5.0
_MOST = 50
_NAMED = 5
"""Jobs that are named. More would push the rest off the screen."""
_LARGE = 200_000
"""Items of a job whose log is not read for this: it takes seconds."""


@dataclass
class Unfinished:
    """What was found of the jobs that have not ended."""

    findings: list[Finding] = field(default_factory=list)
    queues: set[str] = field(default_factory=set)
    """Queues that they wait in."""


def unfinished(client: Client, summaries: Sequence[Summary], survey: Survey) -> Unfinished:
    """Look at the jobs that have not ended, the oldest first, for as long as it is worth."""
    found = Unfinished()
    until = time.monotonic() + _PATIENCE_S
    looked = 0
    for summary in reversed(summaries):
        if looked >= _MOST or time.monotonic() > until:
            break
        if summary.n <= _LARGE:
            looked += 1
            _look(client, summary, survey, found)
    found.findings = told(found.findings, looked=looked, unfinished=len(summaries))
    return found


def told(stuck: list[Finding], *, looked: int, unfinished: int) -> list[Finding]:
    """Give what is said of jobs that are stuck: of many, the first; of none, that."""
    if stuck:
        more = len(stuck) - _NAMED
        if more <= 0:
            return stuck
        text = f"{more:,} more are stuck likewise ({looked:,} of {unfinished:,} unfinished jobs "
        advice = "nbqueue jobs lists them, nbqueue jobs why JOB says why"
        return [*stuck[:_NAMED], doubtful("jobs", f"{text}looked at)", advice)]
    if not unfinished:
        return [good("jobs", "none is unfinished")]
    rest = unfinished - looked
    passed = f" ({rest:,} were not looked at)" if rest else ""
    if unfinished == 1:
        return [good("jobs", f"1 unfinished job, which is not stuck{passed}")]
    return [good("jobs", f"{unfinished:,} unfinished jobs, none of them stuck{passed}")]


def _look(client: Client, summary: Summary, survey: Survey, found: Unfinished) -> None:
    known = client.lives.get(summary.id)
    try:
        live = known or client.job(summary.id)._live
        told = why.job(live, looking.Look(survey))
    except NbqueueError as exc:
        text = f"{summary.name!r} cannot be read: {exc}"
        found.findings.append(doubtful("jobs", text, f"nbqueue jobs delete {summary.id}"))
        return
    if known is None:
        client.follower.unfollow(live)
    if queue := live.state.spec.route.queue:
        found.queues.add(queue)
    item = told.waiting or told.oldest
    if item is not None and item.kind in STUCK:
        left = "1 item" if summary.left == 1 else f"{summary.left:,} items"
        text = f"{summary.name!r} ({left} left): item {item.item} {item.text}"
        found.findings.append(doubtful("jobs", text, item.advice))
