"""A job as text: short, and without times, so that the same end reads the same every time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nbqueue.core import states
from nbqueue.notebook.brief import cut
from nbqueue.notebook.picture import JobPicture
from nbqueue.notebook.views.ansi import plain

_LINE = 160
_OUTPUT_CHARACTERS = 2_000
"""How much of a single call's output is given; the HTML beside it has more."""


def line(picture: JobPicture) -> str:
    """Give a job in one line: the same as its ``repr``."""
    shown = ", ".join(f"{state} {count:,}" for state, count in picture.counts.items() if count)
    items = "1 item" if picture.n == 1 else f"{picture.n:,} items"
    return f"<Job {picture.name!r}: {picture.state}, {items}{f' ({shown})' if shown else ''}>"


def page(picture: JobPicture) -> str:
    """Give a job's line, the errors that came first, and what a single call printed."""
    lines = [line(picture)]
    if picture.note:
        lines.append(plain(picture.note))
    for failure in picture.failures:
        more = f"  (and {failure.times - 1:,} more like it)" if failure.times > 1 else ""
        error = (plain(failure.error).splitlines() or [""])[0]
        lines.append(f"item {failure.item:,}: {cut(error, _LINE)}{more}")
    if picture.failures_left:
        lines.append(f"… and {picture.failures_left:,} other failed items")
    if picture.n == 1 and picture.said:
        said = picture.said[0].outputs
        if picture.failures:  # which have said it
            said = tuple(output for output in said if output["output_type"] != "error")
        printed = outputs(said).rstrip("\n")
        lines += [cut(printed, _OUTPUT_CHARACTERS)] if printed else []
    return "\n".join(lines)


def outputs(shown: Iterable[Mapping[str, Any]]) -> str:
    """Give nbformat outputs as text; what is a picture only is left out."""
    parts = []
    for output in shown:
        kind = output["output_type"]
        if kind == "stream":
            parts.append(str(output["text"]))
        elif kind == "error":
            parts.append(f"{output.get('ename', '')}: {output.get('evalue', '')}\n")
        else:
            said = output.get("data", {}).get("text/plain", "")
            parts.append(("".join(said) if isinstance(said, list) else str(said)) + "\n")
    return plain("".join(parts))


def state_words(picture: JobPicture) -> str:
    """Give the job's state in a word or two."""
    words = {
        states.PENDING: "waiting for a worker",
        states.STARTED: "running",
        states.SUCCESS: "done",
        states.FAILURE: "done, with failures" if picture.n > 1 else "failed",
        states.REVOKED: "cancelled",
    }
    return words.get(picture.state, picture.state)
