"""The follower: brings the logs of a client's jobs home, as they grow.

It listens to the client's `bell`, in a thread of its own or in one that waits. A ring names the
entry that it announces and the one before; when that one is where a job's reading stands and the
record came with the ring, it is taken from there, which saves a round trip; otherwise the log is
read from where reading stands. Rings may be lost (a broken connection, a laptop that slept), so
every few seconds all jobs' logs are looked at, and a lost ring costs time, never truth.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import redis

from nbqueue.client.bell import Bell, Ring
from nbqueue.core.records import Record
from nbqueue.store import keys
from nbqueue.store.connection import patience, refusals
from nbqueue.store.connection.patience import Outage
from nbqueue.store.connection.refusals import RefusedForNow
from nbqueue.store.log.joblog import JobLog
from nbqueue.store.log.opening import Opening
from nbqueue.store.log.reading import REFUSED

log = logging.getLogger("nbqueue.client")

_SWEEP_S = 5.0
"""Longest time that a lost ring delays a job. Lower: needless reads for each followed job."""

_WRITES_S = 60
"""How long the trace of a client's try to write stays."""

_UNTIL_IT_ANSWERS = "what runs goes on, and is shown when it answers again"
_UNTIL_IT_WRITES = "workers keep what they have done until it does, and begin nothing new"

_LISTEN_S = 0.25
"""How long the thread sleeps when the bell is silent; so late may another process see a call."""

_LOOK_S = 0.4

NOTHING_READ = "0-0"
"""The cursor of a job of which no record has been applied; what its client made of it is known."""

UNREAD = "-"
"""The cursor of a job that was found: no ring follows on from there, for the first records ring no
bell, and a workflow's plan is among them."""


class Followed(Protocol):
    """A job, as far as the follower is concerned."""

    cursor: str
    """Id of the last entry that was applied."""

    @property
    def feeding(self) -> AbstractContextManager[bool]:
        """Held while records are read and taken in."""

    @property
    def id(self) -> str:
        """The job's id."""

    @property
    def name(self) -> str:
        """The job's name."""

    @property
    def finished(self) -> bool:
        """Whether nothing more is to come."""

    def apply(self, record: Record) -> None:
        """Take the next record of the log."""

    def vanished(self) -> None:
        """The log is no longer in the store."""

    def unreadable(self) -> None:
        """The job has ended, by the store's account, and what is read does not say how."""


