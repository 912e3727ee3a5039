"""What a job's widget is asked for, and what its buttons do.

    {"kind": "rows" …} ──Answers.give──► an answer and its buffers
    {"kind": "cancel"} ──BUTTONS──► cancelling ──► words that say what has come of it

All of it may need the store, and answers the user's own ``repr``: it runs in threads for that,
which the widget has. Nothing here knows the widget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nbqueue.client import cancelling
from nbqueue.client.job import Job
from nbqueue.core import states
from nbqueue.notebook import timeline
from nbqueue.notebook.clipboard import ROWS, tab_separated
from nbqueue.notebook.table import Query, Table

if TYPE_CHECKING:
    from nbqueue.client.live import Live

Answer = tuple[dict[str, Any], list[bytes]]
"""A message and its buffers."""


class Answers:
    """Answers questions about one job."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._table = Table(live)

    def give(self, message: Mapping[str, Any]) -> Answer:
        """Answer a question, whose ``kind`` is one of `KINDS`."""
        return _KINDS[message["kind"]](self, message)

    def _rows(self, message: Mapping[str, Any]) -> Answer:
        return self._table.page(Query.read(message)), []

    def _item(self, message: Mapping[str, Any]) -> Answer:
        i = int(message["item"])
        return (self._table.item(i) if 0 <= i < self._live.state.n else {}), []

    def _lanes(self, _message: Mapping[str, Any]) -> Answer:
        with self._live.lock:
            columns = timeline.copy(self._live.state)
        return timeline.message(columns, self._live.client.now())

    def _copy(self, _message: Mapping[str, Any]) -> Answer:
        table = Job(self._live).to_frame()
        rows = min(len(table), ROWS)
        return {"rows": rows, "of": len(table)}, [tab_separated(table).encode()]


_KINDS: dict[str, Callable[[Answers, Mapping[str, Any]], Answer]] = {
    "rows": Answers._rows,
    "item": Answers._item,
    "lanes": Answers._lanes,
    "copy": Answers._copy,
}

KINDS = frozenset(_KINDS)
"""Questions that `Answers` can answer."""


def _cancel(job: Job) -> str:
    running = job.counts()[states.STARTED]
    count = cancelling.everything(job._live)
    on = "; what runs goes on to its end" if running else ""
    return f"cancelled {_items(count)}{on}" if count else "nothing was left to cancel"


def _retry(job: Job) -> str:
    count = job.counts()[states.FAILURE]
    job.retry()
    return f"retrying {_items(count)}" if count else "no item has failed"


def _items(count: int) -> str:
    return f"{count:,} item{'s' * (count != 1)}"


BUTTONS: dict[str, Callable[[Job], str]] = {"cancel": _cancel, "retry": _retry}
"""What a button does, by its name; each gives what is said of it."""
