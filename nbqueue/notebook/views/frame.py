"""A DataFrame as pandas shows it, when only its first and last rows are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbqueue.notebook.brief import brief
from nbqueue.notebook.views.outputs import quoted

if TYPE_CHECKING:
    import pandas as pd

_MOST = 200
"""Rows shown, whatever pandas' options say: the frame is made anew twice a second."""


def limits() -> tuple[int, int]:
    """Give pandas' limits: up to how many rows all are shown, and how many of more than those."""
    import pandas as pd

    most = pd.get_option("display.max_rows") or _MOST
    few = pd.get_option("display.min_rows") or most
    return min(most, _MOST), max(2, min(few, most, _MOST))


def html(rows: pd.DataFrame, cut: int | None, n: int, note: str = "") -> str:
    """Give rows as pandas' HTML, with an ellipsis after the first ``cut``; ``n`` rows in all."""
    import pandas as pd

    table = _flat(rows).to_html(
        max_cols=pd.get_option("display.max_columns"), show_dimensions=False, notebook=True
    )
    if cut is not None:
        table = _with_ellipsis(table, cut)
    said = f"<p>{quoted(note)}</p>\n" if note else ""
    inner = table.rstrip().removesuffix("</div>")  # where pandas has its own line of dimensions
    return f"{inner}<p>{n} rows × {rows.shape[1]} columns</p>\n{said}</div>"


def text(rows: pd.DataFrame, cut: int | None, n: int) -> str:
    """Give rows as pandas' text."""
    rows = _flat(rows)
    if cut is None:
        return repr(rows)
    lines = rows.to_string(max_cols=8, line_width=None).splitlines()
    head = len(lines) - len(rows)
    lines.insert(head + cut, "...")
    return "\n".join([*lines, "", f"[{n} rows x {rows.shape[1]} columns]"])


def _flat(rows: pd.DataFrame) -> pd.DataFrame:
    """Put the shapes of frames in their places: pandas writes them whole, over many lines."""
    flat = rows.copy(deep=False)
    for name, column in rows.items():
        if column.dtype == object and any(map(_is_frame, column)):
            told = [brief(value) if _is_frame(value) else value for value in column]
            flat[name] = type(column)(told, index=rows.index, dtype=object)
    return flat


def _is_frame(value: Any) -> bool:
    package = type(value).__module__.partition(".")[0]
    return package in ("pandas", "polars", "pyarrow") and bool(getattr(value, "shape", None))


def _with_ellipsis(table: str, cut: int) -> str:
    """Put a row of ellipses after row ``cut``. Cells are escaped: each ``</tr>`` is a row's end."""
    head, body = table.split("<tbody>", 1)
    rows = body.split("</tr>")
    across = rows[0].count("<td")
    dots = "\n    <tr>\n      <th>...</th>\n" + "      <td>...</td>\n" * across + "    "
    return f"{head}<tbody>" + "</tr>".join([*rows[:cut], dots, *rows[cut:]])
