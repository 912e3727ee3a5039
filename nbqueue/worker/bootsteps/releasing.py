"""A thread in a worker's main process that hands messages to the broker when they are due.

Every worker has one, whatever its pool, and any of them serves all messages: what one has claimed
the others leave alone (`store.messages.later`). It sleeps until the next message is due or an
earlier one is kept, so it costs a command every few seconds when there is nothing to do. It also
renews the slots that this worker's messages hold (`store.messages.turns`): from here, because an
item may hold up every thread of the process that runs it. And it looks at the jobs and the stages
of workflows that were to begin when a process died that was to send them
(`store.messages.sequels`), renews what long jobs need (`store.values.keeping`), deletes large
values that nobody needs (`store.values.blobs`), and takes jobs that have expired out of the lists
(`store.log.pruning`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any

import redis
from celery import bootsteps, signals

from nbqueue.core.errors import BrokerUnreachable
from nbqueue.store import keys
from nbqueue.store.connection.patience import Outage
from nbqueue.store.log.pruning import Pruner
from nbqueue.store.messages.turns import LEASE_S
from nbqueue.store.values import keeping
from nbqueue.worker.bootsteps.leases import active_requests

if TYPE_CHECKING:
    from nbqueue.worker.process.workplace import Workplace

log = logging.getLogger("nbqueue.worker")

_SLEEP_S = LEASE_S / 3
"""Longest time without a look. Longer, and a worker that is told to stop waits for its thread; a
message is late by this much when the word of it was lost with a worker that died."""

_KEEP_S = keeping.EVERY_S / 4
"""How often a worker asks whether what long jobs need is to be kept on."""

_AGAIN_S = 1.0
"""Wait after a failure of the store or the broker."""


class Releaser(bootsteps.StartStopStep):
    """Starts the thread with the worker; it ends when all else has, slots being held until then."""

    requires = ("celery.worker.components:Pool",)  # which forks: before there is a thread

    def start(self, worker: Any) -> None:
        """Begin to release messages."""
        thread = ReleasingThread(worker.app.nbqueue_place)

        def stop(**_: Any) -> None:
            thread.stop()

        signals.worker_shutdown.connect(stop, weak=False, dispatch_uid="nbqueue-releaser")
        thread.start()


class ReleasingThread(threading.Thread):
    """Releases what is due until it is told to stop."""

    def __init__(self, place: Callable[[], Workplace]) -> None:
        super().__init__(name="nbqueue-releaser", daemon=True)
        self._place = place
        self._stopped = threading.Event()
        self._looked_after = 0.0
        self._kept = -inf
        self._pruner: Pruner | None = None

    def stop(self) -> None:
        """End after the message in hand."""
        self._stopped.set()

    def run(self) -> None:
        """Release what is due, and wait for more."""
        outage = Outage(log.warning)
        while not self._stopped.is_set():
            try:
                self._turn()
                outage.found()
            except (redis.RedisError, BrokerUnreachable, OSError) as exc:
                if not self._stopped.is_set():
                    outage.lost(exc, "messages that are due wait for it")
                self._stopped.wait(_AGAIN_S)
            except Exception:
                log.exception("messages that are due could not be sent; trying again")
                self._stopped.wait(_AGAIN_S)

    def _turn(self) -> None:
        place = self._place()
        if time.monotonic() - self._looked_after > _SLEEP_S / 2:
            self._look_after(place)
        due = place.later.release()
        wait_s = _SLEEP_S if due is None else min(due - place.now(), _SLEEP_S)
        if wait_s > 0:
            place.later.wait(wait_s)

    def _look_after(self, place: Workplace) -> None:
        place.turns.renew([request.id for request in active_requests()])
        place.sequels.release()  # what a process was about to begin that has died since
        if place.redelivered is not None:
            place.redelivered.look()  # what came again while it was run, by one who is gone
        place.tally.set_rates(bool(place.store.exists(keys.RATES)))
        if time.monotonic() - self._kept > _KEEP_S:
            self._kept = time.monotonic()
            due = keeping.is_due(place.store)
            if due:
                keeping.keep(place.store, place.blobs, place.now())
            if due or place.blobs.are_copies:
                place.blobs.sweep()
        self._pruner = self._pruner or Pruner(place.store)
        self._pruner.prune()
        self._looked_after = time.monotonic()
