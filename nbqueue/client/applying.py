"""`apply`: what pandas' ``apply`` does, on the workers.

A frame is cut into pieces of consecutive rows, or of whole groups (`piecewise`). How the results
are put together is pandas' business, and left to it: pieces of rows are concatenated, and for
groups pandas applies, here, a function that only hands out what came back. Polars and Arrow are
next door (`columnar`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
from pandas.api.typing import DataFrameGroupBy, SeriesGroupBy

from nbqueue.client import columnar
from nbqueue.client.decorator import task
from nbqueue.client.options import check_count
from nbqueue.client.piecewise import Work
from nbqueue.client.task import Task
from nbqueue.core.errors import UsageError
from nbqueue.store.code.pieces import Call, by_group, by_piece, by_row, by_value

Grouped = DataFrameGroupBy | SeriesGroupBy  # type: ignore[type-arg]  # generic in pandas-stubs only


def apply(
    data: Any,
    function: Callable[..., Any],
    *args: Any,
    axis: int | str = 1,
    pieces: int | None = None,
    name: str | None = None,
    **kwargs: Any,
) -> Any:
    """Apply a function to the rows, elements or groups of a frame, on the workers.

    Gives what pandas gives, for its data:

    - of a DataFrame, ``data.apply(function, axis=1)``: a row at a time, as a Series. With
      ``axis="pieces"`` the function is called with pieces of the frame (DataFrames of consecutive
      rows), and what it returns is concatenated;
    - of a Series, ``data.apply(function)``: a value at a time;
    - of ``data.groupby(…)``, ``data.groupby(…).apply(function)``: a group at a time.

    And what Polars gives, for Polars' data: ``data.map_rows(function)`` (a row at a time, as a
    tuple), ``series.map_elements(function)``, ``data.group_by(…).map_groups(function)``; with
    ``axis="pieces"`` the function is called with DataFrames. Of an Arrow table, with
    ``axis="pieces"``, it is called with tables of consecutive rows, and the tables that it returns
    are concatenated.

    Waits for it; a notebook shows it live when that takes longer than a second. The work is a job
    with an item a piece: ``nq.job(name)`` shows it meanwhile from elsewhere, and afterwards.

    Args:
        data: A DataFrame, a Series, what their ``groupby`` (Polars: ``group_by``) gives, or an
            Arrow table.
        function: A function, or a task (``@nq.task``, whose options hold for the pieces).
        *args: Given to the function after the row, the value or the group.
        axis: 1 (``"columns"``): by rows; ``"pieces"``: by pieces.
        pieces: Into how many pieces to cut; by default eight for each process of the workers.
        name: A name for the job.
        **kwargs: Given to the function.

    Raises:
        UsageError: ``data`` is none of these, ``function`` is no function, or ``axis`` is another.
        Exception: what the function raises, from the first piece in which it does.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"kind": list("aab"), "x": [1, 2, 3]})
    >>> nq.apply(frame, lambda row: row["x"] * 2).tolist()  # doctest: +CLUSTER
    [2, 4, 6]
    >>> nq.apply(frame.groupby("kind")["x"], lambda x: x.max() - x.min())   # doctest: +CLUSTER
    kind
    a    1
    b    0
    Name: x, dtype: int64
    """
    many = None if pieces is None else check_count(pieces, "pieces")
    if not callable(function):
        raise UsageError(_no_function(function))
    given = function if isinstance(function, Task) else task(function)
    work = Work(given, Call(given.body, args, kwargs), many, name)
    if isinstance(data, (DataFrameGroupBy, SeriesGroupBy)):
        return _apply_to_groups(data, work)
    if columnar.is_one(data):
        return columnar.apply(data, work, axis)
    if not isinstance(data, (pd.DataFrame, pd.Series)):
        raise UsageError(
            "nq.apply takes a DataFrame, a Series or a groupby of one, of pandas or Polars, or an "
            f"Arrow table, not {type(data).__name__}; for other things there is task.map(things)"
        )
    how = _how(data, axis)
    if data.empty:
        return how(data, work.call)
    return pd.concat(work.run(how, [data.iloc[a:b] for a, b in work.cuts(len(data))]))


def _no_function(given: Any) -> str:
    text = f"nq.apply takes a function, not {given!r}"
    if not isinstance(given, str):
        return text
    return f"{text}; what pandas has by a name is quick here: frame.groupby(...).agg({given!r})"


def _how(data: pd.DataFrame | pd.Series[Any], axis: int | str) -> Callable[..., Any]:
    if isinstance(data, pd.Series):
        return by_value
    if axis in (1, "columns"):
        return by_row
    if axis == "pieces":
        return by_piece
    raise UsageError(
        f"axis must be 1 (a row at a time) or 'pieces' (DataFrames of some rows), not {axis!r}: "
        "columns are whole, and pandas applies to those here"
    )


def _apply_to_groups(grouped: Any, work: Work) -> Any:
    groups: list[tuple[Any, Any]] = []

    def note(group: Any) -> None:
        groups.append((getattr(group, "name", None), group))

    # pandas says which groups it would call the function with, in order, and with which columns.
    shape = grouped.apply(note)
    if not groups:
        return shape
    found = work.run(by_group, [groups[a:b] for a, b in work.cuts(len(groups))])
    results: Iterator[Any] = iter([result for piece in found for result in piece])
    return grouped.apply(lambda _: next(results))
