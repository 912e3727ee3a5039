"""`apply`: what pandas' ``apply`` does, on the workers.

A frame is cut into pieces of consecutive rows, or of whole groups; a piece is an item, whose rows
travel as a large value does, and whose function is applied where it arrives. How the results are
put together is pandas' business, and left to it: pieces of rows are concatenated, and for groups
pandas applies, here, a function that only hands out what came back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.typing import DataFrameGroupBy, SeriesGroupBy

from nbqueue.client.options import check_count
from nbqueue.client.reaching import processes
from nbqueue.client.task import AnyTask, Task, task
from nbqueue.core.errors import UsageError
from nbqueue.store.pieces import Applied, Call, by_group, by_piece, by_row, by_value

_PIECES_A_PROCESS = 8
"""More: each piece costs a message and a copy of its column names; fewer: the last ones to end are
waited for by idle processes."""

Grouped = DataFrameGroupBy | SeriesGroupBy  # type: ignore[type-arg]


def apply(
    data: Any,
    function: Callable[..., Any],
    *args: Any,
    axis: int | str = 1,
    pieces: int | None = None,
    name: str | None = None,
    **kwargs: Any,
) -> Any:
    """Apply a function to the rows, elements or groups of pandas data, on the workers.

    Gives what pandas gives:

    - of a DataFrame, ``data.apply(function, axis=1)``: a row at a time, as a Series. With
      ``axis="pieces"`` the function is called with pieces of the frame (DataFrames of consecutive
      rows), and what it returns is concatenated;
    - of a Series, ``data.apply(function)``: a value at a time;
    - of ``data.groupby(…)``, ``data.groupby(…).apply(function)``: a group at a time.

    Waits for it. The work is a job with an item a piece: ``nq.job(name)`` shows it meanwhile from
    another notebook, and afterwards.

    Args:
        data: A DataFrame, a Series, or what their ``groupby`` gives.
        function: A function, or a task (``@nq.task``, whose options hold for the pieces).
        *args: Given to the function after the row, the value or the group.
        axis: 1 (``"columns"``): by rows; ``"pieces"``: by pieces.
        pieces: Into how many pieces to cut; by default eight for each process of the workers.
        name: A name for the job.
        **kwargs: Given to the function.

    Raises:
        UsageError: ``data`` is none of these, or ``axis`` is another.
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
    given = function if isinstance(function, Task) else task(function)
    call = Call(given.body, args, kwargs)
    if isinstance(data, (DataFrameGroupBy, SeriesGroupBy)):
        return _apply_to_groups(data, given, call, many, name)
    if not isinstance(data, (pd.DataFrame, pd.Series)):
        raise UsageError(
            f"nq.apply takes a DataFrame, a Series or a groupby of one, not {type(data).__name__}; "
            "for other things there is task.map(things)"
        )
    how = _how(data, axis)
    if data.empty:
        return how(data, call)
    found = _run(given, how, call, [data.iloc[a:b] for a, b in _cuts(len(data), many)], name)
    return pd.concat(found)


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


def _apply_to_groups(
    grouped: Any, given: AnyTask, call: Call, pieces: int | None, name: str | None
) -> Any:
    groups: list[tuple[Any, Any]] = []

    def note(group: Any) -> None:
        groups.append((getattr(group, "name", None), group))

    # pandas says which groups it would call the function with, in order, and with which columns.
    shape = grouped.apply(note)
    if not groups:
        return shape
    cuts = _cuts(len(groups), pieces)
    found = _run(given, by_group, call, [groups[a:b] for a, b in cuts], name)
    results: Iterator[Any] = iter([result for piece in found for result in piece])
    return grouped.apply(lambda _: next(results))


def _run(
    given: AnyTask, how: Callable[..., Any], call: Call, pieces: list[Any], name: str | None
) -> list[Any]:
    options = {"name": given.name, "typing": False}
    sent: AnyTask = Task(Applied(how, call), given.options.updated(options))
    found: list[Any] = sent.map(pieces, name=name).result()
    return found


def _cuts(n: int, pieces: int | None) -> list[tuple[int, int]]:
    """Cut n things into pieces of about the same size."""
    if pieces is None:
        pieces = _PIECES_A_PROCESS * (processes() or 1)
    edges = np.linspace(0, n, min(pieces, n) + 1).astype(int)
    return [(int(a), int(b)) for a, b in pairwise(edges)]
