"""What the items of a message have put out and nobody has written yet.

Owns the order, the merging and the limit of outputs: texts of one stream become one, a display
that is updated faster than outputs are written costs one update, and what an item puts out beyond a
limit is counted and left out, with one line where it was cut. No I/O: the reporter writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from nbqueue.core.records import Output

LIMIT_CHARS = 1_000_000
"""How much of an item's output is kept; the job's log and the notebook have to hold it."""

_ERROR_LINES = 1_000
"""Lines of a traceback that are kept, from both ends."""

_CUT_ID = "nbqueue-cut"


@dataclass
class _Item:
    """What is known of one item's output."""

    chars: int = 0
    left_chars: int = 0
    left_images: int = 0
    left_others: int = 0
    cut: bool = False

    def leave_out(self, output: Mapping[str, Any], chars: int) -> None:
        """Count what comes after the cut."""
        if output["output_type"] == "stream":
            self.left_chars += chars
        elif any(kind.startswith("image/") for kind in output.get("data", ())):
            self.left_images += 1
        elif output["output_type"] != "clear_output":
            self.left_others += 1


@dataclass
class _Entry:
    item: int
    output: dict[str, Any]
    chars: int
    texts: list[str] = field(default_factory=list)
    """Of a stream: its text in pieces, because adding to a long text copies it."""

    def settled(self) -> dict[str, Any]:
        return {**self.output, "text": "".join(self.texts)} if self.texts else self.output


class Outputs:
    """Takes outputs of items in order, and gives them as records."""

    def __init__(self, message_id: str) -> None:
        self._message_id = message_id
        self._places = count()
        self._waiting: list[_Entry] = []
        self._items: dict[int, _Item] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, item: int, output: Mapping[str, Any]) -> bool:
        """Take one output of nbformat 4, or a message that changes earlier ones.

        ``False`` when it came after the cut and was left out.
        """
        about = self._items.setdefault(item, _Item())
        kind = output["output_type"]
        chars = _chars(output)
        if about.cut and kind != "error":
            about.leave_out(output, chars)
            return False
        about.chars -= self._drop_unseen(item, output)
        if kind == "stream":
            self._add_stream(item, about, output["name"], output["text"])
        elif kind == "error":  # kept in any case: it says why there is no result
            self._waiting.append(_Entry(item, _shortened(output), 0))
        elif about.chars + chars > LIMIT_CHARS:
            self._cut(item, about)
            about.leave_out(output, chars)
        else:
            about.chars += chars
            self._waiting.append(_Entry(item, dict(output), chars))
        return True

    def end(self, items: Iterable[int]) -> None:
        """Say how much was left out of the outputs of items of which no more comes."""
        if not self._items:
            return
        for item in items:
            about = self._items.pop(item, None)
            if about is not None and about.cut:
                self._waiting.append(_Entry(item, _notice("update_display_data", _left(about)), 0))

    def take(self) -> list[Output]:
        """Give what was added since the last time."""
        entries, self._waiting = self._waiting, []
        return [
            Output(entry.item, self._message_id, next(self._places), entry.settled())
            for entry in entries
        ]

    def _add_stream(self, item: int, about: _Item, name: str, text: str) -> None:
        room = LIMIT_CHARS - about.chars
        kept = text[:room]
        about.chars += len(kept)
        latest = self._waiting[-1] if self._waiting else None
        if kept:
            if latest is not None and latest.item == item and latest.output.get("name") == name:
                latest.texts.append(kept)
                latest.chars += len(kept)
            else:
                output = {"output_type": "stream", "name": name}
                self._waiting.append(_Entry(item, output, len(kept), [kept]))
        if len(kept) < len(text):
            self._cut(item, about)
            about.left_chars += len(text) - len(kept)

    def _drop_unseen(self, item: int, output: Mapping[str, Any]) -> int:
        """Take away what nobody has seen yet and nobody would see; give its size."""
        kind = output["output_type"]
        latest = self._waiting[-1] if self._waiting else None
        if kind == "update_display_data":
            shown = _display_id(output)
            return self._drop(
                lambda entry: (
                    entry.item == item
                    and entry.output["output_type"] == kind
                    and _display_id(entry.output) == shown
                )
            )
        if kind == "clear_output":
            return 0 if output.get("wait") else self._drop(lambda entry: entry.item == item)
        if latest is not None and latest.item == item and latest.output.get("wait"):
            return self._drop(lambda entry: entry.item == item and entry is not latest)
        return 0

    def _drop(self, outdated: Callable[[_Entry], bool]) -> int:
        dropped = [entry for entry in self._waiting if outdated(entry)]
        self._waiting = [entry for entry in self._waiting if not outdated(entry)]
        return sum(entry.chars for entry in dropped)

    def _cut(self, item: int, about: _Item) -> None:
        about.cut = True
        self._waiting.append(_Entry(item, _notice("display_data", ""), 0))


def _shortened(error: Mapping[str, Any]) -> dict[str, Any]:
    lines = [line for part in error["traceback"] for line in part.split("\n")]
    if len(lines) <= _ERROR_LINES:
        return dict(error)
    half = _ERROR_LINES // 2
    left_out = f"… {len(lines) - 2 * half:,} lines left out …"
    return {**error, "traceback": [*lines[:half], left_out, *lines[-half:]]}


def _chars(output: Mapping[str, Any]) -> int:
    """Count the characters that an output takes in a notebook, about."""
    match output["output_type"]:
        case "stream":
            return len(output["text"])
        case "error":
            return sum(map(len, output["traceback"]))
        case _:
            return sum(
                len(value) if isinstance(value, str) else len(json.dumps(value))
                for value in output.get("data", {}).values()
            )


def _display_id(output: Mapping[str, Any]) -> Any:
    return (output.get("transient") or {}).get("display_id")


def _notice(kind: str, left: str) -> dict[str, Any]:
    text = f"[nbqueue: this item put out more than 1 MB; the rest is left out{left}]"
    return {
        "output_type": kind,
        "data": {"text/plain": text},
        "metadata": {},
        "transient": {"display_id": _CUT_ID},
    }


def too_much() -> dict[str, Any]:
    """Say that outputs of the whole job are left out."""
    text = "[nbqueue: this job has put out more than 100 MB; the rest is left out]"
    return {"output_type": "display_data", "data": {"text/plain": text}, "metadata": {}}


def _left(about: _Item) -> str:
    parts = [
        f"{n:,} {what}{'' if n == 1 else 's'}"
        for n, what in (
            (about.left_chars, "character"),
            (about.left_images, "image"),
            (about.left_others, "other output"),
        )
        if n
    ]
    return f": {', '.join(parts)}" if parts else ""
