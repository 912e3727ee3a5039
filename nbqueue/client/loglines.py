"""A job's log as lines for people: one a record, with the time at which the store got it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from nbqueue.core import states
from nbqueue.core.records import (
    Cancelled,
    Outcomes,
    Output,
    Progressed,
    Record,
    Rejected,
    Retried,
    Retrying,
    Started,
)
from nbqueue.core.splitting import runs_of
from nbqueue.store.log.joblog import JobLog

_SAID_CHARS = 80
"""How much of an output is shown in a line."""


def read(joblog: JobLog, job_id: str, item: int | None) -> list[str]:
    """Give what ``Job.log`` documents."""
    found = []
    for entry in joblog.walk(job_id):
        if item is None or _concerns(entry.record, item):
            at = datetime.fromtimestamp(int(entry.id.partition("-")[0]) / 1000, timezone.utc)
            found.append(
                f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03} {_line(entry.record)}"
            )
    return found


def _concerns(record: Record, item: int) -> bool:
    match record:
        case Outcomes() | Retried() | Rejected():
            return _within(record.runs, item)
        case Cancelled():
            return record.runs is None or _within(record.runs, item)
        case Retrying():
            return any(i == item for i, *_ in record.items)
        case Started() | Progressed() | Output():
            return record.item == item
        case _:
            return True


def _within(runs: Iterable[tuple[int, int]], item: int) -> bool:
    return any(a <= item < b for a, b in runs)


def _line(record: Record) -> str:
    match record:
        case Outcomes():
            good = record.states.count(states.SUCCESS_CODE)
            text = f"items {_runs(record.runs)} on {record.worker}: {good} SUCCESS"
            bad = record.n - good
            return f"{text}, {bad} FAILURE ({'; '.join(map(str, record.errors))})" if bad else text
        case Started() | Progressed():
            return f"item {record.item}: {record.kind} {_rest(record)}"
        case Retrying():
            return f"items {_runs(runs_of(i for i, *_ in record.items))}: {_again(record)}"
        case Output():
            return f"item {record.item}: {_said(record.output)}"
        case Retried() | Rejected():
            return f"items {_runs(record.runs)}: {record.kind} (round {record.round})"
        case Cancelled():
            return f"items {_runs(record.runs) if record.runs is not None else 'left'}: cancelled"
        case _:
            return record.kind


def _again(record: Retrying) -> str:
    first = datetime.fromtimestamp(min(eta for _, _, eta, _ in record.items), timezone.utc)
    why = "; ".join(map(str, record.errors))
    return f"RETRY on {record.worker}, again from {first:%H:%M:%S} ({why})"


def _rest(record: Started | Progressed) -> str:
    if isinstance(record, Started):
        return f"on {record.worker}"
    return f"{record.done:g} of {record.total:g}" if record.total else f"{record.done:g}"


def _said(output: Mapping[str, Any]) -> str:
    """Tell an output in a few words."""
    kind = output["output_type"]
    if kind == "stream":
        text = f"{output['name']} {output['text'][: _SAID_CHARS + 1]!r}"
    elif kind == "error":
        text = f"error {output['ename']}: {output['evalue']}"
    else:
        text = f"{kind} {', '.join(output.get('data', ()))}".rstrip()
    return text if len(text) <= _SAID_CHARS else f"{text[:_SAID_CHARS]}…"


def _runs(runs: Sequence[tuple[int, int]]) -> str:
    shown = [f"{a}" if b == a + 1 else f"{a}-{b - 1}" for a, b in runs[:5]]
    return ", ".join(shown) + (", …" if len(runs) > 5 else "")
