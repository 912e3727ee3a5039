"""Tables in pages: inline styles only, as sanitizers leave them; texts are escaped here."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from nbqueue.core import states
from nbqueue.notebook.views import palette
from nbqueue.notebook.views.outputs import quoted

# Words may break anywhere, so that a table scrolls sideways only in the narrowest of windows.
CELL = (
    "text-align:left;padding:1px 12px 1px 0;vertical-align:top;border:0;background:transparent;"
    "white-space:normal;overflow-wrap:anywhere"
)
_WHOLE = "white-space:nowrap;overflow-wrap:normal"
"""Short texts stay whole: what gives way is long anyway."""

_LONG = "min-width:7em"
_SHORT = 12

RIGHT = ";text-align:right;font-variant-numeric:tabular-nums"
_RED = f";color:{palette.LOOKS[states.FAILURE].colour}"
_TABLE = "border-collapse:collapse;border:0;margin:4px 0;font-size:12px;max-width:100%"
_ROW = "background:transparent"
"""Front ends stripe tables, which would make a pattern of a few rows."""
_NUMBER = re.compile(r"[-+]?(\d[\d,]*\.?\d*|\.\d+)(e[-+]?\d+)?( (µs|ms|s|MB))?|nan|inf|-inf|")


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    red: Collection[int] = (),
    images: Collection[int] = (),
) -> str:
    """Give a table of texts; numbers stand right. Without titles there is no row for them.

    Columns in ``red`` are errors', those in ``images`` hold HTML of this room's own.
    """
    styles = [_style(k, rows, red, images) for k in range(len(head))]
    titles = "".join(
        f'<th scope="col" style="{style.replace(_RED, "")};font-weight:bold">{quoted(word)}</th>'
        for word, style in zip(head, styles, strict=True)
    )
    lines = "".join(f'<tr style="{_ROW}">{_cells(row, styles, images)}</tr>' for row in rows)
    above = f'<tr style="{_ROW}">{titles}</tr>' if any(head) else ""
    whole = f'<table style="{_TABLE}">{above}{lines}</table>'
    return f'<div style="overflow-x:auto">{whole}</div>'


def _cells(row: Sequence[str], styles: Sequence[str], images: Collection[int]) -> str:
    return "".join(
        f'<td style="{style}">{cell if k in images else quoted(cell)}</td>'
        for k, (cell, style) in enumerate(zip(row, styles, strict=True))
    )


def _style(
    k: int, rows: Sequence[Sequence[str]], red: Collection[int], images: Collection[int]
) -> str:
    if k in images:
        return CELL
    cells = [row[k] for row in rows]
    style = CELL
    short = max(map(len, cells), default=0) <= _SHORT
    style += f";{_WHOLE if short else _LONG}"
    if k in red:
        style += _RED
    return style + (RIGHT if numeric(cells) else "")


def numeric(cells: Iterable[str]) -> bool:
    """Say whether all of some texts are numbers, lengths of time or nothing."""
    return all(_NUMBER.fullmatch(cell) for cell in cells)


_CHARACTER_PX = 7
_GAP_PX = 12
_WIDEST = 24
"""A column wider than so many characters is broken into lines."""


def fitting(head: Sequence[str], rows: Sequence[Sequence[str]], width_px: int) -> list[int]:
    """Give which columns fit side by side, the first ones first; the rest is left out.

    >>> fitting(["a", "b", "c"], [["x" * 90, "y", "z" * 8]], 200)
    [0, 1]
    """
    kept: list[int] = []
    for k in range(len(head)):
        longest = max([len(head[k]), *(len(row[k]) for row in rows)])
        width_px -= min(longest, _WIDEST) * _CHARACTER_PX + _GAP_PX
        if width_px < 0:
            break
        kept.append(k)
    return kept
