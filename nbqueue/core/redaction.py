"""URLs and keys as they may be shown: without passwords, and not at all.

`Url` and `Secret` are texts that show themselves so: for functions whose arguments a debugger, or a
traceback that prints variables (``%xmode Verbose``), would show.
"""

from __future__ import annotations

import re

_SECRET = re.compile(r"(://[^:/@\s]*):[^\s;]*@|((?:password|key)=)[^&\s]*")
"""Up to the last @ of a URL: people do write passwords with one in it."""


def redact(url: str) -> str:
    """Give a URL, or a text with one in it, without its password."""
    return _SECRET.sub(lambda m: f"{m[1]}:***@" if m[1] is not None else f"{m[2]}***", url)


class Url(str):
    """A URL whose repr has no password."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(redact(str(self)))


class Secret(str):
    """A text that is not shown."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def url(text: str | None) -> Url | None:
    """Give a URL that may be shown; ``None`` stays that."""
    return None if text is None else Url(text)


def secret(text: str | None) -> str | None:
    """Give a text that is not shown; what is none stays as it is."""
    return Secret(text) if isinstance(text, str) else text
