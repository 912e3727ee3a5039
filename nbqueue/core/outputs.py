"""What an item displayed, from its messages to what a notebook keeps.

An item's `Output` records hold outputs as nbformat 4 writes them, and two kinds of messages that
change earlier ones, as Jupyter's message protocol has them: ``update_display_data`` (new data for
every output with that ``display_id``) and ``clear_output`` (at once, or with ``wait`` when the next
output comes). `settle` plays them out, so that what is left is what a notebook file may contain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Message = Mapping[str, Any]

_DATA = ("display_data", "execute_result")


def settle(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Give the nbformat outputs that are left when all messages have been played out in order.

    Neighbouring texts of one stream become one; an update replaces data and metadata wherever its
    ``display_id`` was shown; ``transient`` is left out, as in a notebook file.

    >>> said = {"output_type": "stream", "name": "stdout"}
    >>> settle([{**said, "text": "a"}, {**said, "text": "b"}])
    [{'output_type': 'stream', 'name': 'stdout', 'text': 'ab'}]
    """
    shown: list[dict[str, Any]] = []
    ids: list[str | None] = []
    clear = False
    for message in messages:
        kind = message["output_type"]
        if kind == "clear_output":
            clear = True
            if message.get("wait"):
                continue
        elif kind == "update_display_data":
            _update(shown, ids, message)
            continue
        if clear:
            shown.clear()
            ids.clear()
            clear = False
            if kind == "clear_output":
                continue
        if kind == "stream" and shown and _same_stream(shown[-1], message):
            shown[-1]["text"] += message["text"]
            continue
        shown.append({key: value for key, value in message.items() if key != "transient"})
        ids.append(_display_id(message) if kind in _DATA else None)
    return shown


def _same_stream(output: Message, message: Message) -> bool:
    return (output["output_type"], output.get("name")) == ("stream", message["name"])


def _display_id(message: Message) -> str | None:
    found = (message.get("transient") or {}).get("display_id")
    return None if found is None else str(found)


def _update(shown: list[dict[str, Any]], ids: list[str | None], message: Message) -> None:
    wanted = _display_id(message)
    for output, shown_id in zip(shown, ids, strict=True):
        if shown_id is not None and shown_id == wanted:
            output["data"] = message["data"]
            output["metadata"] = message.get("metadata", {})
