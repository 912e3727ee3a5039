"""A thread that does what takes time, one errand after another, from the first one to `close`.

A front end's message may arrive in the very thread whose cell is blocked, and `pump` runs ten times
a second for all displays: neither may wait for the store or for the user's code.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

log = logging.getLogger("nbqueue.notebook")


class Errands:
    """Errands of one widget; those asked for after `close` are not done."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self.thread: threading.Thread | None = None
        """Runs from the first errand on."""

    def later(self, errand: Callable[[], None]) -> None:
        """Have something done soon."""
        with self._lock:
            if self._closed:
                return
            if self.thread is None:
                self.thread = threading.Thread(
                    target=self._run, name="nbqueue-errands", daemon=True
                )
                self.thread.start()
        self._queue.put(errand)

    def close(self) -> None:
        """End the thread once it has done what it was asked so far."""
        with self._lock:
            self._closed = True
        self._queue.put(None)

    def _run(self) -> None:
        while (errand := self._queue.get()) is not None:
            try:
                errand()
            except Exception:
                log.exception("the job widget's thread could not do what it was asked")
