"""What stands in an output while a job runs, and after: pages, and widgets that end as pages.

A display holds its job only while it is live, so that a job that nobody holds can go. When items
are retried, the job wakes its displays (`Live.on_reset`). They are stepped by `stage`, one thread
at a time, and ask `life` what to do.
"""

from __future__ import annotations

import time
import weakref
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nbqueue.core import states
from nbqueue.notebook import bundles, life, modes
from nbqueue.notebook.area import Area, Bundle
from nbqueue.notebook.stage import Stage

if TYPE_CHECKING:
    from nbqueue.client.live import Live

_OPEN_VIEWS = 30
"""Views that stay open after their display became static. A page that was closed or loaded anew
cannot be updated any more (it has forgotten the ids of its outputs): when it is opened, the widgets
put their pages there themselves."""

_OPEN_ITEMS = 1_000_000
"""Items of all those views together: each keeps its job in memory. The latest stays in any case."""

_OF_ONE_JOB = 10
"""Displays of one job that a retry makes live again, the latest; a loop may display thousands."""

_retired: deque[tuple[Any, int]] = deque()
"""Views and how many items they show, the oldest first."""


class PageDisplay:
    """HTML of a job that is made anew, at most twice a second, until the job ends."""

    def __init__(self, live: Live, stage: Stage, make: Callable[[Live, str], Bundle]) -> None:
        self._live: Live | None = live
        self._ref = weakref.ref(live)
        self._stage = stage
        self._make = make
        self._area = Area()
        self._next = 0.0
        self._woken = False
        live.on_reset.append(self._begun_again)
        del live.on_reset[:-_OF_ONE_JOB]

    def step(self) -> bool:
        """Bring it up to date; ``False`` when it has become static."""
        if self._woken:
            self._woken, self._live, self._next = False, self._ref(), 0.0
        live = self._live
        if live is not None:
            over = live.finished or live.client.closed  # first: what is shown may only be newer
            self._renew(live, over=over)
        return self._live is not None

    def leave(self) -> None:
        """Become static, for the process ends or this went wrong."""
        live = self._live
        if live is not None:
            self._settle(live)

    def _renew(self, live: Live, *, over: bool) -> None:
        begun = time.monotonic()
        if over:
            self._settle(live)
        elif begun >= self._next:
            page = self._make(live, live.client.outage.text)
            self._area.put(page)
            ended = time.monotonic()
            self._next = ended + life.pause_s(ended - begun, sum(map(len, page.values())))

    def _settle(self, live: Live) -> Bundle:
        self._live = None  # before anything that may fail: a display that fails must not stay live
        page = self._make(live, _note(live))
        self._area.put(page)
        return page

    def _begun_again(self) -> None:
        """Be live again: items were retried.

        Only noted here, in whichever thread reads the log; the next step takes it up. A step that
        is under way may be about to rest.
        """
        self._woken = True
        self._stage.enter(self)


class WidgetDisplay(PageDisplay):
    """A widget, pumped until the job has ended and nobody acts on it any more; then a page."""

    def __init__(
        self,
        live: Live,
        stage: Stage,
        make: Callable[[Live, str], Bundle],
        view: Callable[[Live], Any],
    ) -> None:
        super().__init__(live, stage, make)
        self._make_view = view
        self._view: Any = None
        self._seen = life.Seen(over=False)
        self._spare_over: bool | None = None
        """Whether the page that front ends keep shows a job that is over; ``None`` without one."""

    def _renew(self, live: Live, *, over: bool) -> None:
        now = time.monotonic()
        if self._view is None:
            self._open(live, now, over=over)
        self._view.pump()
        self._seen = self._look(live, now, over=over)
        if life.decide(self._seen, now) is life.Step.SETTLE:
            self._settle(live)
        elif self._view.attended:
            self._spare(live, now, over=over)

    def _open(self, live: Live, now: float, *, over: bool) -> None:
        self._view = self._make_view(live)
        self._seen = life.Seen(over=over, late=over, shown_at=now, over_at=now)
        self._spare_over = None
        self._area.put(*bundles.with_widget(self._make(live, ""), self._view))
        self._spare(live, now, over=over)  # a notebook may be saved as soon as it shows the widget

    def _look(self, live: Live, now: float, *, over: bool) -> life.Seen:
        view = self._view
        if view.attended:
            modes.front_end_seen()
        return life.Seen(
            over=over,
            failed=live.state.counts[states.FAILURE_CODE] > 0,
            attended=view.attended,
            expected=modes.front_end_expected(),
            late=self._seen.late and over,
            shown_at=self._seen.shown_at,
            over_at=self._seen.over_at if over and self._seen.over else now,
            touched_at=view.touched_at,
            closed=live.client.closed,
        )

    def _spare(self, live: Live, now: float, *, over: bool) -> None:
        """Let front ends keep a recent page, for a kernel that goes without a word."""
        if over == self._spare_over and (over or now < self._next):
            return
        page = self._make(live, _note(live))
        self._view.leave_page(page, due=False, over=over)
        ended = time.monotonic()
        self._next = ended + life.spare_s(ended - now, sum(map(len, page.values())))
        self._spare_over = over

    def _settle(self, live: Live) -> Bundle:
        view, self._view = self._view, None
        page = super()._settle(live)
        if view is not None:
            view.leave_page(page, due=True)
            _retire(view, live.state.n)
        return page


def _note(live: Live) -> str:
    """Say why a job that has not ended is not live."""
    if live.state.finished:
        return ""
    if live.finished:
        return "the job is no longer in the store"
    done, n = live.state.n_done, live.state.n
    return (
        f"running when this was last heard of: {done:,} of {n:,} items done at "
        f"{datetime.now().astimezone():%H:%M on %Y-%m-%d}; nq.job({live.name!r}) shows it again"
    )


def _retire(view: Any, n: int) -> None:
    """Close a view that nobody saw; keep the others for a while."""
    if not view.attended:
        view.close()
        return
    _retired.append((view, n))
    while len(_retired) > _OPEN_VIEWS or (
        len(_retired) > 1 and sum(n for _, n in _retired) > _OPEN_ITEMS
    ):
        _retired.popleft()[0].close()
