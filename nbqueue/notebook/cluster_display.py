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


class _Asked:
    """One look at a cluster, in a thread of its own."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.picture = ClusterPicture()
        self._thread = threading.Thread(target=self._ask, name="nbqueue-cluster", daemon=True)

    @property
    def begun(self) -> bool:
        """Whether it was asked for."""
        return self._thread.ident is not None

    def begin(self) -> None:
        """Ask for it, once."""
        if not self.begun:
            self._thread.start()

    def answered(self, wait_s: float = 0.0) -> bool:
        """Say whether it is over, for better or worse; wait for that so long at most."""
        self._thread.join(wait_s)
        return not self._thread.is_alive()

    def _ask(self) -> None:
        try:
            look = looks.look(self._client)
            found = cluster_picture.seen(self.picture, look.survey, look.rejections)
        except NbqueueError as exc:
            found = cluster_picture.missed(self.picture, str(exc))
        self.picture = found


class WidgetDisplay:
    """A display with a widget in it, until nobody looks."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._area = Area()
        self._widget: Any = None
        self._asked = _Asked(client)
        """For the page that stays when nobody has ever looked."""
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
        if self._over(now) and self._has_seen():
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
        page: Bundle = (
            self._widget.static_bundle(note)
            if self._widget.known
            else bundles.cluster(self._client, self._asked.picture, note)
        )
        self._widget.leave_page(page, self._widget.model_id, due=due)
        return page

    def _over(self, now: float) -> bool:
        if self._client.closed:
            return True
        # A view may be long in coming: a browser loads the widgets' code when the first is shown.
        looked_for = self._widget.attended or modes.front_end_expected()
        unseen_s = now - max(self._shown_at, self._widget.seen_at)
        return bool(unseen_s > (UNSEEN_S if looked_for else 0.0))

    def _has_seen(self) -> bool:
        """Say whether there is something to leave; if not, see to it."""
        if self._widget.known or self._client.closed:
            return True
        self._asked.begin()
        return self._asked.answered()


class PageDisplay:
    """A display without a widget: the cluster as it is when it is asked."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._area = Area()
        self._asked = _Asked(client)

    def step(self) -> bool:
        """Bring it up to date; ``False`` when it is complete."""
        if not self._asked.begun:
            self._asked.begin()
            self._put()
            return True
        # The end of the cell waits for the answer: later nobody would record it.
        held = threading.current_thread() is threading.main_thread()
        if not self._asked.answered(_ASKED_S if held else 0.0) and not held:
            return True
        self._put()
        return False

    def leave(self) -> None:
        """Stay as it is."""

    def _put(self) -> None:
        self._area.put(bundles.cluster(self._client, self._asked.picture))
