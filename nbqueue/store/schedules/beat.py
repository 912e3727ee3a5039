"""Schedules in the hands of Celery's beat, by way of RedBeat.

RedBeat keeps beat's entries in Redis, so they can be added, changed and removed while it runs; it
sees to it that only one beat sends at a time, and that another takes over. Here is what nbqueue
adds to it: entries that follow a `core.timetable.Timetable` (by `Due`, one of Celery's schedules),
and the settings that beat and those who write entries must share.

An enabled schedule has an entry; pausing takes it away. So the number of entries with a time to
come is all that the embedded cluster's supervisor needs to know.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from celery import Celery
from celery.schedules import BaseSchedule, crontab, schedstate
from celery.schedules import schedule as interval
from redbeat.decoder import RedBeatJSONDecoder, RedBeatJSONEncoder
from redbeat.schedulers import RedBeatSchedulerEntry, ensure_conf, get_redis
from redbeat.schedules import rrule

from nbqueue.core.errors import UsageError
from nbqueue.core.records import Route
from nbqueue.core.timetable import Timetable
from nbqueue.store.schedules import sun as sun  # it tells timetables about the sun
from nbqueue.store.schedules.schedules import SCHEDULED_TASK

log = logging.getLogger("nbqueue.store")

_ENTRY = "nbqueue "
"""In front of a schedule's name, so that a project's own entries have others."""


class Due(BaseSchedule):
    """A timetable as one of Celery's schedules."""

    def __init__(self, timetable: Timetable, **options: Any) -> None:
        super().__init__(**options)
        self.timetable = timetable

    def moment(self, last_run_at: datetime, runs: int = 0) -> float | None:
        """Give when it is due next, or was; ``None`` for one that cannot be told here."""
        try:
            return self.timetable.next_after(
                last_run_at.timestamp(), runs=runs, now=self.now().timestamp()
            )
        except UsageError as exc:  # ephem is not installed where beat runs: the others go on
            log.error("%s is not run: %s", self.timetable, exc)
            return None

    def remaining_estimate(self, last_run_at: datetime) -> timedelta | None:
        """Give the time until it is due; None when it has ended."""
        moment = self.moment(last_run_at)
        return None if moment is None else timedelta(seconds=moment - self.now().timestamp())

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Say whether it is due, and in how many seconds to ask again."""
        rest = self.remaining_estimate(last_run_at)
        if rest is None:
            return schedstate(False, None)
        if rest.total_seconds() > 0:
            return schedstate(False, rest.total_seconds())
        rest = self.remaining_estimate(self.now())
        return schedstate(True, None if rest is None else rest.total_seconds())

    def __repr__(self) -> str:
        return f"<{self.timetable}>"

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Due) and other.timetable == self.timetable

    def __hash__(self) -> int:
        return hash(self.timetable)


class Own(BaseSchedule):
    """A schedule of an app's ``beat_schedule`` that RedBeat has no words for: solar, own classes.

    In the store is only the entry's name. The object is the app's, which beat has loaded: nothing
    that comes out of the store is imported or called.
    """

    def __init__(self, entry: str, **options: Any) -> None:
        super().__init__(**options)
        self.entry = entry

    def remaining_estimate(self, last_run_at: datetime) -> Any:
        """Give the time until it is due; None in a beat that does not run this app."""
        real = self._real()
        return None if real is None else real.remaining_estimate(last_run_at)

    def is_due(self, last_run_at: datetime) -> Any:
        """Say whether it is due, and in how many seconds to ask again."""
        real = self._real()
        return schedstate(False, None) if real is None else real.is_due(last_run_at)

    def _real(self) -> Any:
        entry = self.app.conf.beat_schedule.get(self.entry)
        if entry is None:
            return None
        found = entry["schedule"]
        found.app = self.app
        return found


class _Encoder(RedBeatJSONEncoder):
    def default(self, o: Any) -> Any:
        if isinstance(o, Due):
            return {"__type__": "nbqueue", "timetable": o.timetable.to_plain()}
        if isinstance(o, Own):
            return {"__type__": "nbqueue own", "entry": o.entry}
        return super().default(o)


class _Decoder(RedBeatJSONDecoder):
    def dict_to_object(self, d: dict[str, Any]) -> Any:
        """Read what the encoder made of an object."""
        if d.get("__type__") == "nbqueue":
            return Due(Timetable.from_plain(d["timetable"]))
        if d.get("__type__") == "nbqueue own":
            return Own(d["entry"])
        return super().dict_to_object(d)


class Entry(RedBeatSchedulerEntry):
    """RedBeat's entry, which also follows timetables."""

    @staticmethod
    def decode_definition(definition: str) -> Any:
        """Read an entry."""
        return json.loads(definition, cls=_Decoder)

    @classmethod
    def from_key(cls, key: str, app: Celery | None = None) -> Entry:
        """Read an entry.

        Raises:
            KeyError: there is none, or none that can be read: RedBeat says so and forgets it.
        """
        try:
            found: Entry = super().from_key(key, app=app)
        except (ValueError, TypeError, AttributeError) as exc:
            raise KeyError(f"{key} cannot be read: {exc!r}") from exc
        return found

    @property
    def due_at(self) -> datetime | None:
        """When it is due next; None when it has ended."""
        if not isinstance(self.schedule, Due):
            found: datetime | None = super().due_at
            return found
        moment = self.due_moment()
        return None if moment is None else datetime.fromtimestamp(moment, timezone.utc)

    def due_moment(self) -> float | None:
        """Give when a timetable's entry is due next, or was."""
        found: float | None = self.schedule.moment(self.last_run_at, self.total_run_count)
        return found

    def is_due(self) -> Any:
        """Say whether it is due, and in how many seconds to ask again."""
        if isinstance(self.schedule, Due) and self.due_moment() is None:
            return schedstate(False, None)
        return super().is_due()

    def _worded(self) -> Any:
        has_words = isinstance(self.schedule, (Due, Own, interval, crontab, rrule))
        return self.schedule if has_words else Own(self.name)

    def save(self) -> Entry:
        """Write the entry; how often and when it ran is kept where it is known already."""
        return self._write(replace=False)

    def replace(self) -> Entry:
        """Write the entry with its own account of how often and when it ran."""
        return self._write(replace=True)

    def _write(self, *, replace: bool) -> Entry:
        definition = {
            "name": self.name,
            "task": self.task,
            "args": self.args,
            "kwargs": self.kwargs,
            "options": self.options,
            "schedule": self._worded(),
            "enabled": self.enabled,
        }
        meta = {"last_run_at": self.last_run_at, "total_run_count": self.total_run_count}
        with get_redis(self.app).pipeline() as pipe:
            if replace:
                pipe.hdel(self.key, "meta")
            pipe.hset(self.key, "definition", json.dumps(definition, cls=_Encoder))
            pipe.hsetnx(self.key, "meta", json.dumps(meta, cls=_Encoder))
            pipe.zadd(self.app.redbeat_conf.schedule_key, {self.key: self.score})
            pipe.execute()
        return self


