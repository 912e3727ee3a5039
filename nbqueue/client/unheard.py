"""Queues that no worker consumes: a job that waits in one says so, once, and in its repr.

The follower's thread comes by a few times a second. A job that has waited for a second without an
item begun has its queue looked up: the workers are asked, in a thread of its own, and what they
said holds for a few seconds. A job that begins sooner costs nothing. Of a workflow, each step waits
in its own queue, from when those before it have succeeded.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from nbqueue.client.remote import control
from nbqueue.client.saying import say
from nbqueue.core import states
from nbqueue.core.errors import NbqueueError
from nbqueue.core.fold import JobState
from nbqueue.core.records import Route, Stage

if TYPE_CHECKING:
    from nbqueue.client.client import Client
    from nbqueue.client.live import Live

log = logging.getLogger("nbqueue.client")

_PATIENCE_S = 1.0
"""How long a job waits before anybody is asked. Less: workers are asked for nothing when all are
busy for a moment; more: whoever has mistyped a queue's name waits in vain for longer."""

_RECONNECT_S = 15.0
"""How long workers have after an outage for coming back before anybody is told that they do not."""

_HOLDS_S = 5.0
"""How long an answer holds."""


class Unheard:
    """What one client knows of queues that nobody consumes."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._asked: dict[str, float] = {}
        self._unheard: dict[str, str] = {}
        self._noticed: dict[tuple[str, int], float] = {}
        """When a workflow's step was first seen waiting, by the job and its number."""
        self._thread: threading.Thread | None = None

    def about(self, live: Live) -> str:
        """Say, as far as is known, that no worker consumes a queue that a job waits in."""
        if not self._unheard:
            return ""
        said = (self._known(self._queue(route)) for _, route, _ in waiting(live.state))
        return next(filter(None, said), "")

    def look(self, jobs: Iterable[Live]) -> None:
        """Have the queues looked up of jobs that have waited for too long; returns at once."""
        if self._client.outage.is_recent(_RECONNECT_S):
            return  # the workers are away as well, or about to connect again
        now = time.monotonic()
        queues = self._too_long(jobs)
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

    def _known(self, queue: str) -> str:
        fresh = time.monotonic() - self._asked.get(queue, 0.0) < 2 * _HOLDS_S
        return self._unheard.get(queue, "") if fresh else ""

    def _too_long(self, jobs: Iterable[Live]) -> set[str]:
        """Name the queues in which something has waited for too long."""
        now, before = self._client.now(), self._noticed
        self._noticed = {}
        found = set()
        for live in jobs:
            with live.lock:
                steps = list(waiting(live.state))
            for number, route, since in steps:
                if since is None:
                    key = live.id, number
                    since = self._noticed[key] = before.get(key, now)
                if now - max(since, route.eta or 0.0) > _PATIENCE_S:
                    found.add(self._queue(route))
        return found

    def _queue(self, route: Route) -> str:
        """Name the queue that a route leads to; empty when an exchange decides."""
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


def waiting(state: JobState) -> Iterator[tuple[int, Route, float | None]]:
    """List what of a job waits to be begun: a number, where, and since when if that is known.

    A job that is no workflow is one thing with the number 0.
    """
    spec = state.spec
    if state.name != states.PENDING and not state.stages:
        return
    if spec.after and not state.n_done:  # the jobs that it follows may still be going on
        return
    if not state.stages:
        yield 0, spec.route, state.submitted[-1]
        return
    good = [_all(state, stage, states.SUCCESS_CODE) for stage in state.stages]
    for stage in state.stages:
        ready = stage.kind == "rescues" or all(good[s] for s in stage.after)
        if ready and stage.countdown is None and _all(state, stage, states.PENDING_CODE):
            yield stage.number, stage.spec.route, None


def _all(state: JobState, stage: Stage, code: int) -> bool:
    """Say whether a stage has items, and all of them are in a state."""
    n = stage.stop - stage.start
    return n > 0 and state.states.count(code, stage.start, stage.stop) == n
