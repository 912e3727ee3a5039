"""Celery's consumer, for a broker that goes away and comes back.

Celery waits longer and longer between two tries, up to half a minute, and gives up after a hundred:
a broker that was away for a minute is served again a quarter of a minute after it is back. Here it
is tried every two seconds for as long as it takes, and the log says so now and then.
"""

from __future__ import annotations

import logging
import time
import warnings
from typing import Any

from celery.concurrency import prefork, solo
from celery.exceptions import CPendingDeprecationWarning
from celery.worker import consumer
from celery.worker.state import maybe_shutdown

from nbqueue.core.redaction import redact

log = logging.getLogger("nbqueue.worker")

_FIRST_S = 0.2
_LONGEST_S = 2.0
"""Between two tries. Longer: work begins later when the broker is back; shorter: a thousand workers
are a burden for a broker that is just starting."""

_SAY_AGAIN_S = 60.0

_SLOW_HEARTBEAT_S = 30
"""By which RabbitMQ and its worker notice that the other one is gone without a word, where items
run in the worker's own process: one may hold the interpreter for long. Elsewhere: half a lease
(`leases`)."""


class Reconnecting(consumer.Consumer):
    """Connects again, soon and for as long as it takes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if isinstance(self.pool, solo.TaskPool):
            self.amqheartbeat = 0  # its main process runs the items, and cannot beat meanwhile
        elif self.amqheartbeat and not isinstance(self.pool, prefork.TaskPool):
            self.amqheartbeat = max(self.amqheartbeat, _SLOW_HEARTBEAT_S)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Go back to connecting."""
        self.app.nbqueue_tally.loses_broker()
        with warnings.catch_warnings():
            # Ten lines of what a setting will be in Celery 6, each time; it is set as we want it.
            warnings.simplefilter("ignore", CPendingDeprecationWarning)
            super().on_connection_error_after_connected(exc)

    def connection_for_write(self, url: Any = None, heartbeat: Any = None) -> Any:
        """Give the connection that events go by (heartbeats of this worker, too).

        They are news, and none is worth a wait: RabbitMQ need not confirm them, as it does what
        must arrive. A greenlet that waits for a confirmation holds up all others' events, and the
        end of the worker with them, and it has happened that none came.
        """
        connection = self.app.connection_for_write(url=url, heartbeat=heartbeat)
        connection.transport_options.pop("confirm_publish", None)
        return self.ensure_connected(connection)

    def _restore_prefetch_count_after_connection_restart(self, *of_promise: Any) -> None:
        """Take as many messages as before again, once what ran meanwhile has ended.

        Celery does it where an item is acknowledged, which in a pool of threads is the item's own
        thread. There it waits for RabbitMQ's answer on a channel on which the consumer's thread may
        be waiting for one, and each takes the other's: the worker stands still for ever. (Private,
        as there is no other way; a Celery without it is as it is.)
        """
        restore = super()._restore_prefetch_count_after_connection_restart
        self.call_soon(restore, *of_promise)

    def ensure_connected(self, conn: Any) -> Any:
        """Wait until there is a connection.

        (Celery's own one has the waits that `Connection.ensure_connection` has by default, and no
        setting for them.)
        """
        said = 0.0

        def away(exc: BaseException, _interval: float) -> None:
            nonlocal said
            now = time.monotonic()
            if not said or now - said > _SAY_AGAIN_S:
                said = now
                log.warning(
                    "no broker answers at %s (%s): trying again until one does",
                    redact(conn.as_uri()),
                    exc,
                )

        conn.ensure_connection(
            away,
            None,
            interval_start=_FIRST_S,
            interval_step=_FIRST_S,
            interval_max=_LONGEST_S,
            callback=maybe_shutdown,
        )
        if said:
            log.warning("the broker answers again")
        self.first_connection_attempt = False
        self.broker_connection_retry_attempt = 0
        return conn
