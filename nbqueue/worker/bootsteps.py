"""What nbqueue adds to Celery's worker, by Celery's own way of adding to it (bootsteps)."""

from __future__ import annotations

from typing import Any

from celery import bootsteps

_LOOK_S = 0.5
"""How often the pool looks for dead children. Celery looks every 5 s: three deaths, which is what
it takes to convict an item, were 15 s of waiting for everybody else. A look costs microseconds."""


class PoolKeeper(bootsteps.StartStopStep):
    """Notices soon when a child process has died, so that what it held comes back soon."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        """Begin to look."""
        self._timer = consumer.timer.call_repeatedly(_LOOK_S, consumer.pool.maintain_pool)

    def stop(self, consumer: Any) -> None:
        """Stop looking."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
