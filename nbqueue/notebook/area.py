"""A place in a cell's output that can be written again."""

from __future__ import annotations

import re
import secrets
from typing import Any

Bundle = dict[str, Any]
"""Forms of one thing by MIME type."""


class Area:
    """One output, found again by an id of its own: from any thread, after its cell has ended."""

    def __init__(self) -> None:
        self._id = secrets.token_hex(8)
        self._shown: Bundle | None = None

    def put(self, data: Bundle, metadata: Bundle | None = None) -> None:
        """Display something there, in the place of what was there; nothing if it is the same."""
        from IPython.display import publish_display_data

        data = encodable(data)
        if data == self._shown:
            return
        update, self._shown = self._shown is not None, data
        publish_display_data(  # type: ignore[no-untyped-call]  # IPython
            data, metadata, transient={"display_id": self._id}, update=update
        )


_SURROGATE = re.compile(r"[\ud800-\udfff]")


def encodable(data: Bundle) -> Bundle:
    """Give forms of which each text is one that a message can carry."""
    return {kind: _encodable(value) for kind, value in data.items()}


def _encodable(value: Any) -> Any:
    """Give a text without halves of characters, which a message cannot carry."""
    if not isinstance(value, str) or value.isascii():
        return value
    return _SURROGATE.sub("\ufffd", value)
