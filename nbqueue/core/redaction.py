"""URLs as they may be shown: without passwords and keys."""

from __future__ import annotations

import re

_SECRET = re.compile(r"(://[^:/@\s]*):[^\s;]*@|((?:password|key)=)[^&\s]*")
"""Up to the last @ of a URL: people do write passwords with one in it."""


def redact(url: str) -> str:
    """Give a URL, or a text with one in it, without its password."""
    return _SECRET.sub(lambda m: f"{m[1]}:***@" if m[1] is not None else f"{m[2]}***", url)
