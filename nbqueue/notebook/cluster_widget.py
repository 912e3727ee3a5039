"""The cluster widget: workers, what they run, queues; and buttons to grow, shrink and stop.

    static/cluster ──"I am shown", once; "I am visible", every few seconds──► the looking thread
    the looking thread ──looks.look, every 2 s──► cluster_picture ──one message──► static/cluster
    static/cluster ──a button──► a thread of its own ──► control.resize, control.stop

Nobody is asked while nobody looks: a view says that it can be seen, again and again, and when that
ends (scrolled away, tab in the background, page closed) the thread ends too. Whatever may wait for
a broker happens in a thread; a front end's message only starts one.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from nbqueue.client.remote import control
from nbqueue.core.errors import BrokerUnreachable, NbqueueError
from nbqueue.notebook import bundles, cluster_picture, esm, looks
from nbqueue.notebook.cluster_picture import ClusterPicture, as_message
from nbqueue.notebook.comms import answer_while_busy
from nbqueue.notebook.lasting import Lasting
from nbqueue.store.connection.patience import in_brief

if TYPE_CHECKING:
    from nbqueue.client.client import Client

log = logging.getLogger("nbqueue.notebook")

SEEN_S = 12.0
"""A view that was last heard of longer ago is not visible. More than twice the interval at which
`static/cluster` speaks up."""


class ClusterWidget(Lasting, anywidget.AnyWidget):
    """Shows a client's cluster and acts on it; several views of one widget agree."""

    _esm = esm.module("shared", "cluster")
    _css = esm.STATIC / "cluster.css"

    cluster = traitlets.Dict().tag(sync=True)
    """What does not change: ``title``, ``embedded``."""
    # Made at the moment when it is sent, also when a page that was loaded anew asks for it.
    picture = traitlets.Dict().tag(sync=True, to_json=lambda _, self: self._message())

    def __init__(self, client: Client) -> None:
        self._client = client
        self._picture = ClusterPicture()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._now = threading.Event()
        """Set to have the next look at once."""
        self._said = ""
        self._failed = False
        self._busy = ""
        self._closed = False
        self.attended = False
        """Whether a front end has ever shown this widget."""
        self.seen_at = -math.inf
        """When a view was last visible, by the monotonic clock."""
        self.touched_at = -math.inf
        """When somebody last used it."""
        super().__init__(cluster={"title": bundles.title(client), "embedded": client.embedded})
        self.on_msg(self._heard)
        answer_while_busy(self)

    @property
    def known(self) -> bool:
        """Whether anything was seen of the cluster yet."""
        return self._picture.at is not None

    def pump(self) -> None:
        """Do nothing: the looking thread sends when there is something to send."""

    def static_bundle(self, note: str = "") -> dict[str, Any]:
        """Give what was last seen, as forms that need no kernel."""
        return bundles.cluster(self._client, self._picture, note)

    def close(self) -> None:
        """End the widget; its views go."""
        self._closed = True
        self._now.set()
        super().close()

    # -- in ------------------------------------------------------------------------------------

    def _heard(self, _widget: Any, message: Any, _buffers: Any) -> None:
        """Take a front end's message; whatever it means is done by a thread."""
        if not isinstance(message, Mapping) or self._closed:
            return
        self.attended = True
        if message.get("kind") == "shown":
            return
        self.seen_at = time.monotonic()
        if message.get("kind") in _DOES:
            self.touched_at = time.monotonic()
            self._act(_DOES[message["kind"]], message)
        self._look_on()

    def _act(self, does: Callable[..., str], message: Mapping[str, Any]) -> None:
        worker = str(message.get("worker"))
        with self._lock:
            if self._busy:
                return
            self._busy = worker

        def act() -> None:
            try:
                self._said, self._failed = does(self, worker, message), False
            except Exception as exc:  # shown where the button is; nobody else is there to see it
                self._said, self._failed = str(exc) or type(exc).__name__, True
            finally:
                self._busy = ""
            self._tell()
            self._now.set()

        threading.Thread(target=act, name="nbqueue-control", daemon=True).start()

    def _resize(self, worker: str, message: Mapping[str, Any]) -> str:
        n = int(message["processes"])
        control.resize(self._client, worker, n)
        return f"{worker}: {n:,} process{'es' * (n != 1)} from now on"

    def _stop(self, worker: str, _message: Mapping[str, Any]) -> str:
        control.stop(self._client, [worker])
        with self._lock:
            self._picture = cluster_picture.told_to_stop(self._picture, worker)
        return f"{worker} ends as soon as it has finished what it runs"

    # -- out -----------------------------------------------------------------------------------

    def _look_on(self) -> None:
        """See that somebody looks at the cluster from time to time."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._looking, name="nbqueue-cluster", daemon=True
                )
                self._thread.start()

    def _looking(self) -> None:
        while self._go_on():
            begun = time.monotonic()
            acted = self._now.is_set()
            self._now.clear()
            self._look(new=acted)
            self._tell()
            self._now.wait(max(0.1, looks.PACE_S - (time.monotonic() - begun)))

    def _go_on(self) -> bool:
        with self._lock:
            visible = time.monotonic() - self.seen_at < SEEN_S
            if self._closed or self._client.closed or not visible:
                self._thread = None
                return False
            return True

    def _look(self, *, new: bool) -> None:
        try:
            found = looks.look(self._client, new=new)
        except NbqueueError as exc:
            away = in_brief(exc) if isinstance(exc, BrokerUnreachable) else ""
            with self._lock:
                self._picture = cluster_picture.missed(
                    self._picture, str(exc), time.monotonic(), away=away
                )
        except Exception as exc:  # each broker has errors of its own; the next look may succeed
            log.debug("could not look at the cluster", exc_info=True)
            with self._lock:
                self._picture = cluster_picture.missed(
                    self._picture, f"the cluster could not be asked: {type(exc).__name__}: {exc}"
                )
        else:
            with self._lock:
                self._picture = cluster_picture.seen(
                    self._picture, found.survey, found.rejections, alone=self._client.embedded
                )

    def _tell(self) -> None:
        if not self._closed:
            self.send_state({"picture"})

    def _message(self) -> dict[str, Any]:
        return {
            **as_message(self._picture, time.monotonic(), time.time()),
            "closed": self._client.closed,
            "said": self._said,
            "failed": self._failed,
            "busy": self._busy,
        }


_DOES = {"resize": ClusterWidget._resize, "stop": ClusterWidget._stop}
