"""The table of a job's items: which rows, in which order, and what their cells say.

Sorting and filtering work on columns of the whole job; only the rows that are looked at become
text. Arguments and results may come from the store, so everything here runs in a thread that
answers a front end's request, never in one that paints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from nbqueue.client import frame
from nbqueue.core import states
from nbqueue.core.fold import NOWHERE
from nbqueue.notebook.brief import brief, cut, full

if TYPE_CHECKING:
    from nbqueue.client.live import Live

    Column = np.ndarray[Any, np.dtype[Any]]

_ROWS = 500
"""Most rows of one answer; a front end shows some tens at a time."""

_SEARCHED = 250_000
"""Arguments of larger jobs are not searched: a second's work and 100 MB to make them text."""

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
    """``item state result error started run_s worker attempts``, or ``arg:`` and a number."""
    descending: bool = False
    text: str = ""
    """What items must contain: in their number, arguments, error or worker, in any case."""
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
        self._parameters: list[Column] | None = None
        self._searchable: list[str] | None = None
        self._sorts: dict[str, Callable[[], Column]] = {
            "state": lambda: _bytes(live.state.states),
            "started": lambda: np.array(live.state.started, dtype=np.float64),
            "run_s": lambda: np.array(live.state.run_s, dtype=np.float64),
            "attempts": lambda: _bytes(live.state.attempts),
            "worker": self._workers,
            "error": lambda: np.array([text or None for text in self._errors()], dtype=object),
            "result": lambda: frame.results(live.state, live.outcomes),
        }

    def page(self, query: Query) -> dict[str, Any]:
        """Give the rows that a query asks for, and how many there are with its filter."""
        live = self._live
        with live.lock:
            found = self._found(query)
        shown = found[query.first : query.first + query.count].tolist()
        return {
            "total": len(found),
            "first": query.first,
            "rows": [self._row(i) for i in shown],
            "whole": not query.text or live.state.n <= _SEARCHED,
        }

    def item(self, i: int) -> dict[str, Any]:
        """Give everything there is to say of one item."""
        state = self._live.state
        said = any(record.output.get("output_type") == "error" for record in self._outputs(i))
        error = state.error(i)
        return {
            **dict(zip(_KEYS, self._row(i, whole=True), strict=True)),
            "params": list(state.spec.params),
            # What the item has displayed ends in its traceback already.
            "traceback": "" if error is None or said else cut(error.traceback, _TRACEBACK),
            "memory_mb": _number(state.memory_mb[i]),
        }

    # -- which rows ----------------------------------------------------------------------------

    def _found(self, query: Query) -> Column:
        n = self._live.state.n
        items: Column = np.arange(n)
        if query.states:
            items = items[np.isin(_bytes(self._live.state.states), query.states)]
        if query.text:
            items = items[self._matches(query.text)[items]]
        if query.sort == "item":
            return items[::-1] if query.descending else items
        column = self._sort_column(query.sort)
        return items if column is None else items[_order(column[items], query.descending)]

    def _sort_column(self, name: str) -> Column | None:
        if name.startswith("arg:"):
            place = int(name[4:])
            parameters = self._argument_columns()
            return parameters[place] if place < len(parameters) else None
        make = self._sorts.get(name)
        return None if make is None else make()

    def _argument_columns(self) -> list[Column]:
        if self._parameters is None:  # what items were called with does not change
            self._parameters = list(frame.parameters(self._live).values())
        return self._parameters

    def _matches(self, text: str) -> Column:
        n = self._live.state.n
        found = np.zeros(n, dtype=np.bool_)
        if text.isdecimal() and int(text) < n:
            found[int(text)] = True
        workers = [text in name.casefold() for name in self._live.state.workers]
        if any(workers):
            at = np.array(self._live.state.worker, dtype=np.uint16)
            known = at != NOWHERE
            found[known] |= np.array(workers)[at[known]]
        for i, error in enumerate(self._errors()):
            if error and text in error.casefold():
                found[i] = True
        if n <= _SEARCHED:
            found |= np.fromiter((text in said for said in self._arguments()), np.bool_, n)
        return found

    def _arguments(self) -> list[str]:
        """Give each item's arguments as one text to search in."""
        if self._searchable is None:
            texts = [map(_plain, column) for column in self._argument_columns()]
            n = self._live.state.n
            self._searchable = [" ".join(cells) for cells in zip(*texts)] or [""] * n  # noqa: B905
        return self._searchable

    def _errors(self) -> list[str]:
        state = self._live.state
        found = [""] * state.n
        for i in state.where(states.FAILURE_CODE):
            found[i] = _error(state, i)
        return found

    def _workers(self) -> Column:
        names = np.array([*self._live.state.workers, None], dtype=object)
        at = np.array(self._live.state.worker, dtype=np.uint16).astype(np.int64)
        at[at == NOWHERE] = len(names) - 1
        named: Column = names[at]
        return named

    # -- what they say -------------------------------------------------------------------------

    def _row(self, i: int, *, whole: bool = False) -> list[Any]:
        state = self._live.state
        code, worker = state.states[i], state.worker[i]
        room = _WHOLE if whole else _CELL
        failed = code == states.FAILURE_CODE
        return [
            i,
            self._call(i, room),
            code,
            self._result(i, room) if code == states.SUCCESS_CODE else "",
            cut(_error(state, i), max(room, _ERROR)) if failed else "",
            _number(state.started[i]),
            _number(state.run_s[i]),
            "" if worker == NOWHERE else state.workers[worker],
            state.attempts[i],
        ]

    def _call(self, i: int, characters: int) -> list[str]:
        """Give what an item was called with, a text a parameter."""
        params = self._live.state.spec.params
        size = self._live.state.spec.block or 1
        try:
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

    def _result(self, i: int, characters: int) -> str:
        try:
            return _said(self._live.value(i), characters)
        except Exception as exc:  # as for arguments
            return f"({type(exc).__name__}: {cut(str(exc), characters)})"

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


def _error(state: Any, i: int) -> str:
    return "BadSignature" if i in state.rejections else str(state.error(i) or "")


def _said(value: Any, characters: int) -> str:
    return brief(value, characters) if characters <= _CELL else full(value, characters)


def _plain(value: Any) -> str:
    if type(value) in (str, int, float, bool):
        return str(value)[:_CELL].casefold()
    return brief(value, _CELL).casefold()


def _bytes(column: bytes | bytearray) -> Column:
    return np.frombuffer(bytes(column), dtype=np.uint8)


def _number(value: float) -> float | None:
    return None if value != value else value
