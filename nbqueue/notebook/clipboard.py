"""A DataFrame as text for the clipboard, which spreadsheets and ``pandas.read_clipboard`` take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

ROWS = 100_000
"""Most rows copied. More is tens of megabytes through the browser; ``to_frame()`` has all."""

_CELL = 2_000


def tab_separated(table: pd.DataFrame, rows: int = ROWS) -> str:
    r"""Give a frame as lines of cells with tabs between, the index first and a line of names above.

    Tabs and line breaks within cells become spaces, because pandas recognises the format by the
    number of tabs in each line.

    >>> import pandas as pd
    >>> tab_separated(pd.DataFrame({"x": ["a\nb", 2]}, index=pd.RangeIndex(2, name="item")))
    'item\tx\n0\ta b\n1\t2\n'
    """
    part = table.head(rows).copy()
    for name in part.columns:
        column = part[name]
        if column.dtype.kind not in "biufmM" and not hasattr(column, "dt"):
            part[name] = column.astype(object).map(_one_line, na_action="ignore")
    text: str = part.to_csv(sep="\t", lineterminator="\n")
    return text


def _one_line(value: Any) -> str:
    return " ".join(str(value).split())[:_CELL]
