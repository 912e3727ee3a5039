"""Terminal text (ANSI escapes) as plain text and as HTML with inline styles."""

from __future__ import annotations

import re
from html import escape

_ESCAPE = re.compile(
    r"\x1b\[([0-9;:]*)m|\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

_COLOURS = (
    "#8a8f98",  # black: grey, or it would vanish on a dark background
    "#d64545",
    "#2f9e62",
    "#b5850b",
    "#3b82d6",
    "#a45bc0",
    "#1f97a3",
    "#8a8f98",  # white, for the same reason
)


def plain(text: str) -> str:
    """Give the text without escapes and control characters, with carriage returns played out."""
    return _CONTROL.sub("", _ESCAPE.sub("", _overwritten(text)))


def html(text: str) -> str:
    r"""Give the text as HTML: escaped, its colours and weights as spans.

    >>> html("a \x1b[1;31m<b>\x1b[0m")
    'a <span style="font-weight:bold;color:#d64545">&lt;b&gt;</span>'
    """
    parts: list[str] = []
    style: dict[str, str] = {}
    at = 0
    text = _overwritten(text)
    for match in _ESCAPE.finditer(text):
        parts.append(_span(text[at : match.start()], style))
        at = match.end()
        if match.group(1) is not None:
            _apply(match.group(1), style)
    parts.append(_span(text[at:], style))
    return "".join(parts)


def _span(text: str, style: dict[str, str]) -> str:
    shown = escape(_CONTROL.sub("", text))
    if not shown or not style:
        return shown
    css = ";".join(f"{name}:{value}" for name, value in style.items())
    return f'<span style="{css}">{shown}</span>'


def _overwritten(text: str) -> str:
    """Play carriage returns out: what a progress bar has written over is gone."""
    if "\r" not in text:
        return text
    text = text.replace("\r\n", "\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


_WEIGHTS = {
    1: ("font-weight", "bold"),
    2: ("opacity", "0.7"),
    3: ("font-style", "italic"),
    4: ("text-decoration", "underline"),
}
_ENDS = {
    22: ("font-weight", "opacity"),
    23: ("font-style",),
    24: ("text-decoration",),
    39: ("color",),
}


def _apply(codes: str, style: dict[str, str]) -> None:
    """Change the style as a sequence of SGR codes says; backgrounds are left out."""
    numbers = [int(code or 0) for code in codes.replace(":", ";").split(";") if len(code) < 5]
    k = 0
    while k < len(numbers):
        code = numbers[k]
        k += 1
        if code == 0:
            style.clear()
        elif code in _WEIGHTS:
            name, value = _WEIGHTS[code]
            style[name] = value
        elif code in _ENDS:
            for name in _ENDS[code]:
                style.pop(name, None)
        elif 30 <= code <= 37 or 90 <= code <= 97:
            style["color"] = _COLOURS[code % 10]
        elif code in (38, 48):
            k += _extended(numbers[k:], style if code == 38 else {})


def _extended(numbers: list[int], style: dict[str, str]) -> int:
    """Take a colour of 256 or of 16 million; give how many codes it took."""
    if numbers[:1] == [5]:
        if len(numbers) > 1:
            style["color"] = _indexed(numbers[1])
        return 2
    if numbers[:1] == [2]:
        if len(numbers) > 3:
            style["color"] = "#" + "".join(f"{min(255, part):02x}" for part in numbers[1:4])
        return 4
    return 1


def _indexed(number: int) -> str:
    """Give one of xterm's 256 colours."""
    if number < 16:
        return _COLOURS[number % 8]
    if number < 232:
        levels = (0, 95, 135, 175, 215, 255)
        number -= 16
        parts = (number // 36 % 6, number // 6 % 6, number % 6)
        return "#" + "".join(f"{levels[part]:02x}" for part in parts)
    grey = min(255, 8 + 10 * (number - 232))
    return f"#{grey:02x}{grey:02x}{grey:02x}"
