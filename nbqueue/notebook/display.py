"""`show`: a job where the cell is, live until its end, and then as it ended.

    show ──mode──► widget: JobDisplay with a view, pumped ten times a second (`stage`)
                   html:   JobDisplay without, its page replaced at most twice a second
                   text:   a line, once

Each display has one output area with an id of its own, so that it can be updated from any thread
and after its cell has ended. When it ends is `life`'s to decide. Nothing here asks the store: what
is shown is the fold that the follower brings.
"""

from __future__ import annotations

import logging
import secrets
import time
import weakref
from collections import deque
from importlib import import_module
from typing import TYPE_CHECKING, Any

from nbqueue.core import states
from nbqueue.notebook import bundles, life, modes
from nbqueue.notebook.stage import Stage

if TYPE_CHECKING:
    from nbqueue.client.job import Job
    from nbqueue.client.live import Live

log = logging.getLogger("nbqueue.notebook")

stage = Stage()

_OPEN_VIEWS = 8
"""Views that stay open after their display became static. A page that was reloaded cannot be
updated any more (it has forgotten the ids of its outputs) and goes on showing the widget."""

_retired: deque[Any] = deque()


def show(job: Job) -> None:
    """Display a job where the running cell's output goes; plain Python shows nothing."""
    if not show_live(job) and modes.mode() == "text":
        Area().put({"text/plain": repr(job)})


def show_live(job: Job) -> bool:
    """Display a job live; ``False`` where that cannot be, and nothing was displayed."""
    mode = modes.mode()
    if mode not in ("widget", "html"):
        return False
    enter(JobDisplay(job._live, widget=mode == "widget" and _view_class() is not None))
    return True


def _view_class() -> Any:
    try:
        return import_module("nbqueue.notebook.job_widget").JobView
    except ImportError:  # without widgets the HTML is live as well
        return None


def enter(display: Any) -> None:
    """Display something for the first time, and keep it live from then on."""
    _attend_to_cells()
    display.step()
    stage.enter(display)


class Area:
    """A place in a cell's output that can be written again, from any thread."""

    def __init__(self) -> None:
        self._id = secrets.token_hex(8)
        self._shown = False

    def put(self, data: bundles.Bundle, metadata: bundles.Bundle | None = None) -> None:
        """Display something there, in the place of what was there before."""
        from IPython.display import publish_display_data

        publish_display_data(  # type: ignore[no-untyped-call]
            data, metadata, transient={"display_id": self._id}, update=self._shown
        )
        self._shown = True


class JobDisplay:
    """One display of a job."""

    def __init__(self, live: Live, *, widget: bool) -> None:
        self._live: Live | None = live
        """Held only while the display is live: a job that nobody holds can go."""
        self._ref = weakref.ref(live)
        self._area = Area()
        self._widget = widget
        self._view: Any = None
        self._seen = life.Seen(over=False)
        self._page: bundles.Bundle | None = None
        self._next = 0.0
        live.on_reset.append(self._begun_again)

    def step(self) -> bool:
        """Bring it up to date; ``False`` when it has become static."""
        live = self._live
        if live is None:
            return False
        over = live.finished or live.client.closed  # asked first: what is shown may only be newer
        if self._widget:
            self._step_widget(live, over=over)
        else:
            self._step_html(live, over=over)
        return self._live is not None

    def leave(self) -> None:
        """Become static for good."""
        live = self._live
        if live is not None:
            self._settle(live)

    # -- widget --------------------------------------------------------------------------------

    def _step_widget(self, live: Live, *, over: bool) -> None:
        now = time.monotonic()
        if self._view is None:
            self._open(live, now, over=over)
        self._view.pump()
        self._seen = self._look(live, now, over=over)
        if life.decide(self._seen, now) is life.Step.SETTLE:
            self._settle(live)

    def _open(self, live: Live, now: float, *, over: bool) -> None:
        self._view = _view_class()(live)
        self._seen = life.Seen(over=over, shown_at=now, over_at=now)
        self._area.put(*bundles.with_widget(bundles.job(live), self._view))

    def _look(self, live: Live, now: float, *, over: bool) -> life.Seen:
        widget = self._view.widget
        if widget.attended:
            modes.front_end_seen()
        counts = live.state.counts
        return life.Seen(
            over=over,
            failed=bool(counts[states.FAILURE_CODE]),
            attended=widget.attended,
            expected=modes.front_end_expected(),
            shown_at=self._seen.shown_at,
            over_at=self._seen.over_at if over and self._seen.over else now,
            touched_at=widget.touched_at,
            closed=live.client.closed,
        )

    # -- html ----------------------------------------------------------------------------------

    def _step_html(self, live: Live, *, over: bool) -> None:
        begun = time.monotonic()
        if over:
            self._settle(live)
        elif begun >= self._next:
            size = self._put(bundles.job(live))
            cost_s = time.monotonic() - begun
            self._next = begun + cost_s + life.pause_s(cost_s, size)

    # -- the end, and after it -----------------------------------------------------------------

    def _settle(self, live: Live) -> None:
        self._put(bundles.job(live, _note(live)))
        self._page = None
        self._live = None
        view, self._view = self._view, None
        if view is not None:
            _retire(view)

    def _put(self, page: bundles.Bundle) -> int:
        """Show a page, if it is not what is shown; give its size."""
        if page != self._page or self._view is not None:
            self._area.put(page)
            self._page = page
        return sum(map(len, page.values()))

    def _begun_again(self) -> None:
        """Be live again: items were retried."""
        self._live = self._ref()
        self._next = 0.0
        stage.enter(self)


def _note(live: Live) -> str:
    if live.state.finished:
        return ""
    if live.client.closed:
        return f"the client was closed; the job goes on, and nq.job({live.name!r}) shows it again"
    return f"as it was when this was last heard of it; nq.job({live.name!r}) shows it again"


def _retire(view: Any) -> None:
    """Keep a view open for a while, and close the oldest."""
    _retired.append(view)
    if not view.widget.attended or len(_retired) > _OPEN_VIEWS:
        closing = _retired.pop() if not view.widget.attended else _retired.popleft()
        closing.close()


_attended: weakref.WeakSet[Any] = weakref.WeakSet()


def _attend_to_cells() -> None:
    """Have displays settle at the end of each cell: what only records a notebook looks then."""
    shell = modes.shell()
    if shell not in _attended:
        _attended.add(shell)
        shell.events.register("post_run_cell", stage.settle)