class Follower:
    """Feeds followed jobs with their records, in the order of the log."""

    def __init__(self, store: redis.Redis, joblog: JobLog, client_id: str, outage: Outage) -> None:
        self._store = store
        self._client_id = client_id
        self._outage = outage
        self._joblog = joblog
        self._bell = Bell(store, keys.bell(client_id))
        self._jobs: dict[str, Followed] = {}
        self._unopened: dict[str, Opening] = {}
        self._unwatched: set[str] = set()
        """Jobs of others whose bells are not rung for this client yet."""
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._swept = time.monotonic()
        self.on_sweep: Callable[[], None] = _nothing
        """What else is to be looked after at each sweep."""
        self.on_lost: Callable[[], None] = _nothing
        """What is to be done when the store does not answer."""
        self.on_look: Callable[[], None] = _nothing
        """What is to be looked at about twice a second; must return at once."""
        self._looked = 0.0
        self._thread = threading.Thread(target=self._loop, name="nbqueue-follower", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._bell.subscribe()
        self._thread.start()

    def follow(self, job: Followed, *, elsewhere: bool = False) -> None:
        """Feed a job from now on; ``elsewhere`` when its bell is another client's."""
        with self._lock:
            self._jobs[job.id] = job
        if elsewhere:
            self._unwatched.add(job.id)
            self._watch()
            self._bell.subscribe(keys.job_bell(job.id))

    def _watch(self) -> None:
        """Have the bells of others' jobs rung for this client, if Redis takes that.

        Else what is there can be read all the same, and what comes is found by `_sweep`.
        """
        try:
            for job_id in list(self._unwatched):
                self._joblog.watch(job_id)
                self._unwatched.discard(job_id)
        except RefusedForNow as exc:
            self._outage.lost(exc, "what is there can be read")

    def open_if_taken(self) -> None:
        """Open all that waits for it, unless Redis takes no writes: somebody is about to look."""
        try:
            self.open_now()
        except RefusedForNow as exc:
            self._outage.lost(exc, "what is there can be read")

    def unfollow(self, job: Followed) -> None:
        """Feed a job no longer."""
        with self._lock:
            self._jobs.pop(job.id, None)
        self._unopened.pop(job.id, None)

    def open_later(self, opening: Opening) -> None:
        """Open a call's job within `_LISTEN_S`, unless it is over by then."""
        self._unopened[opening.spec.id] = opening

    def open_now(self, job_id: str | None = None) -> None:
        """Open a job that waits for it, or all of them: somebody is about to ask for it."""
        for waiting in [job_id] if job_id is not None else list(self._unopened):
            opening = self._unopened.get(waiting)
            if opening is not None:
                self._joblog.open(opening)
                self._unopened.pop(waiting, None)

    def unfinished(self) -> list[Followed]:
        """List the jobs that are followed and not finished."""
        with self._lock:
            return [job for job in self._jobs.values() if not job.finished]

    def close(self) -> None:
        """Stop listening."""
        with patience.none():
            try:
                self.open_now()
            except (redis.RedisError, OSError) as exc:
                log.info("calls that were sent are listed when a worker comes to them: %s", exc)
        self._closed.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(2)
        self._bell.close()

    def catch_up(self, job: Followed) -> None:
        """Read a job's log from where its reading stands to its end."""
        with job.feeding:
            after = "-" if job.cursor == NOTHING_READ else job.cursor
            for entry in self._joblog.walk(job.id, after):
                job.cursor = entry.id
                job.apply(entry.record)

    def attend(self, timeout_s: float) -> bool:
        """Listen in a thread that waits for a job; ``False`` when another thread listens."""
        try:
            return self._bell.listen(timeout_s, self._take)
        except (redis.RedisError, OSError) as exc:
            self._lose_touch(exc)
            return True

    def waiting(self) -> AbstractContextManager[None]:
        """Say, for the length of a block, that a thread waits and would `attend`."""
        return self._bell.somebody_waits()

    def _loop(self) -> None:
        with patience.none():  # it comes by again
            self._listen()

    def _listen(self) -> None:
        opened = time.monotonic()
        while not self._closed.is_set():
            try:
                self._bell.listen_for_others(_LISTEN_S, self._take)
                if self._unopened and time.monotonic() - opened > _LISTEN_S:
                    self.open_now()
                    opened = time.monotonic()
                if time.monotonic() - self._looked > _LOOK_S:
                    self._looked = time.monotonic()
                    self.on_look()
                if time.monotonic() - self._swept > _SWEEP_S:
                    self._sweep()
            except (redis.RedisError, OSError, ValueError) as exc:
                if self._closed.is_set():
                    return
                self._lose_touch(exc)
            except Exception:
                log.exception("a record could not be taken in; the job is read again")
                self._swept = 0.0

    def _lose_touch(self, exc: BaseException) -> None:
        explained = isinstance(exc, (redis.RedisError, OSError)) and refusals.explained(
            exc, getattr(self._store, "where", "")
        )
        refused = isinstance(exc, refusals.RefusedForNow)
        self._outage.lost(explained or exc, _UNTIL_IT_WRITES if refused else _UNTIL_IT_ANSWERS)
        self.on_lost()
        self._swept = 0.0  # rings may have been lost: look at all logs as soon as that works
        self._closed.wait(0.5)

    def _take(self, ring: Ring) -> None:
        with self._lock:
            job = self._jobs.get(ring.job_id)
        if job is None:
            return
        with job.feeding:
            if not ring.body or job.cursor != ring.before:
                self.catch_up(job)
                return
            record = self._joblog.verified(ring.job_id, ring.kind, ring.body, ring.signature)
            if record is REFUSED:  # then nothing that the ring says is to be believed
                self.catch_up(job)
                return
            job.cursor = ring.entry_id
            job.apply(record)

    def _last(self, job: Followed) -> tuple[int, int] | None:
        """Give the place of the last entry that a log ever had; ``None`` when there is no log."""
        try:
            about: Any = self._store.xinfo_stream(keys.log(job.id))
            return _place(about["last-generated-id"].decode())
        except redis.ResponseError:
            return _place(job.cursor) if self._store.exists(keys.log(job.id)) else None

    def _sweep(self) -> None:
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            before = job.cursor
            if not _is_id(before):
                before = job.cursor = NOTHING_READ
            self.catch_up(job)
            if job.cursor != before or before == NOTHING_READ:
                continue  # it grows, or its worker is going to open it
            last = self._last(job)
            if last is None:
                job.vanished()
            elif last < _place(before):
                # A ring has told of an entry that is not there. To read all again does no harm.
                log.warning("job %s: somebody rang for nothing; its log is read again", job.name)
                job.cursor = NOTHING_READ
                self.catch_up(job)
            elif self._joblog.is_over(job.id):
                self.catch_up(job)  # it may have ended since
                if job.cursor == before and not job.finished:
                    job.unreadable()
        self.on_sweep()
        if jobs:
            # Workers keep their outcomes from a Redis that takes no writes; here that is noticed.
            self._store.set(keys.writes(self._client_id), 1, ex=_WRITES_S)
            self._watch()
        self._swept = time.monotonic()
        self._outage.found()


def _is_id(entry: str) -> bool:
    ms, dash, seq = entry.partition("-")
    return bool(dash) and ms.isdecimal() and seq.isdecimal()


def _place(entry: str) -> tuple[int, int]:
    """Give what the ids of entries are ordered by."""
    ms, _, seq = entry.partition("-")
    return int(ms), int(seq)


def _nothing() -> None:
    """Look after nothing else."""