class Sent(NamedTuple):
    """What beat has done for a schedule."""

    last: float
    """When it last sent it, or began to count."""
    runs: int
    """How often it sent it."""


def enable(app: Celery, name: str, timetable: Timetable, sent: Sent, route: Route) -> None:
    """Have beat send a schedule, whether or not it did, to the queue that its jobs go to."""
    to: dict[str, Any] = {"queue": route.queue or app.conf.task_default_queue}
    if route.exchange and not route.queue:
        to = {"exchange": route.exchange, "routing_key": route.routing_key}
    Entry(
        name=_ENTRY + name,
        task=SCHEDULED_TASK,
        schedule=Due(timetable),
        args=[name],
        options={**to, "shadow": f"schedule {name}"},  # for logs, events and Flower
        last_run_at=datetime.fromtimestamp(sent.last, timezone.utc),
        total_run_count=sent.runs,
        app=app,
    ).replace()


def disable(app: Celery, name: str) -> None:
    """Have beat send a schedule no longer."""
    Entry(name=_ENTRY + name, app=app).delete()


def sent(app: Celery, names: Sequence[str]) -> list[Sent | None]:
    """Give what beat has done for schedules; None for those that it does not send."""
    conf = ensure_conf(app)
    with get_redis(app).pipeline() as pipe:
        for name in names:
            pipe.hmget(conf.key_prefix + _ENTRY + name, "definition", "meta")
        found = pipe.execute()
    # A beat that was just sending what is taken away leaves its account of it, and nothing else.
    return [_sent(Entry.decode_meta(meta)) if entry and meta else None for entry, meta in found]


def _sent(meta: dict[str, Any]) -> Sent:
    return Sent(meta["last_run_at"].timestamp(), int(meta.get("total_run_count") or 0))


def is_running(app: Celery) -> bool:
    """Say whether a beat has been heard of lately."""
    return bool(get_redis(app).exists(ensure_conf(app).lock_key))
