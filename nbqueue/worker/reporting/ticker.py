"""One thread a process that looks in on items that take long.

The executor writes outcomes and gives away its rest by itself between items. While an item runs it
cannot; then the ticker does both, so that a slow item holds back neither the outcomes before it nor
the items behind it. It wakes only while something runs, and for a second afterwards, because waking
a sleeping thread costs a single call more than polling does.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Protocol

log = logging.getLogger("nbqueue.worker")

_POLL_S = 0.05
_LINGER_POLLS = 20


class Ticked(Protocol):
    """Something that wants to be looked in on."""

    due: float
    """When, by time.perf_counter."""

    def tick(self) -> None:
        """Do what is due, and set ``due`` anew."""


class Ticker:
    """Calls ``tick`` of what is watched when it is due."""

    def __init__(self) -> None:
        self._watched: set[Ticked] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._asleep = False
        self._thread: threading.Thread | None = None

    def watch(self, ticked: Ticked, *, soon: bool) -> None:
        """Begin to look in; ``soon`` when it is due before the next poll."""
        with self._lock:
            self._watched.add(ticked)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._loop, name="nbqueue-ticker", daemon=True
                )
                self._thread.start()
            # Order matters: `_asleep` is set under this lock, after a look at `_watched`.
            wake = self._asleep or soon
        if wake:
            self._wake.set()

    def unwatch(self, ticked: Ticked) -> None:
        """Look in no more."""
        with self._lock:
            self._watched.discard(ticked)

    def _loop(self) -> None:
        idle_polls = 0
        while True:
            with self._lock:
                watched = list(self._watched)
                idle_polls = 0 if watched else idle_polls + 1
                self._asleep = idle_polls > _LINGER_POLLS
            if self._asleep:
                self._wake.wait()
                self._wake.clear()
                idle_polls = 0
                continue
            due = min((ticked.due for ticked in watched), default=float("inf"))
            wait_s = min(due - time.perf_counter(), _POLL_S)
            if wait_s > 0 and self._wake.wait(wait_s):
                self._wake.clear()
                continue
            for ticked in watched:
                if time.perf_counter() >= ticked.due:
                    self._tick(ticked)

    def _tick(self, ticked: Ticked) -> None:
        try:
            ticked.tick()
        except Exception:
            # The executor meets the same trouble at its next write, and deals with it there.
            log.warning("could not report on a running item", exc_info=True)
            ticked.due = time.perf_counter() + 1.0
