"""A job as text: short, and without times, so that the same end reads the same every time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nbqueue.notebook.brief import cut
from nbqueue.notebook.picture import JobPicture, Said
from nbqueue.notebook.views.ansi import plain

_LINE = 160
_OUTPUT_CHARACTERS = 2_000
"""How much output is given of all items together; the HTML beside it has more."""
_OF_AN_ITEM = 400
"""How much of each item's, when there are several."""


def line(picture: JobPicture) -> str:
    """Give a job in one line: the same as its ``repr``."""
    shown = ", ".join(f"{state} {count:,}" for state, count in picture.counts.items() if count)
    items = "1 item" if picture.n == 1 else f"{picture.n:,} items"
    return f"<Job {picture.name!r}: {picture.state}, {items}{f' ({shown})' if shown else ''}>"


def page(picture: JobPicture) -> str:
    """Give a job's line, the most frequent errors, and the beginning of what items printed."""
    lines = [line(picture)]
    if picture.note:
        lines.append(plain(picture.note))
    for failure in picture.failures:
        more = f"  (and {failure.times - 1:,} more like it)" if failure.times > 1 else ""
        error = (plain(failure.error).splitlines() or [""])[0]
        lines.append(f"item {failure.item:,}: {cut(error, _LINE)}{more}")
    if picture.failures_left:
        lines.append(f"… and {picture.failures_left:,} other failed items")
    lines += _single(picture) if picture.n == 1 else _several(picture)
    return "\n".join(lines)


def _single(picture: JobPicture) -> list[str]:
    printed = _printed(picture, picture.said[0]) if picture.said else ""
    return [cut(printed, _OUTPUT_CHARACTERS)] if printed else []


def _several(picture: JobPicture) -> list[str]:
    """Give each item's output below its number, as much as there is room for."""
    lines: list[str] = []
    room, left = _OUTPUT_CHARACTERS, picture.said_left
    for item in picture.said:
        printed = cut(_printed(picture, item), _OF_AN_ITEM)
        room -= len(printed)
        if not printed:
            continue
        if room < 0:
            left += 1
            continue
        call = f" ({plain(item.call)})" if item.call else ""
        lines += [f"-- item {item.item:,}{call}:", printed]
    if left:
        lines.append(f"… and what {left:,} other items displayed: job.outputs")
    return lines


def _printed(picture: JobPicture, item: Said) -> str:
    """Give an item's output, without the error that is listed already."""
    listed = any(failure.item == item.item for failure in picture.failures)
    shown = [o for o in item.outputs if not (listed and o["output_type"] == "error")]
    return outputs(shown).rstrip("\n")


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
