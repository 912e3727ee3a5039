"""A worker's name on the store's list of living workers (`store.nodes`), while it can answer.

A thread of its own renews it, so that a store that is away never holds up the worker's main
process. A pool that keeps the main process busy (solo) does not keep the thread from saying that
the worker lives; that it does not answer is what whoever asks it finds out.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

import redis
from celery import bootsteps

from nbqueue.store.nodes import RENEW_S, Nodes

log = logging.getLogger("nbqueue.worker")

_LEAVE_S = 2.0
"""How long a worker that ends waits for its name to be taken off."""


class Presence(bootsteps.StartStopStep):
    """Keeps the worker's name on the list from when it can be asked until it ends."""

    requires = ("celery.worker.consumer.control:Control",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def include_if(self, consumer: Any) -> bool:
        """Only a worker that can be asked is on the list."""
        enabled = consumer.app.conf.worker_enable_remote_control
        # As Celery's own step has it: some brokers cannot tell all workers something.
        return bool(enabled and consumer.conninfo.supports_exchange_type("fanout"))

    def start(self, consumer: Any) -> None:
        """Enter the name, and go on renewing it."""
        self._over = threading.Event()
        self._thread = threading.Thread(
            target=_renew,
            args=(Nodes(consumer.app.nbqueue_place().store), consumer.hostname, self._over),
            name="nbqueue-presence",
            daemon=True,
        )
        self._thread.start()

    def stop(self, consumer: Any) -> None:
        """Take the name off."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(_LEAVE_S)
            self._thread = None


def _renew(nodes: Nodes, name: str, over: threading.Event) -> None:
    away = False
    while True:
        try:
            nodes.lives(name)
            away = False
        except redis.RedisError as exc:
            if not away:
                log.warning("cannot say in the store that this worker lives: %s", exc)
            away = True
        if over.wait(RENEW_S):
            break
    try:
        nodes.leaves(name)
    except redis.RedisError as exc:
        log.warning("cannot take this worker off the store's list: %s", exc)
