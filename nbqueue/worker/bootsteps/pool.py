"""The pool: its dead are noticed soon, it shrinks without a loss, and messages reach it at once."""

from __future__ import annotations

from typing import Any

from celery import bootsteps

_LOOK_S = 0.5
"""How often the pool looks for dead children. Celery looks every 5 s: three deaths, which is what
it takes to convict an item, were 15 s of waiting for everybody else. A look costs microseconds."""


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
