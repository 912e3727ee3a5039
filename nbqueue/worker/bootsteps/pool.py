"""What nbqueue adds to Celery's worker, by Celery's own way of adding to it (bootsteps)."""

from __future__ import annotations

import logging
from typing import Any

from celery import bootsteps

from nbqueue.core.settings import CONNECT_TIMEOUT_S
from nbqueue.store.broker import routing

log = logging.getLogger("nbqueue.worker")

_LOOK_S = 0.5
"""How often the pool looks for dead children. Celery looks every 5 s: three deaths, which is what
it takes to convict an item, were 15 s of waiting for everybody else. A look costs microseconds."""


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


class PoolKeeper(bootsteps.StartStopStep):
    """Notices soon when a child process has died, so that what it held comes back soon.

    And makes the pool smaller without anybody's item being lost: Celery's own ``pool_shrink`` ends
    idle processes only, and refuses when there are none, which on a busy worker is always. Here
    the worker first takes one message fewer at a time; then a process becomes idle by itself.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._timer: Any = None
        self.leaving = 0
        """How many processes are to end when they are idle."""
        consumer.nbqueue_keeper = self

    def start(self, consumer: Any) -> None:
        """Begin to look."""
        if self.leaving:  # a new connection begins with as many messages as there are processes
            consumer.qos.decrement_eventually(self.leaving * consumer.prefetch_multiplier)
        self._timer = consumer.timer.call_repeatedly(_LOOK_S, self._look, (consumer,))
        _hand_over_at_once(consumer)

    def stop(self, consumer: Any) -> None:
        """Stop looking."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def resize(self, consumer: Any, n: int) -> None:
        """Have ``n`` processes: more at once, fewer as soon as some are idle."""
        change = n - (consumer.pool.num_processes - self.leaving)
        if change > 0:
            stay = min(change, self.leaving)
            self.leaving -= stay
            if change > stay:
                consumer.pool.grow(change - stay)
        else:
            self.leaving -= change
        consumer._update_prefetch_count(change)
        self._let_go(consumer)

    def _look(self, consumer: Any) -> None:
        consumer.pool.maintain_pool()
        self._let_go(consumer)

    def _let_go(self, consumer: Any) -> None:
        while self.leaving:
            try:
                consumer.pool.shrink(1)
            except ValueError:  # "All processes busy!"
                return
            self.leaving -= 1


def _hand_over_at_once(consumer: Any) -> None:
    """Have a message written to an idle process of the pool when it comes.

    Celery does so two turns of its loop later, of which the first asks Redis for the next message:
    a tenth of a quick call's time. It has no public way to be told not to wait; where its private
    parts have changed, messages are handed over as it does it.
    """
    pool: Any = getattr(consumer.pool, "_pool", None)
    hub, channel = consumer.hub, consumer.task_consumer.channel
    parts = ("outbound_buffer", "_all_inqueues", "_active_writes", "_busy_workers")
    if not all(hasattr(pool, part) for part in parts) or not hasattr(channel, "on_delivery"):
        return

    def hand_over() -> None:
        waiting = len(pool.outbound_buffer)
        if waiting:
            idle = pool._all_inqueues.difference(pool._active_writes, pool._busy_workers)
            hub.consolidate_callback(list(idle)[:waiting])

    channel.on_delivery = hand_over
