"""The job log: the only way anything about a job is written or read.

Each change is one Lua script (``lua/*.lua``), so it happens wholly or not at all, and each record
is signed here and verified here. `keys` draws the schema; `core.records` says what the records
mean.

A log is bounded by what it must hold. Of an item: its outcome, the beginning of each attempt that
took longer than a tenth of a second, each retry, its latest progress (what it said before is
deleted), and its outputs, of which there are at most 1 MB and ever fewer records as time goes by
(`worker.reporting.pacing`); of all items together, `OUTPUT_BYTES` of outputs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import redis

from nbqueue.core import splitting, states, wire
from nbqueue.core.errors import Expired, UnknownJob
from nbqueue.core.records import (
    Cancelled,
    Expanded,
    Finished,
    JobSpec,
    Outcomes,
    Output,
    Progressed,
    Record,
    Rejected,
    Retried,
    Retrying,
    Started,
)
from nbqueue.core.settings import KEEP_EXTRA_S, OUTPUT_BYTES, RESULT_EXPIRES_S
from nbqueue.core.splitting import Range, undone
from nbqueue.store import keys
from nbqueue.store.connection.line import Line
from nbqueue.store.log import catalogue
from nbqueue.store.log.catalogue import Summary
from nbqueue.store.log.cutting import cut
from nbqueue.store.lua import source
from nbqueue.store.signing import SIZE, Keyring
from nbqueue.store.values import arguments

log = logging.getLogger("nbqueue.store")

_UNSIGNED = {Rejected.kind, Expanded.kind, Finished.kind}
_CALL = ((0, 1),)
"""The runs of a single call."""

_PARTLY_RECORDED = 3
"""What the script says of a batch of which some items are recorded and others are not."""

_TOMBSTONE_MS = 24 * 3600 * 1000
_SCRIPTS = ("open", "commit", "note", "page", "put_off", "forget", "hold", "claim", "refuse")
_STAGED = ("commit", "cancel", "retry", "plan", "begin", "advance", "spread")
"""Scripts that know of the stages of workflows."""

_READ_BYTES, _MOST_READ = 4_000_000, 500
"""How much of a log is read at once. More: a client holds all of it; less: more round trips."""

_CLAIM_MS = 10_000
"""How long a process has for sending a held message, before another may."""


class Reply(NamedTuple):
    """What a script says back to a worker."""

    known: int
    """0: the job is not open (yet); 1: it is; 2: it was forgotten. (3, that a part of the batch is
    recorded already, is `JobLog.commit`'s own business.)"""
    recorded: int
    left: int
    cancelled: int
    ready: int = 0
    """1: the job has ended, and others were waiting for that; see `sequels`."""
    entries: bytes = b""
    """Ids of the entries that were appended, where they end nothing."""
    full: int = 0
    """1: an output was left out, because the job has put out as much as is kept of one."""


class Opening(NamedTuple):
    """What opens a job, signed by its client, so that any worker can do it in the client's name."""

    spec: JobSpec
    body: bytes
    """The ``opened`` record."""
    signature: bytes
    call: bytes
    """Signature and packed arguments of a single call; empty when they are in blocks."""

    @property
    def inline(self) -> bytes:
        """Packed arguments of a single call."""
        return self.call[SIZE:]


class Entry(NamedTuple):
    """One record with its place in the stream."""

    id: str
    record: Record


class JobLog:
    """Writes and reads the logs of all jobs in one store."""

    def __init__(
        self, store: redis.Redis, keyring: Keyring, *, expires_s: float = RESULT_EXPIRES_S
    ) -> None:
        self._store = store
        self._line = Line(store)
        self._keyring = keyring
        self._expire_ms = int(expires_s * 1000)
        self._scripts = {name: store.register_script(source("common", name)) for name in _SCRIPTS}
        for name in _STAGED:
            key = "commit_staged" if name == "commit" else name
            self._scripts[key] = store.register_script(source("common", "stages", name))
        self._scripts["call"] = store.register_script(source("call"))
        self.bad_signatures = 0
        """How many records were refused because of their signature."""

    # -- writing -------------------------------------------------------------------------------

    def opening(self, spec: JobSpec, inline: bytes = b"") -> Opening:
        """Sign what it takes to open a job; it travels in the job's messages.

        ``inline`` is the packed argument block of a single call, kept for whoever looks later.
        """
        body, sig = self.sealed(spec.id, spec)
        call = arguments.seal(self._keyring, spec.id, 0, inline) if inline else b""
        return Opening(spec, body, sig, call)

    def open(self, opening: Opening) -> bool:
        """Make a job exist; ``False`` when it did already (or was forgotten)."""
        spec = opening.spec
        argv = opening_arguments(opening)
        return bool(self.run("open", spec.id, spec.submitted, self._expire_ms, *argv))

    def refuse(self, job_id: str) -> bool:
        """Make sure that a job never is; ``False`` when it is there already, and goes on."""
        return not self.run("refuse", job_id, _TOMBSTONE_MS)

    def hold(self, opening: Opening, envelope: str) -> int:
        """Open a job and keep its message until the jobs it waits for have ended.

        Gives how many have not ended yet; with 0 it is ready to be claimed.

        Raises:
            UnknownJob: one of them is not in the store; nothing was done.
        """
        after = opening.spec.after
        known, value = self.run(
            "hold", opening.spec.id, envelope, len(after), *after, *opening_arguments(opening)
        )
        if known == 0:
            raise UnknownJob(f"job {value.decode()!r} is not in the store; nothing was sent")
        return int(value)

    def claim(self, job_id: str, after: Sequence[str]) -> tuple[str, list[str]] | None:
        """Claim a held message: its envelope, and the ids of jobs that did not succeed.

        ``None`` when there is nothing to do.
        """
        found = self.run("claim", job_id, _CLAIM_MS, *after)
        return (found[0].decode(), [bad.decode() for bad in found[1:]]) if found else None

    def commit(
        self,
        job_id: str,
        record: Outcomes | Rejected,
        at: float,
        *,
        opening: Opening | None = None,
        stage: int | None = None,
    ) -> Reply:
        """Record outcomes, each item once; repeating it changes nothing.

        What another process has recorded meanwhile (a message that was delivered twice) is left
        out of the record, so that no item has two outcomes in the log. With ``opening`` the job is
        opened in the same step if it is not yet. ``stage`` is that of the items, of a workflow.
        """
        codes = (
            bytes([states.FAILURE_CODE])
            if isinstance(record, Rejected)
            else _shorten(record.states)
        )
        body, sig = self.sealed(job_id, record)
        first = opening_arguments(opening) if opening else []
        quick = opening is not None and opening.call and not opening.spec.result_expires
        if quick and record.round == 1 and record.runs == _CALL:
            reply = self.run(
                "call", job_id, record.kind, body, sig, codes, at, self._expire_ms, *first
            )
            if reply:
                return Reply(*reply)
        staged = stage is not None or isinstance(record, Rejected)
        reply = self.run(
            "commit_staged" if staged else "commit",
            job_id, record.kind, body, sig, record.round, codes, at, self._expire_ms,
            "" if stage is None else stage, len(first), *first, *_flat(record.runs),
        )  # fmt: skip
        if reply[0] == _PARTLY_RECORDED and isinstance(record, Outcomes):
            rest = cut(record, self._unrecorded(job_id, record))
            return self.commit(job_id, rest, at, stage=stage)
        return Reply(*reply)

    def _unrecorded(self, job_id: str, record: Outcomes) -> list[Range]:
        ranges = [self.pending(job_id, record.round, a, b)[1] for a, b in record.runs]
        return [run for runs in ranges for run in runs]

    def note(
        self,
        job_id: str,
        *records: Started | Progressed | Output,
        superseded: str = "",
        most_bytes: int = OUTPUT_BYTES,
    ) -> Reply:
        """Append records that end nothing, in place of entries (ids) that they supersede.

        An output that would make all of the job's outputs more than ``most_bytes`` is left out.
        """
        flat = [part for r in records for part in (r.kind, *self.sealed(job_id, r))]
        return Reply(*self.run("note", job_id, superseded, most_bytes, *flat))

    def put_off(
        self,
        job_id: str,
        record: Retrying,
        kept: Sequence[tuple[float, str, Sequence[Range]]],
        function: str,
    ) -> Reply:
        """Record that items are to run again later, and keep the messages for that (`later`).

        ``kept`` has for each message when it is due, its envelope, and for each of its items the
        number and how often it has been retried. An item that has ended, or was put off as often
        already, is left alone: repeating this changes nothing. The ``function`` that the messages
        need is kept for as long as they are.
        """
        body, sig = self.sealed(job_id, record)
        flat: list[Any] = []
        for due, envelope, items in kept:
            flat += [due, envelope, len(items), *_flat(items)]
        wait_s = max(0.0, *(due - time.time() for due, _, _ in kept))
        keep_s = int(wait_s + RESULT_EXPIRES_S + KEEP_EXTRA_S)
        key = keys.function(function)
        if wait_s > KEEP_EXTRA_S and 0 < int(cast(Any, self._store.ttl(key))) < keep_s:
            self._store.expire(key, keep_s)
        return Reply(
            *self.run("put_off", job_id, record.kind, body, sig, record.round, keep_s, *flat)
        )

    def cancel(self, job_id: str, record: Cancelled) -> int:
        """Revoke everything that is left, or the record's items; say how many those were."""
        body, sig = self.sealed(job_id, record)
        runs = _flat(record.runs or ())
        count = int(
            self.run("cancel", job_id, body, sig, record.at, self._expire_ms, record.round, *runs)
        )
        return self._known(job_id, count)

    def retry(
        self,
        job_id: str,
        record: Retried,
        stages: Sequence[tuple[int, int, str]] = (),
        revoked: int = 0,
    ) -> int:
        """Open the next round; 0 when another client opened it first.

        ``stages`` says of a workflow's how many of their items are meant, and the address of a new
        function, if there is one; ``revoked``, how many of a workflow's items were cancelled.
        """
        body, sig = self.sealed(job_id, record)
        count = int(
            self.run(
                "retry",
                job_id,
                body,
                sig,
                record.round,
                record.at,
                record.task,
                revoked,
                len(stages),
                *(x for s, n, address in stages for x in (s, n, self._named(job_id, s, address))),
                *_flat(record.runs),
            )
        )
        return self._known(job_id, count)

    def function_of_stage(self, job_id: str, stage: int, named: str) -> str:
        """Give the address of a workflow's stage's function, as a retry has put it into the store.

        Raises:
            BadSignature: nobody with a key of this process did.
        """
        if not named:
            return ""
        try:
            sealed = bytes.fromhex(named)
        except ValueError:
            sealed = b""
        return self._keyring.unseal(_stage_context(job_id, stage), sealed).decode()

    def _named(self, job_id: str, stage: int, address: str) -> str:
        if not address:
            return ""
        return self._keyring.seal(_stage_context(job_id, stage), address.encode()).hex()

    def forget(self, job_id: str) -> bool:
        """Delete a job and everything of it; ``False`` when there was none."""
        return bool(self.run("forget", job_id, _TOMBSTONE_MS))

    # -- reading -------------------------------------------------------------------------------

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

    def unretried(
        self, job_id: str, round_: int, runs: list[Range], retried: Mapping[int, int]
    ) -> list[Range]:
        """Leave out of some ranges the items that another message is to run.

        Those are the ones that were put off more often than the message in hand knows of.
        """
        key = keys.retries(job_id, round_)
        n = int(cast(Any, self._store.hlen(key)))
        if not n:
            return runs
        if splitting.count(runs) <= n:
            fields = [str(i) for i in splitting.indices(runs)]
            counts = dict(zip(fields, self._store.hmget(key, fields), strict=True))
        else:
            raw = cast("dict[bytes, bytes]", self._store.hgetall(key))
            counts = {field.decode(): count for field, count in raw.items()}
        return splitting.runs_of(
            i for i in splitting.indices(runs) if int(counts.get(str(i)) or 0) <= retried.get(i, 0)
        )

    def pending(
        self, job_id: str, round_: int, start: int, stop: int
    ) -> tuple[bool | None, list[Range]]:
        """Say whether a job is cancelled and which items of a range are not recorded yet.

        A forgotten job is cancelled; of one that is not in the store (it is not open yet, or has
        expired) it is ``None``, and all items are open.
        """
        first = start >> 3
        pipe = self._store.pipeline(transaction=False)
        pipe.hmget(keys.meta(job_id), "cancelled", "gone")
        pipe.getrange(keys.done(job_id, round_), first, (stop - 1) >> 3)
        (cancelled, gone), bitmap = pipe.execute()
        known = (
            None if cancelled is None and gone is None else cancelled == b"1" or gone is not None
        )
        return known, undone(start, stop, bitmap, first)

    def round(self, job_id: str) -> int:
        """Give the latest round of a job; 1 of one that is not in the store."""
        raw = cast("bytes | None", self._store.hget(keys.meta(job_id), "round"))
        return int(raw) if raw is not None and raw.isdigit() else 1

    def left_and_bad(self, job_id: str) -> tuple[int, int]:
        """Give how many items of a job have not ended, and how many have, but not well."""
        names = ("left", "failure", "revoked")
        found = cast("list[bytes | None]", self._store.hmget(keys.meta(job_id), names))
        left, failure, revoked = (int(value or 0) for value in found)
        return left, failure + revoked

    def is_over(self, job_id: str) -> bool:
        """Say whether nothing is left to do of a job, by the account of the scripts."""
        return bool(self._store.hget(keys.meta(job_id), "left") == b"0")

    def watch(self, job_id: str) -> None:
        """Have the bell of a job rung for others than the client that submitted it."""
        if self._store.hexists(keys.meta(job_id), "n"):
            self._store.hset(keys.meta(job_id), "watched", 1)

    def find(self, id_or_name: str) -> str:
        """Give the id of the job with this id, or of the latest with this name.

        Raises:
            UnknownJob: there is none; the message lists near matches.
        """
        return catalogue.find(self._store, id_or_name)

    def tasks(self) -> set[str]:
        """Name the tasks of the latest jobs; a workflow's are one name."""
        return catalogue.tasks(self._store)

    def summaries(self) -> list[Summary]:
        """List all jobs, latest first; forgets the names of those that have expired."""
        return catalogue.summaries(self._store)

    # -- inside --------------------------------------------------------------------------------

    def sealed(self, job_id: str, record: Record) -> tuple[bytes, bytes]:
        """Give a record's bytes and their signature."""
        body = wire.encode(record)
        if record.kind in _UNSIGNED:
            return body, b""
        return body, self._keyring.sign(_context(job_id, record.kind), body)

    def run(self, script: str, job_id: str, *argv: Any) -> Any:
        """Run one of the scripts on a job."""
        made = self._scripts[script]
        try:
            return self._line.ask("EVALSHA", made.sha, 1, keys.base(job_id), *argv)
        except redis.exceptions.NoScriptError:
            return made(keys=[keys.base(job_id)], args=argv)

    def _known(self, job_id: str, count: int) -> int:
        if count < 0:
            raise Expired(f"job {job_id!r} is no longer in the store: it expired or was forgotten")
        return count


REFUSED = Progressed(item=1 << 62, done=0, total=None)
"""Stands for a record that is not to be trusted, or cannot be read; concerns no item."""


def _context(job_id: str, kind: str) -> str:
    return f"{kind} record of job {job_id}"


def _stage_context(job_id: str, stage: int) -> str:
    return f"function of stage {stage} of job {job_id}"


def opening_arguments(opening: Opening) -> list[Any]:
    """Give what ``open_job`` in the scripts wants to know."""
    spec = opening.spec
    return [
        opening.body,
        opening.signature,
        spec.n,
        spec.name,
        spec.task,
        spec.submitted,
        keys.bell(spec.origin),
        opening.call,
        b"" if opening.call or not spec.n else 1,
    ]


def _fields(entry: dict[bytes, bytes]) -> tuple[str, bytes, bytes]:
    """Take an entry apart; whoever can write to the store may have written anything."""
    kind = entry.get(b"k", b"").decode(errors="replace")
    return kind, entry.get(b"b", b""), entry.get(b"s", b"")


def _following(after: str) -> str:
    """Give the beginning of the entries behind one, as XRANGE takes it."""
    return after if after == "-" else f"({after}"


def _flat(runs: Sequence[Range]) -> list[int]:
    return [x for run in runs for x in run]


def _shorten(codes: bytes) -> bytes:
    return codes[:1] if codes.count(codes[:1]) == len(codes) else codes
