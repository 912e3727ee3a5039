"""`show_live`: a client where the cell is: its cluster, live while somebody looks at it.

As with a job, the widget does not stay in the notebook: what a saved notebook holds in the end is
plain HTML. A cluster has no end, so its display ends when nobody has seen it for a while, or with
the client. Where there is no front end the cluster is asked once.
"""

from __future__ import annotations

import threading
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

from nbqueue.core.errors import NbqueueError
from nbqueue.notebook import bundles, cluster_picture, life, looks, modes
from nbqueue.notebook.area import Area, Bundle
from nbqueue.notebook.cluster_picture import ClusterPicture
from nbqueue.notebook.display import enter

if TYPE_CHECKING:
    from nbqueue.client.client import Client

UNSEEN_S = 60.0
"""A widget that nobody has seen for this long becomes a plain table. Lower: it goes while somebody
reads two screens further down; higher: more saved notebooks hold a widget."""

_ASKED_S = 4.0
"""How long a cell is held for the cluster's answer, where only what comes in time is recorded."""


def show_live(client: Client) -> bool:
    """Display a client's cluster; ``False`` where that cannot be, and nothing was displayed."""
    mode = modes.mode()
    if client.closed or mode not in ("widget", "html"):
        return False
    enter(WidgetDisplay(client) if mode == "widget" and _widget_class() else PageDisplay(client))
    return True


def _widget_class() -> Any:
    try:
        return import_module("nbqueue.notebook.cluster_widget").ClusterWidget
    except ImportError:  # without widgets there is the page
        return None


class WidgetDisplay:
    """A display with a widget in it, until nobody looks."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._area = Area()
        self._widget: Any = None
        self._shown_at = 0.0
        self._spare_at = 0.0
        """When the page is to be renewed that front ends keep for when the kernel goes."""

    def step(self) -> bool:
        """Bring it up to date; ``False`` when it has become static."""
        now = time.monotonic()
        if self._widget is None:
            self._widget = _widget_class()(self._client)
            self._shown_at = now
            static = self._widget.static_bundle()
            self._area.put(*bundles.with_widget(static, self._widget))
        if self._widget.attended:
            modes.front_end_seen()
        if self._over(now):
            self.leave()
            return False
        if self._widget.attended and now >= self._spare_at:
            self._leave_page(due=False)
            # An empty page is not worth keeping for long.
            self._spare_at = now + (life.spare_s(0.0, 0) if self._widget.known else 0.5)
        return True

    def leave(self) -> None:
        """Become static for good."""
        self._area.put(self._leave_page(due=True))
        if not self._widget.attended:
            self._widget.close()  # else a page that was loaded anew may still show it

    def _leave_page(self, *, due: bool) -> Bundle:
        """Give the page that stays, and let front ends have it."""
        closed = "the client was closed" if self._client.closed else ""
        at = time.strftime("%H:%M:%S")
        note = f"as of {at}; {closed or 'nq.cluster() shows it live'}"
        page: Bundle = self._widget.static_bundle(note)
        self._widget.leave_page(page, self._widget.model_id, due=due)
        return page

    def _over(self, now: float) -> bool:
        widget = self._widget
        if self._client.closed:
            return True
        if not widget.attended:
            return now - self._shown_at > (life.ATTACH_S if modes.front_end_expected() else 0.0)
        return bool(now - max(self._shown_at, widget.seen_at) > UNSEEN_S)


class PageDisplay:
    """A display without a widget: the cluster as it is when it is asked."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._area = Area()
        self._picture = ClusterPicture()
        self._asking = threading.Thread(target=self._ask, name="nbqueue-cluster", daemon=True)

    def step(self) -> bool:
        """Bring it up to date; ``False`` when it is complete."""
        if self._asking.ident is None:
            self._asking.start()
            self._put()
            return True
        # The end of the cell waits for the answer: later nobody would record it.
        held = threading.current_thread() is threading.main_thread()
        self._asking.join(_ASKED_S if held else 0.0)
        if self._asking.is_alive() and not held:
            return True
        self._put()
        return False

    def leave(self) -> None:
        """Stay as it is."""

    def _put(self) -> None:
        self._area.put(bundles.cluster(self._client, self._picture))

    def _ask(self) -> None:
        try:
            look = looks.look(self._client)
            found = cluster_picture.seen(self._picture, look.survey, look.rejections)
        except NbqueueError as exc:
            found = cluster_picture.missed(self._picture, str(exc))
        self._picture = found
