"""The job log: the only way anything about a job is written or read.

Each change is one Lua script (`scripts`): it happens wholly or not at all; each record is signed,
and verified when it is read (`reading`); and how many items are left is counted beside the log
(`standing`). `keys` draws the schema; `core.records` says what the records mean.

A log is bounded by what it must hold. Of an item: its outcome, the beginning of each attempt that
took longer than a tenth of a second, each retry, its latest progress (what it said before is
deleted), and its outputs, of which there are at most 1 MB and ever fewer records as time goes by
(`worker.reporting.pacing`); of all items together, `OUTPUT_BYTES` of outputs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, cast

import redis

from nbqueue.core import states
from nbqueue.core.errors import Expired, UnknownJob
from nbqueue.core.records import (
    Cancelled,
    JobSpec,
    Outcomes,
    Output,
    Progressed,
    Rejected,
    Retried,
    Retrying,
    Started,
)
from nbqueue.core.settings import KEEP_EXTRA_S, OUTPUT_BYTES, RESULT_EXPIRES_S
from nbqueue.core.splitting import Range
from nbqueue.store import keys
from nbqueue.store.log import catalogue
from nbqueue.store.log.catalogue import Summary
from nbqueue.store.log.cutting import cut
from nbqueue.store.log.opening import Opening, opening_arguments
from nbqueue.store.log.reading import SignedLog
from nbqueue.store.log.scripts import Reply
from nbqueue.store.log.standing import Standing
from nbqueue.store.signing import Keyring
from nbqueue.store.values import arguments

_CALL = ((0, 1),)
"""The runs of a single call."""

_PARTLY_RECORDED = 3
"""What the script says of a batch of which some items are recorded and others are not."""

_TOMBSTONE_MS = 24 * 3600 * 1000
_CLAIM_MS = 10_000
"""How long a process has for sending a held message, before another may."""


class JobLog(SignedLog, Standing):
    """Writes and reads the logs of all jobs in one store."""

    def __init__(
        self, store: redis.Redis, keyring: Keyring, *, expires_s: float = RESULT_EXPIRES_S
    ) -> None:
        super().__init__(store, keyring)
        self._expire_ms = int(expires_s * 1000)

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

    # -- which jobs there are ------------------------------------------------------------------

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

    def _known(self, job_id: str, count: int) -> int:
        if count < 0:
            raise Expired(f"job {job_id!r} is no longer in the store: it expired or was forgotten")
        return count


def _stage_context(job_id: str, stage: int) -> str:
    return f"function of stage {stage} of job {job_id}"


def _flat(runs: Sequence[Range]) -> list[int]:
    return [x for run in runs for x in run]


def _shorten(codes: bytes) -> bytes:
    return codes[:1] if codes.count(codes[:1]) == len(codes) else codes
