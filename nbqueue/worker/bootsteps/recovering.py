"""A thread in a worker's main process that looks for lost messages (`store.messages.lookout`).

Every worker on Redis has one, and one of all does the looking. A thread of its own, because it may
wait for the store while leases are to be renewed and messages to be released.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import redis
from celery import Celery, bootsteps, signals
from kombu.exceptions import OperationalError

from nbqueue.core.errors import NbqueueError
from nbqueue.store.broker import transport
from nbqueue.store.connection.patience import Outage
from nbqueue.store.messages.lookout import Lookout

log = logging.getLogger("nbqueue.worker")

_LOOK_S = 1.5
"""Time between two looks. Shorter: what was on its way at both is sent again; longer: what is lost
comes back later."""

_SHARE = 20
"""Looking may take one part in so many of a worker's time: with many jobs, looks are rarer. (Five
thousand calls that wait in a queue take a fifth of a second.)"""

_LONGEST_S = 6.0
"""But not rarer than this: the claim to be the one that looks must not run out."""


def prepare(app: Celery) -> None:
    """Have the workers of an app look for what is lost."""
    if transport.has_leases(app):
        app.steps["worker"].add(Recoverer)


class Recoverer(bootsteps.StartStopStep):
    """Starts the thread with the worker; it ends when all else has."""

    requires = ("celery.worker.components:Pool",)  # which forks: before there is a thread

    def start(self, worker: Any) -> None:
        """Begin to look."""
        thread = RecoveringThread(worker.app)

        def stop(**_: Any) -> None:
            thread.stop()

        signals.worker_shutdown.connect(stop, weak=False, dispatch_uid="nbqueue-recoverer")
        thread.start()


class RecoveringThread(threading.Thread):
    """Looks for lost messages until it is told to stop."""

    def __init__(self, app: Celery) -> None:
        super().__init__(name="nbqueue-recoverer", daemon=True)
        self._app = app
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End after the look in hand."""
        self._stopped.set()

    def run(self) -> None:
        """Look, over one connection to the broker after the other."""
        outage = Outage(log.warning)
        while not self._stopped.wait(_LOOK_S):
            try:
                place = self._app.nbqueue_place()
                lookout = Lookout(
                    place.store,
                    place.keyring,
                    place.joblog,
                    place.plans,
                    place.later,
                    now=place.now,
                    queues=self._app.amqp.queues.keys(),
                    default_queue=self._app.conf.task_default_queue,
                )
                with self._app.connection_for_write() as connection:
                    outage.found()
                    self._serve(lookout, connection.default_channel)
            except (redis.RedisError, NbqueueError, OSError, OperationalError) as exc:
                if not self._stopped.is_set():
                    outage.lost(exc, "lost messages are looked for when it answers")
            except Exception:
                log.exception("the look for lost messages failed; looking again")

    def _serve(self, lookout: Lookout, channel: Any) -> None:
        pause_s = 0.0
        while not self._stopped.wait(pause_s):
            began = time.monotonic()
            if lookout.claim():
                for name, n in lookout.look(channel).items():
                    log.warning("job %s: a message got lost; its %d items are sent again", name, n)
            pause_s = max(_LOOK_S, min(_SHARE * (time.monotonic() - began), _LONGEST_S))
