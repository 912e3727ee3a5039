"""The table of a job's items: which rows, in which order, and what their cells say.

Sorting and filtering work on columns of the whole job; only the rows that are looked at become
text. Arguments and results may come from the store, so everything here runs in a thread that
answers a front end's request, never in one that paints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from nbqueue.client import expansion
from nbqueue.core import states
from nbqueue.core.columns import NOWHERE
from nbqueue.notebook import failures
from nbqueue.notebook.brief import brief, cut, full
from nbqueue.notebook.columns import SEARCHED, Columns

if TYPE_CHECKING:
    from nbqueue.client.live import Live

    Column = np.ndarray[Any, np.dtype[Any]]

_ROWS = 500
"""Most rows of one answer; a front end shows some tens at a time."""

_BLOCKS = 8
"""Argument blocks kept unpickled: those of the rows that are scrolled through."""

_CELL = 120
_ERROR = 300
_WHOLE = 4_000
_TRACEBACK = 20_000


@dataclass(frozen=True)
class Query:
    """Rows that a front end asks for."""

    first: int = 0
    count: int = 50
    sort: str = "item"
    """``item state result error started run_s worker attempts``, or ``arg:`` or ``field:`` and a
    number."""
    descending: bool = False
    text: str = ""
    """What items must contain: in their number, arguments, result, error or worker, in any case; or
    conditions on columns (`conditions`)."""
    states: tuple[int, ...] = ()
    """Codes to show; all when empty."""

    @classmethod
    def read(cls, message: Mapping[str, Any]) -> Query:
        """Read a query from a front end's message, whatever it contains."""
        return cls(
            first=max(0, int(message.get("first") or 0)),
            count=min(_ROWS, max(0, int(message.get("count") or 0))),
            sort=str(message.get("sort") or "item"),
            descending=bool(message.get("descending")),
            text=str(message.get("text") or "").strip().casefold(),
            states=tuple(int(code) for code in message.get("states") or ()),
        )


class Table:
    """A job's items as rows of text."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._block = lru_cache(maxsize=_BLOCKS)(live.block)
        self._columns = Columns(live)

    def page(self, query: Query) -> dict[str, Any]:
        """Give the rows that a query asks for, and how many there are with its filter."""
        live = self._live
        found = self._found(query)
        fields, titles = self._columns.fields, self._columns.titles()
        shown = found[query.first : query.first + query.count].tolist()
        return {
            "total": len(found),
            "first": query.first,
            "rows": [self._row(i, fields) for i in shown],
            "fields": list(titles),
            "whole": not query.text or live.state.n <= SEARCHED,
        }

    def item(self, i: int) -> dict[str, Any]:
        """Give everything there is to say of one item."""
        state = self._live.state
        fields, titles = self._columns.fields, self._columns.titles()
        told = dict(zip(_KEYS, self._row(i, fields, whole=True), strict=True))
        # What the item has displayed may end in its traceback already, and in the error's sentence.
        said = any(record.output.get("output_type") == "error" for record in self._outputs(i))
        error = state.error(i)
        if said:
            told["error"] = ""
        return {
            **told,
            "params": list(state.spec.params),
            "fields": list(titles),
            "traceback": "" if error is None or said else cut(error.traceback, _TRACEBACK),
            "memory_mb": _number(state.memory_mb[i]),
        }

    # -- which rows ----------------------------------------------------------------------------

    def _found(self, query: Query) -> Column:
        codes = self._columns.column("state")
        items: Column = np.arange(len(codes))
        if query.states:
            items = items[np.isin(codes, query.states)]
        if query.text:
            items = items[self._columns.matches(query.text)[items]]
        if query.sort == "item":
            return items[::-1] if query.descending else items
        column = self._columns.column(query.sort)
        return items if column is None else items[_order(column[items], query.descending)]

    # -- what they say -------------------------------------------------------------------------

    def _row(self, i: int, fields: Sequence[str], *, whole: bool = False) -> list[Any]:
        state = self._live.state
        code, worker = state.states[i], state.worker[i]
        room = _WHOLE if whole else _CELL
        return [
            i,
            self._call(i, room),
            code,
            self._result(i, fields, room) if code == states.SUCCESS_CODE else [],
            cut(failures.reason(state, i), max(room, _ERROR)),
            _number(state.started[i]),
            _number(state.run_s[i]),
            "" if worker == NOWHERE else state.workers[worker],
            state.attempts[i],
            bool(state.cached[i]),
        ]

    def _call(self, i: int, characters: int) -> list[str]:
        """Give what an item was called with, a text a parameter."""
        params = self._live.state.spec.params
        size = self._live.state.spec.block or 1
        try:
            if self._live.state.stages:
                return [cut(text, characters) for text in self._live.node(i)]
            args, kwargs = self._block(i // size).call(i % size)
        except Exception as exc:  # gone from the store, or a class that cannot be loaded here
            return [f"({type(exc).__name__}: {cut(str(exc), characters)})"]
        cells = [""] * len(params)
        for k, value in enumerate(args[: len(params) + 8]):
            text = _said(value, characters)
            if k < len(params):
                cells[k] = text
            elif cells:
                cells[-1] += f", {text}"
        for name, value in kwargs.items():
            if name in params:
                cells[params.index(name)] = _said(value, characters)
            elif cells:
                cells[-1] += f"{', ' if cells[-1] else ''}{name}={_said(value, characters)}"
        return [cut(cell, characters) for cell in cells]

    def _result(self, i: int, fields: Sequence[str], characters: int) -> list[str]:
        """Give what an item returned: a text a field, or one for all of it."""
        try:
            value = self._live.value(i)
        except Exception as exc:  # as for arguments
            return [f"({type(exc).__name__}: {cut(str(exc), characters)})"]
        held = expansion.fields(value) if fields else None
        if held is None:
            return [_said(value, characters)]
        return [_said(held[name], characters) if name in held else "" for name in fields]

    def _outputs(self, i: int) -> Sequence[Any]:
        with self._live.lock:
            return list(self._live.state.outputs.get(i, ()))


_KEYS = (
    "item",
    "args",
    "state",
    "result",
    "error",
    "started",
    "run_s",
    "worker",
    "attempts",
    "cached",
)


def _order(column: Column, descending: bool) -> Column:
    """Give the order of a column's values, what is missing last in both directions."""
    import pandas as pd

    values = pd.Series(column)
    if values.dtype == object:
        values = values.map(lambda v: v if isinstance(v, str) else brief(v) if v is not None else v)
    ranked = values.sort_values(ascending=not descending, kind="stable", na_position="last")
    found: Column = ranked.index.to_numpy()
    return found


def _said(value: Any, characters: int) -> str:
    if characters > _CELL:
        return full(value, characters)
    # A column of words reads better without quotes.
    return (
        cut(" ".join(value.split()), characters)
        if isinstance(value, str)
        else brief(value, characters)
    )


def _number(value: float) -> float | None:
    return None if value != value else value
