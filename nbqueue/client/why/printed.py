"""`Why` and `JobWhy` as text: a sentence first, then a life, a line an event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from nbqueue.core import states
from nbqueue.core.outputs import settle
from nbqueue.core.records import Progressed

if TYPE_CHECKING:
    from nbqueue.client.why.why import JobWhy, Why

_TAIL_LINES = 10
_TAIL_CHARACTERS = 2_000
"""Of what an item printed, the end; ``job.outputs`` has all of it."""

EVENTS = 40
"""Events that are shown. An item that is retried for days has thousands; ``to_frame`` has all."""


def item(why: Why) -> str:
    """Give an item's life as lines."""
    lines = [f"item {why.item} of job {why.job!r}, {why.task}, {why.state}: {why.text}"]
    lines += [f"  → {why.advice}"] if why.advice else []
    lines += [f"  progress: {why.progress}"] if why.progress else []
    if why.events:
        lines += ["", *_life(why)]
    if why.output:
        lines += ["", "the end of its output:", *(f"  {line}" for line in why.output.split("\n"))]
    return "\n".join(lines)


def _life(why: Why) -> list[str]:
    shown, left = cut(why.events)
    kinds = max(len(event.kind) for event in shown)
    lines = []
    for event in shown:
        where = f"  ({event.worker})" if event.worker else ""
        lines.append(f"  {moment(event.at)}  {event.kind.ljust(kinds)}  {event.text}{where}")
    if left:
        lines.insert(EVENTS // 2, f"  … {left:,} more …")
    return lines


def cut(events: Sequence[Any]) -> tuple[list[Any], int]:
    """Give the first and last of many events, and how many were left out between them."""
    if len(events) <= EVENTS:
        return list(events), 0
    half = EVENTS // 2
    return [*events[:half], *events[-half:]], len(events) - EVENTS


def job(why: JobWhy) -> str:
    """Give a job as lines."""
    lines = [f"job {why.job!r}, {why.task}, {why.state}: {why.text}"]
    lines += [f"  → {why.advice}"] if why.advice else []
    for title, found in (("running", why.running), ("errors", why.errors)):
        if found:
            lines += [f"  {title}:", *(f"    {line}" for line in found)]
    return "\n".join(lines)


def summary(counts: Mapping[str, int], first: str, *, finished: bool) -> str:
    """Give a job's sentence: how far it is, and what holds up the first item that is not."""
    n = sum(counts.values())
    done = sum(counts[name] for name in states.NAMES[states.FIRST_DONE_CODE :])
    parts = [
        f"{counts[name]:,} {word}"
        for name, word in _ENDED.items()
        if counts[name] and (name != states.SUCCESS or counts[name] < n)
    ]
    if finished and done == n:
        bad = ", ".join(parts)
        return f"all {n:,} items ended: {bad}" if bad else f"all {n:,} items succeeded"
    parts += [f"{counts[name]:,} {word}" for name, word in _OPEN.items() if counts[name]]
    return f"{done:,} of {n:,} items ended ({', '.join(parts)})" + (f"; {first}" if first else "")


_ENDED = {
    states.SUCCESS: "succeeded",
    states.FAILURE: "failed",
    states.REVOKED: "cancelled",
}
_OPEN = {
    states.STARTED: "running",
    states.RETRY: "to be retried",
    states.PENDING: "waiting",
}


def progress(record: Progressed) -> str:
    """Give what an item reported last."""
    of = f" of {record.total:g}" if record.total else ""
    more = ", ".join(f"{name}={value}" for name, value in list(record.info.items())[:5])
    return f"{record.done:g}{of}" + (f" ({more})" if more else "")


def tail(outputs: Sequence[Mapping[str, Any]]) -> str:
    """Give the end of what an item printed; of what it displayed, the plainest form."""
    lines = text(outputs).rstrip("\n").split("\n")
    shown = "\n".join(lines[-_TAIL_LINES:])
    return shown if len(shown) <= _TAIL_CHARACTERS else "…" + shown[-_TAIL_CHARACTERS:]


def text(outputs: Sequence[Mapping[str, Any]]) -> str:
    """Give an item's outputs as text."""
    parts = []
    for output in settle(outputs):
        kind = output["output_type"]
        if kind == "stream":
            parts.append(output["text"])
        elif kind == "error":
            parts.append("\n".join(output.get("traceback", ())) + "\n")
        else:
            parts.append(str(output.get("data", {}).get("text/plain", "")) + "\n")
    return "".join(parts)


def moment(at: float) -> str:
    """Give a moment in local time, to the millisecond."""
    local = datetime.fromtimestamp(at, timezone.utc).astimezone()
    return f"{local:%Y-%m-%d %H:%M:%S}.{local.microsecond // 1000:03}"
