"""The job widget: a live picture of one job that can be clicked.

    Live (the fold) ──pump, 10 Hz──► feed (what is new) ──one message──► static/job.js
    static/job.js ──a question──► errand thread ──table, timeline, clipboard──► its answer
    static/job.js ──a button────► thread of its own ──► Job.cancel, Job.retry

`pump` looks at columns in memory and never at the store. What a front end asks for (rows, a
timeline, one item) may need the store and the user's own ``repr``; that happens in a thread that
does such errands one after another. A front end's message only queues something, because it may
arrive in the very thread whose cell is blocked.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import ipywidgets
import traitlets

from nbqueue.client.job import Job
from nbqueue.core import states
from nbqueue.core.outputs import settle
from nbqueue.notebook import summary, timeline
from nbqueue.notebook.area import Bundle
from nbqueue.notebook.clipboard import ROWS, tab_separated
from nbqueue.notebook.comms import answer_while_busy
from nbqueue.notebook.feed import Feed, Pace
from nbqueue.notebook.lasting import Lasting
from nbqueue.notebook.table import Query, Table

if TYPE_CHECKING:
    from nbqueue.client.live import Live

log = logging.getLogger("nbqueue.notebook")

_STATIC = Path(__file__).parent / "static"

_LOCK_S = 0.05
"""A pump that does not get the job's lock within this time leaves it to the next one."""

_QUIET_S = 1.0
"""The rate alone is news this often; it changes with every tick."""

_NOT_SHOWN = -1


