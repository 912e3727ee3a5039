"""A client's schedules: what the store keeps of them, and what beat is told.

Two parts have to agree: the definition (`store.schedules.schedules`) and, while it is enabled,
beat's entry (`store.schedules.beat`, which is RedBeat and is loaded when it is first needed). The
definition is written first and removed last, so a beat never sends what nobody knows.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import redis

from nbqueue.client.saying import say
from nbqueue.client.schedules import timing
from nbqueue.core.errors import BadSignature, UnknownSchedule
from nbqueue.core.timetable import Times, Timetable
from nbqueue.store import keys
from nbqueue.store.code import functions
from nbqueue.store.connection.connection import translated
from nbqueue.store.schedules import beatsettings, runs, schedules
from nbqueue.store.schedules.runs import Run
from nbqueue.store.schedules.schedules import Definition, Schedules
from nbqueue.store.values import arguments
from nbqueue.store.values.packing import BlobStore

if TYPE_CHECKING:
    from nbqueue.client.client import Client
    from nbqueue.client.job import Job
    from nbqueue.store.schedules.beat import Sent

log = logging.getLogger("nbqueue.client")


class Row(NamedTuple):
    """A schedule as the listing shows it."""

    name: str
    times: str
    task: str
    enabled: bool
    """Not paused, and with a time to come."""
    next_run: float | None
    n_runs: int
    last: Run | None


class Scheduler:
    """The schedules of a client's store."""

    def __init__(self, client: Client, store: redis.Redis, store_url: str) -> None:
        self._client = client
        self._store = store
        self._records = Schedules(
            store,
            client.keyring,
            client.joblog,
            client.arguments,
            client.publisher,
            plans=client.plans,
            release=client.sequels.release,
            now=client.now,
        )

        def beat() -> Any:
            from nbqueue.store.schedules import beat

            if client.app.conf.beat_scheduler != beatsettings.SCHEDULER:
                beatsettings.configure(client.app, store_url)
            return beat

        self._beat: Callable[[], Any] = beat  # a closure, because a URL may have a password

    # -- making and changing -----------------------------------------------------------------------

    def add(self, wanted: Definition, old: Definition | None) -> None:
        """Save and enable a schedule; one that has the same rhythm as before keeps it."""
        now = self._client.now()
        before = self._sent(wanted.name) if old is not None else None
        if old is not None and old.timetable.same_rhythm(wanted.timetable):
            over = before is not None and self._next(old.timetable, before) is None
            if over and isinstance(old.timetable.rule, Times):
                self._write(replace(wanted, timetable=old.timetable), before)
                return  # the cell is run again after its time has come
            if before is not None and not over:
                self._write(replace(wanted, timetable=old.timetable), before)
                return
        timing.check_has_runs(wanted.timetable, wanted.zone, now)
        # (Counted from before it is saved: a time that comes meanwhile is not missed.)
        self._write(wanted, self._beat().Sent(now, 0))

    def change(self, definition: Definition) -> Definition:
        """Save a schedule; it is as enabled as it was. Gives it."""
        old = self.load(definition.name)
        sent = self._sent(definition.name)
        paused = self._paused(definition.name)
        if old.timetable != definition.timetable:
            sent = None if sent is None else sent._replace(last=self._client.now(), runs=0)
        with translated(self._client.store_url):
            self._records.save(definition)
            if paused is None:
                self._enable(definition, sent)
            else:
                self._store.hset(keys.schedule(definition.name), "paused", json.dumps(paused))
        return definition

    def pause(self, name: str) -> None:
        """Take a schedule from beat; once more changes nothing."""
        self.load(name)
        sent = self._sent(name)
        with translated(self._client.store_url):
            if sent is not None:
                self._store.hset(keys.schedule(name), "paused", json.dumps(sent.runs))
            self._beat().disable(self._client.app, name)

    def resume(self, definition: Definition) -> None:
        """Give a schedule to beat again; once more changes nothing."""
        definition = self.load(definition.name)
        count = self._paused(definition.name)
        if count is None:
            return
        with translated(self._client.store_url):
            beat = self._beat()
            self._enable(definition, beat.Sent(self._client.now(), count))
            self._store.hdel(keys.schedule(definition.name), "paused")

    def remove(self, name: str) -> bool:
        """Delete a schedule; False when there is none of that name."""
        with translated(self._client.store_url):
            self._beat().disable(self._client.app, name)
            return self._records.remove(name)

    def run_now(self, name: str) -> Job:
        """Submit a run out of turn."""
        with translated(self._client.store_url):
            spec = self._records.submit(name)
        assert spec is not None  # out of turn, nothing is skipped
        return self._client.job(spec.id)

    def put(self, function: Callable[..., Any]) -> tuple[str, tuple[str, ...]]:
        """Store a function; give its address and those of the large values that it refers to."""
        noted = Noted(self._client.blobs)
        address = self._client.functions.put(functions.dump(function, noted))
        return address, tuple(noted.addresses)

    def pack(
        self, params: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[bytes, tuple[str, ...]]:
        """Pack arguments; give also the addresses of the large values that they refer to."""
        noted = Noted(self._client.blobs)
        return arguments.pack_call(args, kwargs, noted, params), tuple(noted.addresses)

    # -- looking -----------------------------------------------------------------------------------

    def load(self, name: str) -> Definition:
        """Read a schedule.

        Raises:
            UnknownSchedule: there is none of that name.
        """
        with translated(self._client.store_url):
            return self._records.load(name)

    def is_paused(self, name: str) -> bool:
        """Say whether beat does not have it."""
        return self._paused(name) is not None

    def next_run(self, name: str, timetable: Timetable) -> float | None:
        """Give when beat sends it next, or should have; None when it does not."""
        sent = self._sent(name)
        return None if sent is None else self._next(timetable, sent)

    def runs(self, name: str, limit: int) -> list[Run]:
        """Give a schedule's latest runs, latest first."""
        with translated(self._client.store_url):
            return runs.latest(self._store, name, limit)

    def rows(self) -> list[Row]:
        """Give all schedules, in alphabetical order; those of another key are left out."""
        with translated(self._client.store_url):
            names = schedules.names(self._store)
            sent = self._beat().sent(self._client.app, names) if names else []
        found = []
        for name, known in zip(names, sent, strict=True):
            try:
                found.append(self._row(name, known))
            except UnknownSchedule:  # removed since it was named
                continue
            except BadSignature as exc:
                log.warning("left a schedule out: %s", exc)
        return found

    def names(self) -> list[str]:
        """Name all schedules."""
        with translated(self._client.store_url):
            return schedules.names(self._store)

    # -- inside ------------------------------------------------------------------------------------

    def _row(self, name: str, sent: Sent | None) -> Row:
        definition = self.load(name)
        latest = self.runs(name, 1)
        n_runs = cast("bytes | None", self._store.hget(keys.schedule(name), "n_runs"))
        timetable = definition.timetable
        moment = None if sent is None else self._next(timetable, sent)
        return Row(
            name,
            str(timetable),
            definition.spec.task,
            moment is not None,
            moment,
            int(n_runs or 0),
            latest[0] if latest else None,
        )

    def _next(self, timetable: Timetable, sent: Sent) -> float | None:
        return timetable.next_after(sent.last, runs=sent.runs, now=self._client.now())

    def _sent(self, name: str) -> Sent | None:
        with translated(self._client.store_url):
            found: list[Sent | None] = self._beat().sent(self._client.app, [name])
        return found[0]

    def _paused(self, name: str) -> int | None:
        """Give how often a paused schedule had been sent; None when it is not paused."""
        with translated(self._client.store_url):
            raw = cast("bytes | None", self._store.hget(keys.schedule(name), "paused"))
        return None if raw is None else int(json.loads(raw))

    def _write(self, definition: Definition, sent: Sent | None) -> None:
        with translated(self._client.store_url):
            self._records.save(definition)
            self._enable(definition, sent)

    def _enable(self, definition: Definition, sent: Sent | None) -> None:
        beat = self._beat()
        beat.enable(
            self._client.app,
            definition.name,
            definition.timetable,
            sent or beat.Sent(self._client.now(), 0),
            definition.route,
        )
        if not self._client.embedded and not beat.is_running(self._client.app):
            say(
                f"nothing runs schedule {definition.name!r} yet: no beat has been heard of; start "
                "`nbqueue beat` on one machine (or two), with the broker and backend of the workers"
            )


class Noted:
    """A store of large values that notes what is put into it."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self.addresses: list[str] = []

    def put(self, value: bytes | memoryview) -> str:
        """Store bytes, give their address."""
        self.addresses.append(self._blobs.put(value))
        return self.addresses[-1]

    def get(self, address: str) -> memoryview:
        """Give stored bytes."""
        return self._blobs.get(address)
