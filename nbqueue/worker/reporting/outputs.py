"""What the items of a message have put out and nobody has written yet.

Owns the order, the merging and the limit of outputs: texts of one stream become one, a display
that is updated faster than outputs are written costs one update, and what an item puts out beyond a
limit is counted and left out, with one line where it was cut. The end of its text is kept below
that line, because it says why something failed. No I/O: the reporter writes.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count, groupby
from operator import itemgetter
from typing import Any

from nbqueue.core.records import Output

LIMIT_CHARS = 1_000_000
"""How much of an item's output is kept, but for its end; the log and notebooks have to hold it."""

_END_CHARS = 10_000
"""How much of the text beyond that is kept: its end."""

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
    end: deque[tuple[str, str]] = field(default_factory=deque)
    """The end of the text that is left out, in pieces, each with the name of its stream."""
    end_chars: int = 0

    def leave_out_text(self, name: str, text: str) -> None:
        """Count text that comes after the cut, and keep its end."""
        self.left_chars += len(text)
        text = text[-_END_CHARS:]
        self.end.append((name, text))
        self.end_chars += len(text)
        while (over := self.end_chars - _END_CHARS) > 0:
            stream, first = self.end.popleft()
            if len(first) > over:
                self.end.appendleft((stream, first[over:]))
            self.end_chars -= min(over, len(first))

    def take_end(self) -> list[tuple[str, str]]:
        """Give the end of the text, which is not left out then."""
        pieces = list(self.end)
        self.left_chars -= self.end_chars
        self.end_chars = 0
        self.end.clear()
        return pieces

    def leave_out(self, output: Mapping[str, Any]) -> None:
        """Count what else comes after the cut."""
        if any(kind.startswith("image/") for kind in output.get("data", ())):
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
        if about.cut and kind == "stream":
            about.leave_out_text(output["name"], output["text"])
            return False
        if about.cut and kind != "error":
            about.leave_out(output)
            return False
        chars = _chars(output)
        about.chars -= self._drop_unseen(item, output)
        if kind == "stream":
            self._add_stream(item, about, output["name"], output["text"])
        elif kind == "error":  # kept in any case: it says why there is no result
            self._add_end(item, about)
            self._waiting.append(_Entry(item, _shortened(output), 0))
        elif about.chars + chars > LIMIT_CHARS:
            self._cut(item, about)
            about.leave_out(output)
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
                self._add_end(item, about)
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
            about.leave_out_text(name, text[room:])

    def _add_end(self, item: int, about: _Item) -> None:
        """Put out the end of what is left out, in as few outputs as it has streams in turn."""
        for name, pieces in groupby(about.take_end(), itemgetter(0)):
            texts = [text for _, text in pieces]
            self._waiting.append(_Entry(item, {"output_type": "stream", "name": name}, 0, texts))

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
        notice = _notice("display_data", "the rest is left out, but for the end of its text")
        self._waiting.append(_Entry(item, notice, 0))


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
    text = f"[nbqueue: this item put out more than 1 MB; {left}]"
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
    return f"left out: {', '.join(parts) or 'nothing'}"
