"""Queues that no worker consumes: a job that waits in one says so, once, and in its repr.

The follower's thread comes by a few times a second. A job that has waited for a second without an
item begun has its queue looked up: the workers are asked, in a thread of its own, and what they
said holds for a few seconds. A job that begins sooner costs nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from nbqueue.client.remote import control
from nbqueue.client.saying import say
from nbqueue.core import states
from nbqueue.core.errors import NbqueueError

if TYPE_CHECKING:
    from nbqueue.client.client import Client
    from nbqueue.client.live import Live

log = logging.getLogger("nbqueue.client")

_PATIENCE_S = 1.0
"""How long a job waits before anybody is asked. Less: workers are asked for nothing when all are
busy for a moment; more: whoever has mistyped a queue's name waits in vain for longer."""

_HOLDS_S = 5.0
"""How long an answer holds."""


class Unheard:
    """What one client knows of queues that nobody consumes."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._asked: dict[str, float] = {}
        self._unheard: dict[str, str] = {}
        self._thread: threading.Thread | None = None

    def about(self, live: Live) -> str:
        """Say, as far as is known, that no worker consumes the queue of a job that waits."""
        if not self._unheard or live.state.name != states.PENDING:
            return ""
        queue = self._queue(live)
        fresh = time.monotonic() - self._asked.get(queue, 0.0) < 2 * _HOLDS_S
        return self._unheard.get(queue, "") if fresh else ""

    def look(self, jobs: Iterable[Live]) -> None:
        """Have the queues looked up of jobs that have waited for too long; returns at once."""
        now = time.monotonic()
        queues = {self._queue(job) for job in jobs if self._waits(job)}
        queues = {q for q in queues if q and now - self._asked.get(q, -_HOLDS_S) >= _HOLDS_S}
        if queues and (self._thread is None or not self._thread.is_alive()):
            self._asked.update(dict.fromkeys(queues, now))
            self._thread = threading.Thread(
                target=self.ask, args=(queues,), name="nbqueue-queues", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """Wait for a question that is on its way, so that its connection is hung up in order."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(2.0)

    def _found(self, queue: str, listening: set[str]) -> None:
        """Take note of whether a queue is consumed, and say so if it is not; once."""
        with self._lock:
            self._asked[queue] = time.monotonic()
            if queue in listening:
                self._unheard.pop(queue, None)
                return
            said = queue in self._unheard
            self._unheard[queue] = f"no worker consumes queue {queue!r}"
        if not said:
            names = ", ".join(sorted(listening))
            others = f"there are workers on: {names}" if names else "no worker answers at all"
            say(
                f"no worker listens on queue {queue!r}, so the job waits until one does "
                f"(nbqueue worker -Q {queue}, or nq.control.add_consumer({queue!r})); {others}"
            )

    def _waits(self, live: Live) -> bool:
        spec, state = live.state.spec, live.state
        since = max(state.submitted[-1], spec.route.eta or 0.0)
        return (
            state.name == states.PENDING
            and not spec.after
            and not spec.stages
            and self._client.now() - since > _PATIENCE_S
        )

    def _queue(self, live: Live) -> str:
        """Name the queue of a job; empty when an exchange decides."""
        route = live.state.spec.route
        return route.queue or ("" if route.exchange else self._client.default_queue)

    def ask(self, queues: Iterable[str]) -> set[str]:
        """Look up which queues are consumed, say so of those that are not, and give the others.

        Takes as long as the workers take to answer.
        """
        try:
            survey = control.look(self._client)
        except NbqueueError as exc:  # a courtesy: whatever is wrong, the job itself will show
            log.debug("cannot ask which queues are consumed: %s", exc)
            return set()
        listening = {queue for worker in survey.workers for queue in worker.queues}
        # Who has not answered may consume any queue; an embedded cluster's worker may be starting.
        if not survey.silent and (survey.workers or not self._client.embedded):
            for queue in queues:
                self._found(queue, listening)
        return listening
