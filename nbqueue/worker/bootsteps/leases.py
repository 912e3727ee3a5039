"""A thread in a worker's main process that keeps what the worker holds, and finds what others lost.

On Redis a worker holds its messages by leases (`store.broker.holding`). The thread renews them
every third of the time that they last, whatever the pool is doing: an item of four hours is
delivered once. Every worker's thread also looks for leases that have ended, and puts back what dead
workers held, a second or two after that. (RabbitMQ does both by itself. But of a worker that is
gone without having hung up, because it stands still or is cut off, it hears only that heartbeats
are missing, and waits for two to three times their interval: up to six minutes with Celery, a
little more than a lease here.)

It does so to the worker's very end, after the pool's: a worker that leaves still runs what it has
begun. And it begins again with each connection: a lease that ended because nobody reached Redis is
no sign of a death, so whoever reaches it again first lets the others renew before it looks.

The thread needs the interpreter for a moment every few seconds. In a pool of threads, or solo, an
item that keeps it for longer than a lease (in C code that does not let go) is taken for dead and
run by another worker, too; so is one in a pool of greenlets that computes without ever waiting. It
is recorded once all the same. In a pool of processes, the default, no item can do that.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from celery import Celery, bootsteps, signals
from celery.worker import state as worker_state

from nbqueue.store.broker import holding, transport
from nbqueue.store.connection.patience import Outage

log = logging.getLogger("nbqueue.worker")

_SWEEP_S = 1.0
"""How often a worker looks for leases that have ended. Longer: what is lost comes back later;
shorter: a command more for each worker."""

_RENEWALS = 3
"""How often a lease is renewed while it lasts. Less: a moment's hindrance costs it."""

_LEAST_HEARTBEAT_S = 2
"""AMQP counts in whole seconds, and a busy machine may keep a worker waiting for one."""

_BEATS = 8
"""How often a worker beats in the time that it has promised RabbitMQ one. Fewer (Celery: 2), and
what it stood still before it was due counts against it: then it is taken for dead the sooner."""


def prepare(app: Celery, lease_s: float) -> None:
    """Have the workers of an app hold their messages for so many seconds at a time.

    (How often it beats in other pools than that of processes, `reconnecting` decides.)
    """
    if transport.has_leases(app):
        options = {"lease_s": lease_s, **app.conf.broker_transport_options}
        app.conf.broker_transport_options = options
        app.steps["worker"].add(Leases)
    else:
        app.conf.broker_heartbeat = heartbeat_s(lease_s)
        app.conf.broker_heartbeat_checkrate = _BEATS


def heartbeat_s(lease_s: float) -> int:
    """Give the interval of heartbeats by which RabbitMQ takes a worker for dead after a lease.

    It looks once in an interval and wants to have seen nothing twice: two to three of them after
    the last sign of life, which is an eighth of one old or two. So with a lease of 10 s, one that
    stands still for 7 s is never taken for dead, and after 12 s always.

    >>> heartbeat_s(10), heartbeat_s(4)
    (4, 2)
    """
    return max(round(0.4 * lease_s), _LEAST_HEARTBEAT_S)


class Leases(bootsteps.StartStopStep):
    """Starts the thread with the worker; it ends when all else has."""

    requires = ("celery.worker.components:Pool",)  # which forks: before there is a thread

    def start(self, worker: Any) -> None:
        """Begin to renew."""
        thread = LeaseThread(worker.app)
        tally = worker.app.nbqueue_tally

        def in_hand() -> list[Any]:
            # A worker that leaves gives back all that it has not ended by then.
            return [] if tally.leaving else [request.message for request in active_requests()]

        def stop(**_: Any) -> None:
            thread.stop()

        holding.in_hand = in_hand
        signals.worker_shutdown.connect(stop, weak=False, dispatch_uid="nbqueue-leases")
        thread.start()


class LeaseThread(threading.Thread):
    """Renews what this process holds, and puts back what nobody renews, until told to stop."""

    def __init__(self, app: Celery) -> None:
        super().__init__(name="nbqueue-leases", daemon=True)
        self._app = app
        self._lease_s = float(app.conf.broker_transport_options["lease_s"])
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End after the turn in hand."""
        self._stopped.set()

    def run(self) -> None:
        """Keep and find, over one connection after the other."""
        pause_s = min(_SWEEP_S, self._lease_s / _RENEWALS)
        patience_s = 0.0
        outage = Outage(log.warning)
        while not self._stopped.is_set():
            # Commands that are not answered in time are tried again before a lease is over.
            options = {"socket_timeout": pause_s, "socket_connect_timeout": pause_s}
            try:
                with self._app.connection_for_write(transport_options=options) as connection:
                    held = holding.Held(connection.default_channel)
                    outage.found()
                    self._serve(held, pause_s, patience_s)
            except Exception as exc:  # each version of kombu and redis-py has errors of its own
                if not self._stopped.is_set():
                    outage.lost(exc, "leases are renewed when it answers")
            patience_s = self._lease_s / 2
            self._stopped.wait(pause_s)

    def _serve(self, held: holding.Held, pause_s: float, patience_s: float) -> None:
        """Do what is due every ``pause_s``; begin to look for others' after ``patience_s``."""
        due = 0.0
        look_at = time.monotonic() + patience_s
        while not self._stopped.is_set():
            now = time.monotonic()
            if now >= due:
                held.renew()
                due = now + self._lease_s / _RENEWALS - pause_s / 2  # the turn nearest to it
            if now >= look_at and (found := held.sweep()):
                log.warning("%d messages of workers that do not answer are run again", found)
            self._stopped.wait(pause_s)


def active_requests() -> list[Any]:
    """Give the messages that are being worked on (from any thread)."""
    while True:
        try:
            return list(worker_state.active_requests)
        except RuntimeError:  # it has grown meanwhile: another thread's
            continue
