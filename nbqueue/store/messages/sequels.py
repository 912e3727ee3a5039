"""Sequels: jobs that wait until others have succeeded, and workflows (`plans`) of which stages do.

Their first message is not given to the broker but kept beside the job (``held``). Whatever ends a
job (a worker's commit, a cancellation, `forget`) moves the jobs that wait for it to ``nbq:ready``,
in the same script; the process that did it then looks at those, and so do clients every few
seconds, for a process that died in between:

    all have succeeded   the message goes to the broker (or waits for the job's `eta`)
    one has not          every item is recorded as UpstreamFailed
    one is not over      nothing; its end will put the job into ``nbq:ready`` again

To look twice does no harm: a message that is sent twice is recorded once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import nan
from typing import cast

import redis

from nbqueue.core.errors import BadSignature, BrokerUnreachable, Expired, UpstreamFailed
from nbqueue.core.failing import all_failed
from nbqueue.core.records import Cancelled, Error, JobSpec
from nbqueue.store import keys
from nbqueue.store.broker import message
from nbqueue.store.broker.message import Message, Unverified
from nbqueue.store.log.joblog import JobLog
from nbqueue.store.messages.later import Later
from nbqueue.store.messages.plans import Plans
from nbqueue.store.signing import Keyring
from nbqueue.store.values.packing import BlobStore, pack_native

log = logging.getLogger("nbqueue.store")


class Sequels:
    """Holds and releases the messages of jobs that wait for others."""

    def __init__(
        self,
        store: redis.Redis,
        keyring: Keyring,
        joblog: JobLog,
        later: Later,
        blobs: BlobStore,
        *,
        plans: Plans,
        now: Callable[[], float],
        name: str,
    ) -> None:
        self._plans = plans
        self._store = store
        self._keyring = keyring
        self._joblog = joblog
        self._later = later
        self._blobs = blobs
        self._now = now
        self._name = name

    def hold(self, first: Message) -> None:
        """Open a job and keep its first message until the jobs in ``spec.after`` have ended.

        Raises:
            UnknownJob: one of them is not in the store; nothing was done.
        """
        if self._joblog.hold(first.opening, message.encode(self._keyring, first)) == 0:
            self.release()

    def release(self) -> None:
        """Send the messages of all jobs that need wait no longer.

        What the broker does not take stays held, for the next time.
        """
        for raw in cast("set[bytes]", self._store.smembers(keys.READY)):
            try:
                self._look_at(raw.decode(errors="replace"))
            except BrokerUnreachable as exc:
                log.warning("a job that waited for others cannot be sent yet: %s", exc)

    def _look_at(self, job_id: str) -> None:
        try:
            spec = self._plans.spec(job_id) or self._joblog.spec(job_id)
        except Expired as exc:  # forgotten, or not signed with our key: then not ours to send
            log.warning("a job that waited for others cannot be sent: %s", exc)
            self._store.srem(keys.READY, job_id)
            return
        if spec.stages:
            self._advance(spec)
            return
        claimed = self._joblog.claim(job_id, spec.after)
        if claimed is None:
            return
        envelope, bad = claimed
        if bad:
            self._fail(spec, bad)
        else:
            self._send(job_id, envelope)
        with self._store.pipeline() as pipe:
            pipe.srem(keys.READY, job_id)
            pipe.delete(keys.held(job_id), keys.claim(job_id))
            pipe.execute()

    def _advance(self, spec: JobSpec) -> None:
        try:
            others = self._plans.advance(spec)
        except (Expired, BadSignature, ValueError, LookupError) as exc:
            # What is left can never begin, and whoever waits for it is told.
            log.error("the workflow %s cannot go on: %s", spec.name, exc)
            why = "cannot begin: the workflow's plan is gone, or was changed in the store"
            self._joblog.cancel(spec.id, Cancelled(self._now(), reason=why))
            others = True
        if others:
            self.release()

    def _send(self, job_id: str, envelope: str) -> None:
        try:
            first = message.decode(self._keyring, envelope)
        except Unverified as exc:
            log.warning("refused the held message of job %s: %s", job_id, exc)
            return
        if first.spec.id == job_id:  # else somebody has put another job's message there
            self._later.send(first)

    def _fail(self, spec: JobSpec, bad: list[str]) -> None:
        names = ", ".join(repr(self._joblog.name(job_id) or job_id) for job_id in bad)
        text = (
            f"not begun, because it was to follow {names}, which did not succeed; once that is "
            f"mended (job.retry()), retry this one"
        )
        exc = UpstreamFailed(text)
        error = Error(type(exc).__name__, text, "", pack_native(exc, self._blobs))
        record = all_failed(
            [(0, spec.n)], error, round_=1, worker=self._name, at=self._now(), times=nan
        )
        reply = self._joblog.commit(spec.id, record, self._now())
        if reply.ready:
            self.release()  # others wait for this one
