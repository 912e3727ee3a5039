"""`apply` for Polars' frames and Arrow's tables, neither of which need be installed.

They are known by where their classes come from: whoever has one has loaded its library. As with
pandas, what is made of the results is the library's business: Polars applies, here, a function that
only hands out what came back. Only groups and pieces are put together by us, because Polars does
not let a function loose on groups by an expression; their columns are widened to a common type.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

from nbqueue.client.piecewise import Work
from nbqueue.core.errors import UsageError
from nbqueue.store.code.pieces import by_element, by_frame, by_piece, by_tuple


def is_one(data: Any) -> bool:
    """Say whether it is Polars' or Arrow's."""
    return _library(data) in _APPLY


def apply(data: Any, work: Work, axis: int | str) -> Any:
    """Apply a function to rows, values, groups or pieces; give what the library itself gives."""
    return _APPLY[_library(data)](data, work, axis)


def _library(data: Any) -> str:
    return type(data).__module__.split(".")[0]


def _apply_polars(data: Any, work: Work, axis: int | str) -> Any:
    pl = import_module("polars")
    if isinstance(data, pl.Series):
        return _apply_to_values(data, work)
    if isinstance(data, pl.DataFrame):
        return _apply_to_rows(pl, data, work, axis)
    if isinstance(data, pl.LazyFrame) or not hasattr(data, "map_groups"):
        raise UsageError(
            f"nq.apply takes Polars' DataFrame, Series or group_by, not {type(data).__name__}: "
            "collect() it first"
        )
    groups = [group for _, group in data]
    if not groups:
        return data.map_groups(work.call)
    return _concat(pl, _each(work, by_frame, groups))


def _apply_to_values(series: Any, work: Work) -> Any:
    found = iter(_each(work, by_element, series.drop_nulls()))
    with warnings.catch_warnings():
        # Polars', that its own expressions are quicker: this one only hands out what there is.
        warnings.filterwarnings("ignore", message="(?s).*map_elements")
        return series.map_elements(lambda _: next(found))


def _apply_to_rows(pl: Any, frame: Any, work: Work, axis: int | str) -> Any:
    if axis in (1, "columns"):
        found = iter(_each(work, by_tuple, frame))
        return frame.map_rows(lambda _: next(found))
    if axis != "pieces":
        raise UsageError(
            f"axis must be 1 (a row at a time) or 'pieces' (DataFrames of some rows), not {axis!r}"
        )
    if frame.is_empty():
        return work.call(frame)
    return _concat(pl, work.run(by_piece, [frame[a:b] for a, b in work.cuts(len(frame))]))


def _each(work: Work, how: Callable[..., Any], things: Any) -> list[Any]:
    """Give what came of each of some things, in order; of none, nothing."""
    found = work.run(how, [things[a:b] for a, b in work.cuts(len(things))]) if len(things) else []
    return [result for piece in found for result in piece]


def _concat(pl: Any, frames: list[Any]) -> Any:
    return pl.concat(frames, how="vertical_relaxed")


def _apply_arrow(data: Any, work: Work, axis: int | str) -> Any:
    pa = import_module("pyarrow")
    if not isinstance(data, (pa.Table, pa.RecordBatch)) or axis != "pieces":
        raise UsageError(
            "nq.apply takes an Arrow Table or RecordBatch with axis='pieces' (the function is "
            f"called with tables of some rows), not {type(data).__name__} with axis={axis!r}"
        )
    if data.num_rows == 0:
        return work.call(data)
    # Copied: a slice is pickled with all that it was cut from.
    pieces = [data.take(pa.array(range(a, b))) for a, b in work.cuts(data.num_rows)]
    tables = [
        pa.Table.from_batches([part]) if isinstance(part, pa.RecordBatch) else part
        for part in work.run(by_piece, pieces)
    ]
    return pa.concat_tables(tables, promote_options="permissive")


_APPLY = {"polars": _apply_polars, "pyarrow": _apply_arrow}
