"""The stage: a thread that keeps what is displayed live, ten times a second.

It knows nothing of jobs: an `Act` is stepped until it rests. While nothing is live the thread
sleeps. At the end of each cell, and of the process, `settle` steps everything in the thread that
asks, so that a notebook that is only recorded (nbclient) gets the last word before the cell ends.
"""

from __future__ import annotations

import atexit
import logging
import threading
from typing import Protocol

log = logging.getLogger("nbqueue.notebook")

TICK_S = 0.1
"""Displays are brought up to date this often: smoother than that nobody sees."""

_EXIT_S = 1.0
"""A step that takes longer than this is not waited for when the process ends."""


class Act(Protocol):
    """Something live on display."""

    def step(self) -> bool:
        """Bring it up to date; ``False`` when it rests and needs no more steps."""

    def leave(self) -> None:
        """Become static for good; the process ends, or a step went wrong."""


class Stage:
    """Steps what is live."""

    def __init__(self) -> None:
        self._acts: dict[Act, int] = {}
        """What is live, and how often it was asked to be: a step that began before the latest time
        does not end it."""
        self._lock = threading.Lock()
        self._stepping = threading.RLock()
        """One thread steps at a time: the order of updates must be that of what they show."""
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None
        atexit.register(self.close)

    def begin(self, act: Act) -> None:
        """Step an act for the first time, in this thread, and from then on until it rests."""
        with self._stepping:  # the thread must not be first: the output is this cell's
            self.enter(act)
            self.step(act)

    def enter(self, act: Act) -> None:
        """Step an act from now on, until it rests."""
        with self._lock:
            self._acts[act] = self._acts.get(act, 0) + 1
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._loop, name="nbqueue-display", daemon=True
                )
                self._thread.start()
        self._wanted.set()

    def settle(self, *_: object) -> None:
        """Step everything now, in this thread."""
        with self._lock:
            acts = list(self._acts)
        for act in acts:
            self.step(act)

    def close(self) -> None:
        """Let everything become static."""
        with self._lock:
            acts, self._acts = list(self._acts), {}
        held = self._stepping.acquire(timeout=_EXIT_S)
        try:
            for act in acts:
                self._leave(act)
        finally:
            if held:
                self._stepping.release()

    @property
    def live(self) -> int:
        """How many acts are stepped."""
        return len(self._acts)

    def _loop(self) -> None:
        while True:
            self._wanted.wait()
            self.settle()
            with self._lock:
                if not self._acts:
                    self._wanted.clear()
            threading.Event().wait(TICK_S)

    def step(self, act: Act) -> None:
        """Step one act now, in this thread; one that fails is logged and leaves."""
        with self._stepping:
            asked = self._acts.get(act)
            if asked is None:
                return  # another thread was quicker
            try:
                rests = not act.step()
            except Exception:
                log.exception("a display could not be brought up to date and is not live any more")
                self._leave(act)
                rests = True
            if rests:
                with self._lock:
                    if self._acts.get(act) == asked:
                        del self._acts[act]

    def _leave(self, act: Act) -> None:
        try:
            act.leave()
        except Exception:
            log.debug("a display could not be made static", exc_info=True)
