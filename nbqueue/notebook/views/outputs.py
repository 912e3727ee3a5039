"""An item's outputs (nbformat 4) as HTML: what the notebook would show, within bounds.

Text is escaped, images become ``data:`` URIs. HTML that the user's own code displayed is HTML here
too, as it is under any cell (a DataFrame's table); only if its tags do not match up, which would
break what stands around it, its text is shown instead.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from html import escape
from html.parser import HTMLParser
from typing import Any

from nbqueue.notebook.views import ansi

TEXT_CHARACTERS = 20_000
"""Of one text; beyond, its middle is left out."""

BYTES = 1_500_000
"""Of all outputs of a job's page: a notebook file is read whole by whoever opens it."""

_LINES = 30
"""Longer texts are folded: whoever scrolls through a notebook wants to get past them."""
_SHOWN = 10
"""Lines of those that are shown."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

_PRE = (
    "margin:2px 0;padding:0;background:transparent;color:inherit;border:0;"
    "font-family:monospace;font-size:12px;line-height:1.35;white-space:pre-wrap;"
    "word-break:break-word"
)
_STDERR = ";border-left:3px solid #d64545;padding-left:8px"
_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")


def html(outputs: Iterable[Mapping[str, Any]], room: int = BYTES) -> str:
    """Give outputs as HTML of at most about ``room`` characters, and say what was left out."""
    parts: list[str] = []
    left = 0
    for output in outputs:
        shown = "" if left else _one(output)
        if left or len(shown) > room:
            left += 1
            continue
        room -= len(shown)
        parts.append(shown)
    if left:
        parts.append(f'<div style="opacity:.7">… {left:,} more outputs: see job.outputs</div>')
    return "".join(parts)


def pre(text: str, characters: int = TEXT_CHARACTERS, style: str = "") -> str:
    """Give terminal text as a block of HTML: folded if it has many lines, and cut if very long."""
    if len(text) > characters:
        half = characters // 2
        left = len(text) - 2 * half
        text = f"{text[:half]}\n… {left:,} characters left out: see job.outputs …\n{text[-half:]}"
    head, rest = _folded(text)
    block = f'<pre style="{_PRE}{style}">{ansi.html(head)}</pre>'
    if rest:
        more = rest.rstrip("\n").count("\n") + 1
        colours = "".join(_COLOUR.findall(head))  # which go on where the text does
        block += (
            f'<details><summary style="cursor:pointer;opacity:.7">… {more:,} more lines</summary>'
            f'<pre style="{_PRE}{style}">{ansi.html(colours + rest)}</pre></details>'
        )
    return block


def _folded(text: str) -> tuple[str, str]:
    """Give the lines that are shown, and those that are folded away."""
    lines = text.splitlines(keepends=True)
    if len(lines) <= _LINES:
        return text, ""
    return "".join(lines[:_SHOWN]).rstrip("\n"), "".join(lines[_SHOWN:])


def _one(output: Mapping[str, Any]) -> str:
    kind = output["output_type"]
    if kind == "stream":
        return pre(_text(output["text"]), style=_STDERR if output.get("name") == "stderr" else "")
    if kind == "error":
        traceback = "\n".join(map(str, output.get("traceback") or ()))
        return pre(traceback or f"{output.get('ename', '')}: {output.get('evalue', '')}")
    return _bundle(output.get("data", {}), output.get("metadata") or {})


def _bundle(data: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    """Give the richest form of a display that is plain HTML."""
    own = _text(data.get("text/html", ""))
    if own and balanced(own):
        return f'<div style="overflow-x:auto">{own}</div>'
    if "image/svg+xml" in data:  # within an image, where its scripts do not run
        body = base64.b64encode(_text(data["image/svg+xml"]).encode()).decode()
        return _image("image/svg+xml", body, {})
    for kind in _IMAGES:
        body = _text(data.get(kind, ""))
        if body and _BASE64.fullmatch(body):
            return _image(kind, "".join(body.split()), metadata.get(kind) or {})
    for kind in ("text/markdown", "text/latex", "text/plain"):
        if kind in data:
            return pre(_text(data[kind]))
    if "application/json" in data:
        return pre(json.dumps(data["application/json"], indent=1, default=str))
    return ""


def _image(kind: str, body: str, metadata: Any) -> str:
    size = "".join(
        f' {side}="{metadata[side]:d}"'
        for side in ("width", "height")
        if isinstance(metadata, Mapping) and isinstance(metadata.get(side), int)
    )
    return f'<img src="data:{kind};base64,{body}"{size} alt="" style="max-width:100%">'


def _text(value: Any) -> str:
    return "".join(map(str, value)) if isinstance(value, list) else str(value)


_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr")
)
_OPTIONAL = frozenset(
    ("li", "p", "tr", "td", "th", "thead", "tbody", "tfoot", "dt", "dd", "option", "colgroup")
)
"""Elements whose end tags HTML lets one leave out."""


class _Balance(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.open: list[str] = []
        self.stray = False

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in _VOID and tag not in ("html", "head", "body"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("html", "head", "body") or tag in _VOID:
            return
        while self.open and self.open[-1] != tag and self.open[-1] in _OPTIONAL:
            self.open.pop()
        if self.open and self.open[-1] == tag:
            self.open.pop()
        elif tag != "p":  # a stray </p> makes an empty paragraph, and breaks nothing
            self.stray = True


def balanced(text: str) -> bool:
    """Say whether every element that HTML opens is closed again, and no other.

    >>> balanced("<p>a<b>c</b>"), balanced("</div>"), balanced("<table><tr>")
    (True, False, False)
    """
    parser = _Balance()
    parser.feed(text)
    unread = "<" in parser.rawdata  # a tag or a comment that does not end
    parser.close()
    return not parser.stray and not unread and all(tag in _OPTIONAL for tag in parser.open)


def quoted(text: str) -> str:
    """Give a text for HTML, in an element or an attribute."""
    return escape(ansi.plain(text), quote=True)