class JobWidget(Lasting, anywidget.AnyWidget):
    """Shows a job and acts on it; several views of one widget agree."""

    _esm = _STATIC / "job.js"
    _css = _STATIC / "job.css"

    job = traitlets.Dict().tag(sync=True)
    """What does not change: ``id name n params states``."""
    selected = traitlets.Int(_NOT_SHOWN).tag(sync=True)
    """The chosen item; -1 when none is."""
    # The values of these are made at the moment when they are sent, also when a page that was
    # loaded anew asks for all of them: then it gets what is so now, not what was so at first.
    snapshot = traitlets.Bytes().tag(sync=True, to_json=lambda _, self: self._feed.snapshot())
    delta = traitlets.Bytes().tag(sync=True, to_json=lambda _, self: self._feed.delta)
    summary = traitlets.Dict().tag(sync=True, to_json=lambda _, self: self._summary())

    def __init__(self, live: Live) -> None:
        spec = live.state.spec
        self._live = live
        self._feed = Feed(spec.n)
        self._pace = Pace()
        self._rate: float | None = None
        self._sending = threading.RLock()
        """Held while news are taken and sent, so that deltas keep their order."""
        self._told: dict[str, Any] = {}
        self._told_at = 0.0
        self._busy = ""
        self._said = ""
        self._table = Table(live)
        self._errands: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._runner: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = False
        self.attended = False
        """Whether a front end has ever shown this widget."""
        self.touched_at = -math.inf
        """When somebody last used it, by the monotonic clock."""
        with live.lock:
            self._feed.advance(live.state.states)
        super().__init__(
            job={
                "id": spec.id,
                "name": spec.name,
                "task": spec.task,
                "n": spec.n,
                "params": list(spec.params),
            }
        )
        self.on_msg(self._heard)
        answer_while_busy(self)

    # -- out -----------------------------------------------------------------------------------

    def pump(self) -> None:
        """Tell the front ends what is new, in one message; nothing when nothing is."""
        with self._sending:
            if self._closed or not self._live.lock.acquire(timeout=_LOCK_S):
                return
            try:
                news = self._feed.advance(self._live.state.states)
                told = summary.facts(self._live)
            finally:
                self._live.lock.release()
            now = time.monotonic()
            self._rate = self._pace.rate(now, told["done"])
            told |= {"rate": summary.rounded(self._rate), "said": self._said, "busy": self._busy}
            if not news and not self._worth_telling(told, now):
                return
            self._told, self._told_at = told, now
            keys = {"summary"}
            if news:
                keys.add("delta" if self._feed.delta else "snapshot")
            self.send_state(keys)

    def _worth_telling(self, told: dict[str, Any], now: float) -> bool:
        if told == self._told:
            return False
        same = {**told, "rate": None} == {**self._told, "rate": None}
        return not same or now - self._told_at >= _QUIET_S

    def _summary(self) -> dict[str, Any]:
        """Give what was told last, with the times of this moment."""
        with self._live.lock:
            told = {"said": "", "busy": "", **(self._told or summary.facts(self._live))}
            told["elapsed_s"] = summary.elapsed_s(self._live.state, self._live.client.now())
        rate = self._rate
        told["rate"] = summary.rounded(rate)
        left = self._live.state.n - told["done"]
        told["eta_s"] = summary.rounded(left / rate) if rate and left else None
        return told

    # -- in ------------------------------------------------------------------------------------

    def _heard(self, _widget: Any, message: Any, _buffers: Any) -> None:
        """Take a front end's message: note it, and leave the work to a thread."""
        if not isinstance(message, Mapping) or self._closed:
            return
        self.attended = True
        kind = message.get("kind")
        if kind == "touch":
            self.touched_at = time.monotonic()
        elif kind in ("cancel", "retry"):
            self.touched_at = time.monotonic()
            self._act(kind)
        elif isinstance(kind, str) and kind in _ANSWERS:
            self._later(lambda: self._answer(message))

    def _act(self, kind: str) -> None:
        """Cancel or retry the job, in a thread of its own: it must not wait behind an errand."""
        if self._busy:
            return
        self._busy = kind

        def act() -> None:
            self.pump()  # says that the click has arrived
            try:
                self._said = _DOES[kind](Job(self._live))
            except Exception as exc:  # shown where the button is; nobody else is there to see it
                self._said = f"{kind} failed: {exc}"
            finally:
                self._busy = ""
            self.pump()

        threading.Thread(target=act, name=f"nbqueue-{kind}", daemon=True).start()

    def _answer(self, message: Mapping[str, Any]) -> None:
        """Answer a question; its ``ask`` comes back with the answer, since other views hear it."""
        reply = {"kind": message["kind"], "ask": message.get("ask")}
        buffers: list[bytes] = []
        try:
            answer, buffers = _ANSWERS[message["kind"]](self, message)
            reply.update(answer)
        except Exception as exc:  # shown in the view that asked
            log.debug("a front end's question was not answered", exc_info=True)
            reply["failed"] = f"{type(exc).__name__}: {exc}"
        if not self._closed:
            self.send(reply, buffers)

    def _rows(self, message: Mapping[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        return self._table.page(Query.read(message)), []

    def _item(self, message: Mapping[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        i = int(message["item"])
        return (self._table.item(i) if 0 <= i < self._live.state.n else {}), []

    def _lanes(self, _message: Mapping[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        with self._live.lock:
            columns = timeline.copy(self._live.state)
        head, buffers = timeline.message(columns, self._live.client.now())
        # `kind` is the answer's own name.
        head["form"] = head.pop("kind")
        return head, buffers

    def _copy(self, _message: Mapping[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        table = Job(self._live).to_frame()
        rows = min(len(table), ROWS)
        return {"rows": rows, "of": len(table)}, [tab_separated(table).encode()]

    def _again(self, _message: Mapping[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        with self._sending:
            self.send_state({"snapshot", "summary"})
        return {}, []

    # -- the errand thread ---------------------------------------------------------------------

    def _later(self, errand: Callable[[], None]) -> None:
        """Have something done soon, in the thread for what takes time."""
        with self._starting:
            if self._closed:
                return
            if self._runner is None:
                self._runner = threading.Thread(
                    target=self._run_errands, name="nbqueue-errands", daemon=True
                )
                self._runner.start()
        self._errands.put(errand)

    def _run_errands(self) -> None:
        while (errand := self._errands.get()) is not None:
            try:
                errand()
            except Exception:
                log.exception("the job widget's thread could not do what it was asked")

    def close(self) -> None:
        """End the widget and its thread; its views go."""
        with self._starting:
            if self._closed:
                return
            self._closed = True
        self._errands.put(None)
        with self._sending:
            super().close()


_ANSWERS: dict[
    str, Callable[[JobWidget, Mapping[str, Any]], tuple[dict[str, Any], list[bytes]]]
] = {
    "rows": JobWidget._rows,
    "item": JobWidget._item,
    "lanes": JobWidget._lanes,
    "copy": JobWidget._copy,
    "snapshot": JobWidget._again,
}


def _cancel(job: Job) -> str:
    count = job.cancel()
    return (
        f"cancelled {count:,} item{'s' * (count != 1)}" if count else "nothing was left to cancel"
    )


def _retry(job: Job) -> str:
    count = job.counts()[states.FAILURE]
    job.retry()
    return f"retrying {_items(count)}" if count else "no item has failed"


def _items(count: int) -> str:
    return f"{count:,} item{'s' * (count != 1)}"


_DOES = {"cancel": _cancel, "retry": _retry}


class JobView(ipywidgets.VBox):
    """A job's widget, and below it what the chosen item has displayed."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self.widget = JobWidget(live)
        self.output = ipywidgets.Output(layout={"display": "none"})
        self.output.add_class("nbq-item-output")
        self._shown: tuple[int, int] = (_NOT_SHOWN, 0)
        self._showing = threading.Lock()
        super().__init__([self.widget, self.output])
        self.add_class("nbq-job-view")
        self.widget.observe(lambda _: self.widget._later(self._show_output), "selected")
        answer_while_busy(self)
        answer_while_busy(self.output)

    @property
    def attended(self) -> bool:
        """Whether a front end has ever shown this view."""
        return self.widget.attended

    @property
    def touched_at(self) -> float:
        """When somebody last used it, by the monotonic clock."""
        return self.widget.touched_at

    def pump(self) -> None:
        """Tell the front ends what is new."""
        self.widget.pump()
        self._show_output()

    def leave_page(self, page: Bundle, *, due: bool) -> None:
        """Have a page take this view's place in the notebook: now, or when the kernel goes."""
        self.widget.leave_page(page, self.model_id, due=due)

    def close(self) -> None:
        """End the view and what it consists of."""
        for part in (self.widget, self.output):
            part.close()
        super().close()

    def _show_output(self) -> None:
        """Have the output below show what the chosen item has displayed so far."""
        item = self.widget.selected
        with self._showing:
            with self._live.lock:
                said = self._live.state.outputs.get(item, ())
                if (item, len(said)) == self._shown:
                    return
                shown = settle(record.output for record in said)
                self._shown = (item, len(said))
            with self.output.hold_sync():
                self.output.outputs = tuple(shown)
                self.output.layout.display = None if shown else "none"
