"""The worker's queues, declared before Celery declares them."""

from __future__ import annotations

import logging
from typing import Any

from celery import bootsteps

from nbqueue.core.settings import CONNECT_TIMEOUT_S
from nbqueue.store.broker import routing

log = logging.getLogger("nbqueue.worker")


class Declarer(bootsteps.StartStopStep):
    """Declares the worker's queues as they are, where they were declared with other arguments.

    Before Celery does: it would end the worker over a queue of RabbitMQ that knows no priorities.
    """

    requires = ("celery.worker.components:Pool",)

    def start(self, worker: Any) -> None:
        """Declare them once."""
        app = worker.app
        if not app.conf.task_queue_max_priority:
            return
        try:
            with app.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, timeout=CONNECT_TIMEOUT_S)
                for name, queue in dict(app.amqp.queues.consume_from).items():
                    if not routing.declare(connection, queue):
                        log.warning("%s", routing.without_priorities(name))
        except OSError as exc:  # Celery goes on trying
            log.warning("the broker does not answer yet: %s", exc)
