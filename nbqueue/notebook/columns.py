"""A job's items as columns to sort and to search: arguments, results and what was noted of them.

What items were called with does not change, what they returned is read again when more of them have
ended. Reading may unpickle everything there is and ask the store: this runs in a thread for that,
and holds the job's lock only while it copies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from nbqueue.client import expansion, frame
from nbqueue.core import states
from nbqueue.core.columns import NOWHERE
from nbqueue.notebook import conditions, failures
from nbqueue.notebook.brief import brief

if TYPE_CHECKING:
    from nbqueue.client.live import Live

    Column = np.ndarray[Any, np.dtype[Any]]

SEARCHED = 250_000
"""Arguments and results of larger jobs are not searched: a second's work and 100 MB as text."""

FIELDS = 12
"""Most columns that results take."""

_SAMPLE = 20
"""Results that are looked at to see which fields results have. Lower: a field that the first few
lack has no column."""

_CHARACTERS = 120


class Columns:
    """A job's columns; each has as many values as the job has items at that moment."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._parameters: dict[str, Any] | None = None
        self._called: list[str] | None = None
        self._returned: tuple[tuple[int, int], dict[str, Any]] | None = None
        self._told: tuple[tuple[int, int], list[str]] | None = None
        self._fields: tuple[tuple[int, int], tuple[str, ...]] | None = None
        self._own: dict[str, Callable[[], Any]] = {
            "item": lambda: np.arange(live.state.n),
            "state": lambda: _bytes(live.state.states),
            "started": lambda: np.array(live.state.started, dtype=np.float64),
            "run_s": lambda: np.array(live.state.run_s, dtype=np.float64),
            "attempts": lambda: _bytes(live.state.attempts),
            "cached": lambda: _bytes(live.state.cached),
            "worker": self._workers,
            "error": lambda: np.array([text or None for text in self._errors()], dtype=object),
            "result": lambda: frame.results(live.state, live.outcomes),
        }

    # -- what there is -------------------------------------------------------------------------

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of what the results hold, if they are dicts, named tuples or dataclasses."""
        state = self._live.state
        known = min(state.counts[states.SUCCESS_CODE], _SAMPLE), state.current_round
        if self._fields is None or self._fields[0] != known:
            self._fields = known, self._find_fields()
        return self._fields[1]

    def _find_fields(self) -> tuple[str, ...]:
        names: dict[str, None] = {}
        for i in _first(self._live.state.states, states.SUCCESS_CODE, _SAMPLE):
            try:
                value = self._live.value(i)
            except Exception:  # gone from the store, or a class that cannot be loaded here
                return ()
            held = None if value is None else expansion.fields(value)
            if held is None and value is not None:
                return ()
            names.update(dict.fromkeys(held or ()))
        return tuple(names)[:FIELDS]

    def titles(self) -> tuple[str, ...]:
        """Give the fields' names as the DataFrame has them: apart from the parameters'."""
        params = self._live.state.spec.params
        return tuple(f"{name}_result" if name in params else name for name in self.fields)

    # -- what they hold ------------------------------------------------------------------------

    def column(self, key: str) -> Any:
        """Give a column: ``arg:2``, ``field:0`` or one by name; ``None`` without such a one."""
        kind, _, place = key.partition(":")
        if kind == "arg":
            return _at(list(self._arguments().values()), int(place))
        if kind == "field":
            return _at(list(self._results().values()), int(place))
        make = self._own.get(key)
        if make is None:
            return None
        with self._live.lock:
            return make()

    def _arguments(self) -> dict[str, Any]:
        if self._parameters is None:
            self._parameters = frame.parameters(self._live)
        return self._parameters

    def _results(self) -> dict[str, Any]:
        now = self._progress()
        if self._returned is None or self._returned[0] != now:
            values = self.column("result")
            held = [(None if v is None else expansion.fields(v)) or {} for v in values]
            columns = {name: expansion.column([h.get(name) for h in held]) for name in self.fields}
            self._returned = now, columns
        return self._returned[1]

    def _progress(self) -> tuple[int, int]:
        return self._live.state.n_done, self._live.state.current_round

    def _workers(self) -> Column:
        names = np.array([*self._live.state.workers, None], dtype=object)
        at = np.array(self._live.state.worker, dtype=np.uint16).astype(np.int64)
        at[at == NOWHERE] = len(names) - 1
        named: Column = names[at]
        return named

    def _errors(self) -> list[str]:
        state = self._live.state
        found = [""] * state.n
        for code in (states.FAILURE_CODE, states.RETRY_CODE, states.REVOKED_CODE):
            for i in state.where(code) if code != states.REVOKED_CODE or state.reasons else ():
                found[i] = failures.reason(state, i)
        return found

    # -- which items ---------------------------------------------------------------------------

    def matches(self, text: str) -> Column:
        """Say of each item whether it meets the conditions of a text, or contains it."""
        named = self._named()
        asked = conditions.read(text, named)
        if not asked:
            return self._contains(text)
        found = np.ones(self._live.state.n, dtype=np.bool_)
        for condition in asked:
            found &= conditions.holds(condition, self.column(named[condition.name]))
        return found

    def _named(self) -> dict[str, str]:
        """Give the keys of columns by the names that a person may write, in small letters."""
        params = self._live.state.spec.params
        return {
            **{name: name for name in self._own},
            "run": "run_s",
            **{name.casefold(): f"field:{k}" for k, name in enumerate(self.titles())},
            **{name.casefold(): f"arg:{k}" for k, name in enumerate(params)},
        }

    def _contains(self, text: str) -> Column:
        errors, workers = self.column("error"), self.column("worker")
        n = len(errors)
        found = np.zeros(n, dtype=np.bool_)
        if text.isdecimal() and int(text) < n:
            found[int(text)] = True
        here = {name for name in self._live.state.workers if text in name.casefold()}
        if here:
            found |= np.isin(workers.astype(str), list(here))
        for i, error in enumerate(errors):
            if error and text in error.casefold():
                found[i] = True
        if n <= SEARCHED:
            for said in (self._calls(), self._answers()):
                found |= np.fromiter((text in each for each in said), np.bool_, n)
        return found

    def _calls(self) -> list[str]:
        """Give each item's arguments as one text to search in."""
        if self._called is None:
            self._called = _joined(self._arguments().values(), self._live.state.n)
        return self._called

    def _answers(self) -> list[str]:
        """Give each item's result likewise."""
        now = self._progress()
        if self._told is None or self._told[0] != now:
            columns = self._results().values() if self.fields else [self.column("result")]
            self._told = now, _joined(columns, self._live.state.n)
        return self._told[1]


def _joined(columns: Iterable[Any], n: int) -> list[str]:
    texts = [map(_plain, column) for column in columns]
    return [" ".join(cells) for cells in zip(*texts, strict=True)] or [""] * n


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if type(value) in (str, int, float, bool):
        return str(value)[:_CHARACTERS].casefold()
    return brief(value, _CHARACTERS).casefold()


def _at(columns: list[Any], place: int) -> Any:
    return columns[place] if 0 <= place < len(columns) else None


def _first(codes: bytearray, code: int, most: int) -> list[int]:
    found: list[int] = []
    at = codes.find(code)
    while at != -1 and len(found) < most:
        found.append(at)
        at = codes.find(code, at + 1)
    return found


def _bytes(column: bytes | bytearray) -> Column:

    return np.frombuffer(bytes(column), dtype=np.uint8)
