"""Celery's settings by which a beat, and whoever writes its entries, agree on where those are.

Apart from `beat`, so that an app may be given them without RedBeat being loaded.
"""

from __future__ import annotations

from celery import Celery

from nbqueue.store import keys
from nbqueue.store.connection.connection import secured

SCHEDULER = "nbqueue.worker.beat:BeatScheduler"

_LOOP_S = 0.5
"""How often beat looks for what was added. Lower: beat is busy; higher: it is late."""

_LOCK_S = 5
"""A beat that has not been heard of for this long is dead, and another takes over. Lower than a
pause of a busy machine, and two beats take turns; higher, and nothing is sent for as long."""


def configure(app: Celery, store_url: str) -> None:
    """Have an app's beat keep its entries in a store."""
    app.conf.update(
        beat_scheduler=SCHEDULER,
        beat_max_loop_interval=_LOOP_S,
        redbeat_redis_url=store_url,
        redbeat_key_prefix=keys.BEAT,
        redbeat_lock_timeout=_LOCK_S,
        # Else RedBeat takes the broker's, which may be another server.
        redbeat_redis_use_ssl=False,
        redbeat_redis_options={
            "socket_connect_timeout": 3,
            "socket_timeout": 30,
            **secured(store_url),
        },
    )
