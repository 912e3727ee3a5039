"""The records of a job's log: signed when they are written, verified when they are read.

A record that is not to be trusted, or cannot be read, is counted, logged and given as `REFUSED`,
which concerns no item: whoever can write to the store may have written anything.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import redis

from nbqueue.core import wire
from nbqueue.core.errors import Expired
from nbqueue.core.records import Expanded, Finished, JobSpec, Progressed, Record, Rejected
from nbqueue.store import keys
from nbqueue.store.log.scripts import Scripts
from nbqueue.store.signing import Keyring

log = logging.getLogger("nbqueue.store")

_UNSIGNED = {Rejected.kind, Expanded.kind, Finished.kind}

_READ_BYTES, _MOST_READ = 4_000_000, 500
"""How much of a log is read at once. More: a client holds all of it; less: more round trips."""

REFUSED = Progressed(item=1 << 62, done=0, total=None)
"""Stands for a record that is not to be trusted, or cannot be read; concerns no item."""


class Entry(NamedTuple):
    """One record with its place in the stream."""

    id: str
    record: Record


class SignedLog(Scripts):
    """Signs and reads records."""

    def __init__(self, store: redis.Redis, keyring: Keyring) -> None:
        super().__init__(store)
        self._keyring = keyring
        self.bad_signatures = 0
        """How many records were refused because of their signature."""

    def sealed(self, job_id: str, record: Record) -> tuple[bytes, bytes]:
        """Give a record's bytes and their signature."""
        body = wire.encode(record)
        if record.kind in _UNSIGNED:
            return body, b""
        return body, self._keyring.sign(_context(job_id, record.kind), body)

    def verified(self, job_id: str, kind: str, body: bytes, sig: bytes) -> Record:
        """Decode one record; one that is not to be trusted becomes an empty `Progressed`."""
        if kind not in _UNSIGNED and not self._keyring.verify(_context(job_id, kind), body, sig):
            self.bad_signatures += 1
            self._keyring.on_refusal("log record")
            log.warning(
                "job %s: refused a %r record with a bad signature (%d so far); do all clients "
                "and workers have the same $NBQUEUE_KEY?",
                job_id,
                kind,
                self.bad_signatures,
            )
            return REFUSED
        try:
            return wire.decode(kind, body)
        except wire.Malformed as exc:
            log.warning("job %s: %s", job_id, exc)
            return REFUSED

    def read(
        self, job_id: str, after: str = "-", limit: int = 500, until: str = "+"
    ) -> list[Entry]:
        """Read verified records in order, from the one after ``after`` (an entry id, or ``-``).

        An empty list means that there is nothing newer. Records with a bad signature are counted,
        logged and left out.
        """
        raw = cast(
            "list[tuple[bytes, dict[bytes, bytes]]]",
            self._store.xrange(keys.log(job_id), min=_following(after), max=until, count=limit),
        )
        entries = []
        for entry_id, fields in raw:
            record = self.verified(job_id, *_fields(fields))
            entries.append(Entry(entry_id.decode(), record))
        return entries

    def walk(self, job_id: str, after: str = "-") -> Iterator[Entry]:
        """Give verified records one by one, from the one after ``after`` to the log's end.

        A few are in memory at a time, however large they are: some have many results.
        """
        while raw := self.run("page", job_id, _following(after), _MOST_READ, _READ_BYTES):
            after = raw[-1][0].decode()
            for entry_id, flat in raw:
                fields = dict(zip(flat[::2], flat[1::2], strict=True))
                yield Entry(entry_id.decode(), self.verified(job_id, *_fields(fields)))

    def entry(self, job_id: str, entry_id: str) -> Record:
        """Read one record again.

        Raises:
            Expired: it is not in the store any more, or not to be trusted.
        """
        raw = cast("list[Any]", self._store.xrange(keys.log(job_id), min=entry_id, max=entry_id))
        found = self.verified(job_id, *_fields(raw[0][1])) if raw else REFUSED
        if found is REFUSED:
            raise Expired(
                f"results of job {job_id!r} are no longer in the store: it expired or was forgotten"
            )
        return found

    def name(self, job_id: str) -> str | None:
        """Give the name of a job; ``None`` when its log cannot be read any more."""
        try:
            return self.spec(job_id).name
        except Expired:
            return None

    def spec(self, job_id: str) -> JobSpec:
        """Read how a job was opened.

        Raises:
            Expired: its log is gone, or its first record is not to be trusted.
        """
        entries = self.read(job_id, limit=1)
        if entries and isinstance(entries[0].record, JobSpec):
            return entries[0].record
        raise Expired(
            f"job {job_id!r} has no readable log: it expired, was forgotten, or was signed with "
            "another key"
        )


def _context(job_id: str, kind: str) -> str:
    return f"{kind} record of job {job_id}"


def _fields(entry: dict[bytes, bytes]) -> tuple[str, bytes, bytes]:
    """Take an entry apart; whoever can write to the store may have written anything."""
    kind = entry.get(b"k", b"").decode(errors="replace")
    return kind, entry.get(b"b", b""), entry.get(b"s", b"")


def _following(after: str) -> str:
    """Give the beginning of the entries behind one, as XRANGE takes it."""
    return after if after == "-" else f"({after}"
