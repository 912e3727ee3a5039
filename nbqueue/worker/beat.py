"""Beat: the process that sends what is due; Celery's own, with RedBeat's schedule in the store.

`BeatScheduler` is RedBeat's scheduler, which outlives what RedBeat's own ends of: a store that is
away for a while, and a lock that another beat has taken meanwhile. It needs no signing key: all it
sends is the names of schedules.

    python -m nbqueue.worker.beat --socket S       what the embedded cluster starts
    nbqueue beat                                   everywhere else, by Celery's command line
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import redis
from celery import Celery
from redbeat.schedulers import (
    RedBeatScheduler,
    acquire_distributed_beat_lock,
    ensure_conf,
    get_redis,
)

from nbqueue.store.broker import broker
from nbqueue.store.connection.connection import connect
from nbqueue.store.schedules import beat, beatsettings, runs, schedules

log = logging.getLogger("nbqueue.beat")

_NOTE_S = 30.0
"""How often it is noted how runs have ended; days before their jobs expire is soon enough."""

_NOTED = 100
_AWAY_S = 1.0


class BeatScheduler(RedBeatScheduler):
    """RedBeat's scheduler for `store.schedules.beat`'s entries."""

    Entry = beat.Entry
    lock: Any

    def __init__(self, app: Celery, *args: Any, **options: Any) -> None:
        self._noted_at = time.monotonic()
        self._store: redis.Redis | None = None
        self._is_away = False
        self._failed: set[str] = set()
        super().__init__(app, *args, **options)

    def setup_schedule(self) -> None:
        """Take over the app's own ``beat_schedule``, if it has one.

        An app without one leaves alone what a project's beat has written. (And RedBeat would add
        a daily cleaning of results, of which there are none.)
        """
        if self.app.conf.beat_schedule or not self._is_ours:
            super().setup_schedule()

    @property
    def _is_ours(self) -> bool:
        return getattr(self.app, "nbqueue_only", False)

    def apply_async(
        self, entry: Any, producer: Any = None, advance: bool = True, **options: Any
    ) -> Any:
        """Send an entry; a schedule's with the time at which it was due."""
        if isinstance(entry.schedule, beat.Due):
            args = [*entry.args, entry.due_moment()]
            # The queue is as nbqueue's workers have declared it; a project's own app has it
            # otherwise, and RabbitMQ would refuse that.
            to = entry.options if self._is_ours else {**entry.options, "declare": []}
            entry = type(entry)(**dict(entry, args=args, options=to))
        return super().apply_async(entry, producer=producer, advance=advance, **options)

    def maybe_due(self, entry: Any, **options: Any) -> Any:
        """Send an entry if it is due; one that cannot be read does not hold up the others."""
        try:
            return super().maybe_due(entry, **options)
        except redis.RedisError:
            raise
        except Exception:  # a time zone that is unknown here, a project's own class
            if entry.name not in self._failed:
                log.exception("beat: entry %r cannot be sent; the others are", entry.name)
            self._failed.add(entry.name)
            return None

    def tick(self, *args: Any, **options: Any) -> float:
        """Send what is due and give the seconds until the next look."""
        try:
            if self.lock is None:  # it has lost it, or the store was away when it began
                acquire_distributed_beat_lock(sender=SimpleNamespace(scheduler=self))
            rest: float = super().tick(*args, **options)
            self._note()
        except redis.exceptions.LockError:
            log.warning("beat: another beat has taken over meanwhile; this one waits for its end")
            self.lock = None
            return 0.0
        except (redis.ConnectionError, redis.TimeoutError) as exc:
            if not self._is_away:
                log.warning("beat: the store is away (%s); what is due meanwhile is late", exc)
            self._is_away = True
            return _AWAY_S
        if self._is_away:
            log.warning("beat: the store is back")
            self._is_away = False
        return rest

    def close(self) -> None:
        """Give the lock back, so that another beat need not wait for its end."""
        try:
            super().close()
        except (redis.ConnectionError, redis.TimeoutError, redis.exceptions.LockError) as exc:
            log.warning("beat: the lock could not be given back (%s); it ends by itself", exc)

    def _note(self) -> None:
        if time.monotonic() - self._noted_at < _NOTE_S:
            return
        self._noted_at = time.monotonic()
        if self._store is None:
            self._store = connect(ensure_conf(self.app).redis_url)
        for name in schedules.names(self._store):
            runs.latest(self._store, name, _NOTED)


def make_beat_app(
    broker_url: str, store_url: str, settings: Mapping[str, Any] | None = None
) -> Celery:
    """Make the app of a beat that sends nothing but schedules."""
    app = broker.make_app(broker_url, settings=settings)
    beatsettings.configure(app, store_url)
    app.nbqueue_only = True
    return app


def main(argv: list[str] | None = None) -> int:
    """Run the beat of an embedded cluster until it is told to stop."""
    parser = argparse.ArgumentParser(prog="python -m nbqueue.worker.beat", description=__doc__)
    parser.add_argument("--socket", required=True, help="the embedded cluster's Redis socket")
    options = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    place = quote(options.socket)
    app = make_beat_app(f"redis+socket://{place}", f"unix://{place}")
    _take_over(app)
    app.Beat(loglevel="WARNING", quiet=True).run()
    return 0


def _take_over(app: Celery) -> None:
    """Forget the lock of an earlier beat: this one is alone on its broker, and it has died."""
    while True:
        try:
            get_redis(app).delete(ensure_conf(app).lock_key)
            return
        except redis.ConnectionError:
            time.sleep(0.02)  # Redis and this process are started at the same time


if __name__ == "__main__":
    sys.exit(main())
