"""The job widget: a live picture of one job that can be clicked.

    Live (the fold) ──pump, 10 Hz──► feed (what is new) ──one message──► static/job
    static/job ──a question──► errands' thread ──► answers ──► its answer
    static/job ──a button────► thread of its own ──► Job.cancel, Job.retry

`pump` looks at columns in memory and never at the store, and a front end's message only queues
something: what may take longer happens in other threads.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import anywidget
import ipywidgets
import traitlets

from nbqueue.client.job import Job
from nbqueue.core.outputs import settle
from nbqueue.notebook import esm, summary
from nbqueue.notebook.answers import BUTTONS, KINDS, Answers
from nbqueue.notebook.area import Bundle
from nbqueue.notebook.comms import answer_while_busy
from nbqueue.notebook.errands import Errands
from nbqueue.notebook.failures import Watch
from nbqueue.notebook.feed import Feed, Pace
from nbqueue.notebook.lasting import Lasting

if TYPE_CHECKING:
    from nbqueue.client.live import Live

log = logging.getLogger("nbqueue.notebook")

_LOCK_S = 0.05
"""A pump that does not get the job's lock within this time leaves it to the next one."""

_QUIET_S = 1.0
"""The rate alone is news this often; it changes with every tick."""

_ALIVE_S = 5.0
"""While a job runs, front ends hear of the kernel at least this often, or take it for gone
(`SILENCE` in `static/job/board.js`)."""

_NOT_SHOWN = -1

_AGAIN = "snapshot"
"""The one question that the widget answers itself: all states once more."""

_QUESTIONS = KINDS | {_AGAIN}


class JobWidget(Lasting, anywidget.AnyWidget):
    """Shows a job and acts on it; several views of one widget agree."""

    _esm = esm.module("shared", "job")
    _css = esm.STATIC / "job.css"

    job = traitlets.Dict().tag(sync=True)
    """What does not change, but that a workflow may get more items: ``id name task n params``."""
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
        self._feed = Feed(live.state.n)
        self._pace = Pace()
        self._rate: float | None = None
        self._sending = threading.RLock()
        """Held while news are taken and sent, so that deltas keep their order."""
        self._told: dict[str, Any] = {}
        self._told_at = 0.0
        self._busy = ""
        self._said = ""
        self._answers = Answers(live)
        self._failing = Watch()
        self.errands = Errands()
        """Done in the widget's own thread."""
        self._closed = False
        self.attended = False
        """Whether a front end has ever shown this widget."""
        self.touched_at = -math.inf
        """When somebody last used it, by the monotonic clock."""
        with live.lock:
            self._feed.advance(live.state.states)
        single = live.state.n == 1 and not spec.stages  # then there is nothing to choose
        super().__init__(
            selected=0 if single else _NOT_SHOWN,
            job={
                "id": spec.id,
                "name": spec.name,
                "task": spec.task,
                "n": live.state.n,
                "params": list(spec.params),
            },
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
                told = summary.facts(self._live, self._failing)
            finally:
                self._live.lock.release()
            now = time.monotonic()
            self._rate = self._pace.rate(now, told["done"])
            told |= {"rate": summary.rounded(self._rate), "said": self._said, "busy": self._busy}
            if not news and not self._worth_telling(told, now):
                return
            self._told, self._told_at = told, now
            if told["n"] != self.job["n"]:
                self.job = {**self.job, "n": told["n"]}
            keys = {"summary"}
            if news:
                keys.add("delta" if self._feed.delta else "snapshot")
            self.send_state(keys)

    def _worth_telling(self, told: dict[str, Any], now: float) -> bool:
        if not told["finished"] and now - self._told_at >= _ALIVE_S:
            return True
        if told == self._told:
            return False
        same = {**told, "rate": None} == {**self._told, "rate": None}
        return not same or now - self._told_at >= _QUIET_S

    def _summary(self) -> dict[str, Any]:
        """Give what was told last, with the times of this moment."""
        with self._live.lock:
            told = {
                "said": "",
                "busy": "",
                **(self._told or summary.facts(self._live, self._failing)),
            }
            told["elapsed_s"] = summary.elapsed_s(self._live.state, self._live.client.now())
            told["outage_s"] = self._live.client.outage.lasted_s
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
        elif isinstance(kind, str) and kind in BUTTONS:
            self.touched_at = time.monotonic()
            self._act(kind)
        elif isinstance(kind, str) and kind in _QUESTIONS:
            self.errands.later(lambda: self._answer(message))

    def _act(self, kind: str) -> None:
        """Cancel or retry the job, in a thread of its own: it must not wait behind an errand."""
        if self._busy:
            return
        self._busy = kind

        def act() -> None:
            self.pump()  # says that the click has arrived
            try:
                self._said = BUTTONS[kind](Job(self._live))
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
            if message["kind"] == _AGAIN:
                self._send_again()
            else:
                answer, buffers = self._answers.give(message)
                reply.update(answer)
        except Exception as exc:  # shown in the view that asked
            log.debug("a front end's question was not answered", exc_info=True)
            reply["failed"] = f"{type(exc).__name__}: {exc}"
        if not self._closed:
            self.send(reply, buffers)

    def _send_again(self) -> None:
        with self._sending:
            self.send_state({"snapshot", "summary"})

    def close(self) -> None:
        """End the widget and its thread; its views go."""
        with self._sending:
            if self._closed:
                return
            self._closed = True
            self.errands.close()
            super().close()


class JobView(ipywidgets.VBox):
    """A job's widget, and below it what the chosen item has displayed."""

    def __init__(self, live: Live, *, raises: bool = False) -> None:
        self._live = live
        self._raises = raises and live.state.n == 1
        """The cell shows the error of the single call, too."""
        self.widget = JobWidget(live)
        self.output = ipywidgets.Output(layout={"display": "none"})
        self.output.add_class("nbq-item-output")
        self._shown: tuple[int, int] = (_NOT_SHOWN, 0)
        self._showing = threading.Lock()
        super().__init__([self.widget, self.output])
        self.add_class("nbq-job-view")
        self.widget.observe(lambda _: self.widget.errands.later(self._show_output), "selected")
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

    def leave_page(self, page: Bundle, *, due: bool, over: bool = False) -> None:
        """Have a page take this view's place in the notebook: now, or when the kernel goes.

        One of a job that is ``over`` does so when the notebook is saved, too.
        """
        self.widget.leave_page(page, self.model_id, due=due, over=over)

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
                if self._raises and self._live.state.current_round == 1:
                    shown = [output for output in shown if output["output_type"] != "error"]
                self._shown = (item, len(said))
            with self.output.hold_sync():
                self.output.outputs = tuple(shown)
                self.output.layout.display = None if shown else "none"
