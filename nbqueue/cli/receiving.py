"""The receiver of events for ``nbqueue events``: Ctrl-C ends it at once, and always.

Celery's screen, dump and camera end on the KeyboardInterrupt of a SIGINT, then tell the broker that
they listen no more and wait for its answer. On RabbitMQ the interrupt may fall into the reading of
an event: half of it is dropped, what comes after is no answer that anybody understands, and the
wait has no end. Here the interrupt is raised between two events, where nothing is half read, which
is a second later at most. A second one, while they hang up, is raised where it falls.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

from celery.app.events import Events as CelerysEvents
from celery.events.receiver import EventReceiver


class Events(CelerysEvents):
    """``app.events`` with this receiver; the app names it in ``events_cls``."""

    receiver_cls = f"{__name__}:Receiver"


class Receiver(EventReceiver):
    """Receives events until it is interrupted. For the main thread."""

    _interrupted = False
    _before: Any = None

    def capture(self, *args: Any, **kwargs: Any) -> None:
        """Receive events; it ends by the KeyboardInterrupt of a SIGINT."""
        self._interrupted = False
        self._before = signal.getsignal(signal.SIGINT)
        if self._before != signal.SIG_IGN:  # a shell has it ignored in what runs in the background
            signal.signal(signal.SIGINT, self._note)
        try:
            super().capture(*args, **kwargs)
        finally:
            signal.signal(signal.SIGINT, self._before)

    def on_iteration(self) -> None:
        """Do what the signal asks for: kombu calls this before it waits for the next event."""
        if self._interrupted:
            raise KeyboardInterrupt

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self._interrupted = True
        signal.signal(signal.SIGINT, self._before)
