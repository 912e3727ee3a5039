"""A thread in a worker's main process that says what the worker is at, on a broker without leases.

For whoever gets a message again that is still being run here: see `store.messages.redelivered`.
Messages that are over within a second cost nothing, and others a share of a command every second.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

import redis
from celery import Celery, bootsteps, signals

from nbqueue.store.broker import transport
from nbqueue.store.connection.patience import Outage
from nbqueue.store.messages.redelivered import Delivery, Redelivered
from nbqueue.worker.bootsteps.leases import active_requests

log = logging.getLogger("nbqueue.worker")

_PAUSE_S = 1.0
"""How often leases are renewed. Longer: younger messages have none yet; shorter: commands for
messages that are over in a moment."""

_LEAST_RENEWALS = 3
"""How often a lease is renewed while it lasts, at least."""

_JOIN_S = 2.0
"""How long a worker that ends waits for its leases to be taken back."""


def prepare(app: Celery, asked_s: float) -> None:
    """Have the workers of an app say what they are at, if its broker has no leases."""
    app.nbqueue_pause_s = None
    if not transport.has_leases(app):
        app.nbqueue_pause_s = min(_PAUSE_S, asked_s / _LEAST_RENEWALS)
        app.steps["worker"].add(Renewer)


class Renewer(bootsteps.StartStopStep):
    """Starts the thread with the worker; it ends when all else has."""

    requires = ("celery.worker.components:Pool",)  # which forks: before there is a thread

    def start(self, worker: Any) -> None:
        """Begin to renew."""
        thread = RenewingThread(worker.app)

        def stop(**_: Any) -> None:
            thread.stop()
            thread.join(_JOIN_S)

        signals.worker_shutdown.connect(stop, weak=False, dispatch_uid="nbqueue-renewer")
        thread.start()


class RenewingThread(threading.Thread):
    """Renews the leases of what this process runs, until told to stop."""

    def __init__(self, app: Celery) -> None:
        super().__init__(name="nbqueue-renewer", daemon=True)
        self._app = app
        self._pause_s: float = app.nbqueue_pause_s
        self._stopped = threading.Event()
        self._running: set[Delivery] = set()

    def stop(self) -> None:
        """Take back the leases, and end."""
        self._stopped.set()

    def run(self) -> None:
        """Renew leases, and take back those of what is over."""
        outage = Outage(log.debug)  # of which other threads tell
        redelivered: Redelivered = self._app.nbqueue_place().redelivered
        while not self._stopped.wait(self._pause_s):
            try:
                self._turn(redelivered)
                outage.found()
            except redis.RedisError as exc:
                outage.lost(exc, "leases are renewed when it answers")
            except Exception:
                log.exception("leases could not be renewed; trying again")
        try:
            for delivery in self._running:  # the broker gives it to others
                redelivered.over(delivery)
        except redis.RedisError as exc:
            log.warning("leases end by themselves: %s", exc)

    def _turn(self, redelivered: Redelivered) -> None:
        deliveries = (getattr(request, "delivery", None) for request in active_requests())
        running = {delivery for delivery in deliveries if delivery is not None}
        redelivered.renew(running)
        over, self._running = self._running - running, self._running | running
        for delivery in over:
            redelivered.over(delivery)
            self._running.discard(delivery)
