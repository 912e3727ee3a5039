"""A range's outcomes to the job log, and its rest back to the queue.

One reporter serves one message. It is called by the executor between items and by the ticker while
an item runs, so its own lock makes one write at a time. What could not be written stays in hand and
goes first the next time: an outcome is never dropped because the store was away.
"""

from __future__ import annotations

import logging
import resource
import sys
import threading
import time
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from kombu.utils.uuid import uuid

from nbqueue.core import errors, settings, splitting, states
from nbqueue.core.failing import all_failed
from nbqueue.core.records import Error, Outcomes, Output, Progressed, Started
from nbqueue.store.broker.message import Message, encode
from nbqueue.store.connection import patience
from nbqueue.store.connection.refusals import RefusedForNow, StoreRefused
from nbqueue.store.log.scripts import Reply
from nbqueue.store.messages import recalls
from nbqueue.store.values import results
from nbqueue.worker.process.workplace import Workplace
from nbqueue.worker.reporting import again, failures, passing
from nbqueue.worker.reporting.again import PutOff
from nbqueue.worker.reporting.outputs import Outputs, too_much
from nbqueue.worker.reporting.pacing import Pace
from nbqueue.worker.reporting.ranges import NO_ITEM, Outbox, RangeRun

log = logging.getLogger("nbqueue.worker")

_MB_PER_UNIT = (
    1 / 1024 if sys.platform != "darwin" else 1 / 1024**2
)  # ru_maxrss: KiB, bytes on macOS
_REPORTS_AT_ONCE = 100
"""Progress of so many items is written at once: a round trip for each would cost more than they."""

_LAST_PLACE = 1 << 30
"""Place of the notice that outputs are left out: behind all that the message has put out."""

_NOTICES_BYTES = 1_000_000
"""How much of such notices there may be, one a message."""

_OUTPUTS_AT_ONCE = 16
"""Fewer: a round trip for each of many items that print a line; more: each may have a megabyte."""


@dataclass
class Counter:
    """How far a walk through an iterable is; it counts, and whoever reports looks at it."""

    item: int
    total: float | None
    info: dict[str, str]
    done: int = 0

    def report(self) -> Progressed:
        """Say how far it is now."""
        return Progressed(self.item, self.done, self.total, self.info)


class Reporter:
    """Writes what becomes of one message."""

    def __init__(self, place: Workplace, message: Message, message_id: str, run: RangeRun) -> None:
        self._place = place
        self._message = message
        self.message_id = message_id
        self._run = run
        self._lock = threading.RLock()
        self._in_hand: list[Outcomes] = []
        self._progress: dict[int, Progressed] = {}
        self._counters: dict[int, Counter] = {}
        self._counted: dict[int, Progressed] = {}
        self._reported: dict[int, str] = {}
        """Which entry of the log has the latest progress of an item."""
        self._outputs = Outputs(message_id)
        self._pace = Pace(2 * settings.COMMIT_INTERVAL_S)
        self._is_told = False
        """Whether it was said that outputs are left out."""
        self._unwritten: list[Output] = []
        self._retries: dict[int, int] = {}
        self._put_off: list[PutOff] = []
        self._hits: set[int] = set()
        self._recorded: dict[int, list[Mapping[str, Any]]] = {}
        self._noted = NO_ITEM
        self._slot = place.tally.slot()  # here, in the thread that runs the items
        # The executor's clock is monotonic; the log's is the store's.
        self._base = place.now() - time.perf_counter()
        self.cancelled = False
        """The store said that what is left of the job will not be wanted."""

    # -- outcomes ------------------------------------------------------------------------------

    def flush(self) -> int:
        """Write the outcomes so far; give how many those are.

        Raises:
            redis.RedisError: the store is away; nothing is lost, call again.
        """
        with self._lock:
            box = self._run.collect()
            if box is not None:
                self._in_hand.append(self._batch(box))
                self._outputs.end(box.items)
            if self._outputs or self._unwritten:
                self._write_outputs(paced=box is None)
            if self._progress:
                self._write_progress()
            if self._put_off:
                self._write_put_off()
            written = sum(batch.n for batch in self._in_hand)
            while self._in_hand:
                self._write(self._in_hand[0])
                del self._in_hand[0]
            return written

    def flush_patiently(self) -> int:
        """Write the outcomes, waiting for a store that is away or takes no writes.

        Raises:
            redis.RedisError: the worker was told to leave meanwhile, and waits no longer.
        """
        with patience.of(self._place.patience):
            try:
                return self.flush()
            except RefusedForNow:
                raise
            except StoreRefused as exc:
                # These outcomes will never be taken, for what they are: somebody has to hear that.
                self._give_up_on_batch(exc)
                return self.flush()

    def _give_up_on_batch(self, why: StoreRefused) -> None:
        with self._lock:
            if not self._in_hand:
                raise why
            log.error("job %s: outcomes are refused: %s", self._message.spec.name, why)
            error = failures.describe(errors.StoreRefused(str(why)), self._place.blobs)
            batch = self._in_hand[0]
            self._in_hand[0] = self._all_failed(list(batch.runs), error)

    def fail_all(self, runs: list[splitting.Range], error: Error) -> None:
        """Record one error for all items of some ranges."""
        if not splitting.count(runs):
            return
        with self._lock:
            self._in_hand.append(self._all_failed(runs, error))
        self.flush_patiently()

    def _all_failed(self, runs: list[splitting.Range], error: Error) -> Outcomes:
        return all_failed(
            runs,
            error,
            round_=self._message.round,
            worker=self._place.name,
            at=self._place.now(),
            memory_mb=_memory_mb(),
        )

    def _batch(self, box: Outbox) -> Outcomes:
        base = box.begun[0]
        codes = bytearray([states.SUCCESS_CODE]) * len(box.items)
        errors: dict[Error, int] = {}
        error_of = []
        if box.errors:
            for place, item in enumerate(box.items):
                if item in box.errors:
                    codes[place] = states.FAILURE_CODE
                    error_of.append((item, errors.setdefault(box.errors[item], len(errors))))
        return Outcomes(
            round=self._message.round,
            worker=self._place.name,
            runs=tuple(splitting.runs_of(box.items)),
            states=bytes(codes),
            base=self._base + base,
            started=array("f", [t - base for t in box.begun]),
            run_s=array("f", box.run_s),
            memory_mb=_memory_mb(),
            results=results.encode(box.values, self._place.blobs),
            errors=tuple(errors),
            error_of=tuple(error_of),
            retries=tuple((i, self._retries.pop(i)) for i in box.items if i in self._retries)
            if self._retries
            else (),
            cached=self._hits_among(box.items) if self._hits else (),
        )

    def _hits_among(self, items: list[int]) -> tuple[splitting.Range, ...]:
        hits = [item for item in items if item in self._hits]
        self._hits.difference_update(hits)
        return tuple(splitting.runs_of(hits))

    def hit(self, item: int) -> None:
        """Note that an item's result comes from the cache."""
        with self._lock:
            self._hits.add(item)

    def _write(self, batch: Outcomes) -> None:
        message = self._message
        # A quick single call is over before its client has opened the job: then this opens it.
        opening = message.opening if message.opening.call and message.round == 1 else None
        stage = None if message.stage is None else message.stage.number
        reply = self._place.joblog.commit(
            message.spec.id, batch, self._place.now(), opening=opening, stage=stage
        )
        if reply.known == 0 and self._open():
            reply = self._place.joblog.commit(message.spec.id, batch, self._place.now())
        self._slot.recorded(reply.recorded)
        self._heed(reply)
        if reply.ready:
            self._place.sequels.release()

    def _open(self) -> bool:
        """Open the job from its message: the client died, or has not come to it yet.

        Not a workflow, which is open before it has messages: it is gone.
        """
        if self._message.stage is None:
            self._place.joblog.open(self._message.opening)
        return self._message.stage is None

    def _heed(self, reply: Reply) -> None:
        self.cancelled = self.cancelled or bool(reply.cancelled) or reply.left == 0

    # -- while an item runs --------------------------------------------------------------------

    def progress(self, record: Progressed) -> None:
        """Remember how far an item is; the next tick writes the latest of each."""
        with self._lock:
            self._progress[record.item] = record

    def count(self, counter: Counter) -> None:
        """Look at a counter from now on; a step of it must cost no more than an addition."""
        with self._lock:
            self._counters[counter.item] = counter

    def count_no_more(self, counter: Counter) -> None:
        """Take a counter's last word."""
        with self._lock:
            self._counters.pop(counter.item, None)
            self._progress[counter.item] = counter.report()

    def tries_again(self, item: int, said: str) -> None:
        """Count a retry of an item, and say so where the item prints."""
        with self._lock:
            self._retries[item] = self._retries.get(item, 0) + 1
        self.printed(item, "stderr", said)

    def put_off(self, put_off: PutOff) -> None:
        """Have an item run again later, by a message of its own."""
        with self._lock:
            self._put_off.append(put_off)
            self._retries.pop(put_off.attempt.item, None)  # what is put off counts all of them

    def begins(self, item: int) -> None:
        """Record at once that an item has begun."""
        with self._lock:
            self._note_start(item)

    def output(self, item: int, output: Mapping[str, Any]) -> None:
        """Remember an output (`records.Output`); it is written before the item's outcome."""
        with self._lock:
            if self._outputs.add(item, output) and item in self._recorded:
                self._recorded[item].append(output)

    @contextmanager
    def recording(self, item: int) -> Iterator[list[Mapping[str, Any]]]:
        """Keep what an item puts out for the length of a block, for the cache."""
        kept: list[Mapping[str, Any]] = []
        self._recorded[item] = kept
        try:
            yield kept
        finally:
            del self._recorded[item]

    def printed(self, item: int, name: str, text: str) -> None:
        """Remember what an item prints."""
        self.output(item, {"output_type": "stream", "name": name, "text": text})

    def _write_progress(self) -> None:
        for item, counter in self._counters.items():
            report = counter.report()
            if self._counted.get(item) != report:
                self._progress[item] = self._counted[item] = report
        reports, self._progress = list(self._progress.values()), {}
        for at in range(0, len(reports), _REPORTS_AT_ONCE):
            some = reports[at : at + _REPORTS_AT_ONCE]
            before = [self._reported.pop(record.item, "") for record in some]
            reply = self._note(*some, superseded=" ".join(before))
            entries = reply.entries.decode().split()
            self._reported.update(zip((record.item for record in some), entries, strict=False))

    def _write_outputs(self, *, paced: bool = False) -> None:
        """Write what items have put out; ``paced``, as often as it suits one that goes on."""
        if not paced:
            self._pace.begin_again()
        elif not self._pace.is_due(time.monotonic()):
            return
        self._unwritten.extend(self._outputs.take())
        while self._unwritten:
            some = self._unwritten[:_OUTPUTS_AT_ONCE]
            if self._note(*some).full and not self._is_told:
                self._is_told = True
                told = Output(some[-1].item, self.message_id, _LAST_PLACE, too_much())
                self._place.joblog.note(
                    self._message.spec.id, told, most_bytes=settings.OUTPUT_BYTES + _NOTICES_BYTES
                )
            del self._unwritten[:_OUTPUTS_AT_ONCE]

    def tick(self) -> None:
        """Write what there is to say while an item is running."""
        with self._lock:
            self.flush()
            item = self._run.current
            if item not in (NO_ITEM, self._noted):
                self._note_start(item)
            self._write_progress()

    def _note_start(self, item: int) -> None:
        self._noted = item
        self._slot.runs(self.message_id, item, time.time())
        place, round_ = self._place, self._message.round
        self._note(Started(round_, place.name, self.message_id, item, place.now()))

    def _write_put_off(self) -> None:
        job_id = self._message.spec.id
        function = self._message.function or self._message.spec.function
        record, kept = again.later(self._message, self._put_off, self._place.name)
        envelopes = [
            (due, encode(self._place.keyring, message), [a[:2] for a in message.again])
            for due, message in kept
        ]
        self._outputs.end([one.attempt.item for one in self._put_off])
        if self._outputs:
            self._write_outputs()
        keep_s = max(due for due, _ in kept) - self._place.now() + settings.RESULT_EXPIRES_S
        attempts = [one.attempt for one in self._put_off]
        place, round_ = self._place, self._message.round
        if any(attempt.call for attempt in attempts):
            recalls.keep(place.store, place.keyring, job_id, round_, attempts, keep_s)
        reply = self._place.joblog.put_off(job_id, record, envelopes, function)
        if reply.known == 0:
            self._open()
            reply = self._place.joblog.put_off(job_id, record, envelopes, function)
        self._put_off = []
        self._heed(reply)

    def _note(self, *records: Started | Progressed | Output, superseded: str = "") -> Reply:
        job_id = self._message.spec.id
        reply = self._place.joblog.note(job_id, *records, superseded=superseded)
        if reply.known == 0 and self._open():
            reply = self._place.joblog.note(job_id, *records)
        self._heed(reply)
        return reply

    # -- the rest ------------------------------------------------------------------------------

    def waiting(self) -> int:
        """Count the messages that wait in the queue; 0 where the broker does not say."""
        try:
            return self._place.publisher.waiting(self._message.spec.route)
        except errors.InfrastructureError:  # it is away: what is sent next finds out, and says so
            return 0

    def send_rest(self, runs: list[splitting.Range], waiting: int) -> None:
        """Publish items that this message is not going to run, behind those ``waiting``.

        Raises:
            InfrastructureError: the broker does not take all of it. What it may have taken is
                nobody's to run.
        """
        ids: list[str] = []
        try:
            for part in self._parts(runs, waiting):
                ids.append(uuid())
                self._place.publisher.send(part, ids[-1])
        except errors.InfrastructureError:
            passing.disown(self._place, self._message, ids)
            raise

    def _parts(self, runs: list[splitting.Range], waiting: int) -> Iterator[Message]:
        message = self._message
        parts = splitting.parts_of_rest(whole=message.whole, waiting=waiting)
        if message.again:
            yield from again.parts(message, runs, parts)
            return
        start, stop = runs[0][0], runs[-1][1]
        spec = message.spec
        if spec.limits.concurrency is not None and spec.chunksize is None:
            parts = min(parts, spec.limits.concurrency)  # more would only wait for a slot
        for a, b in splitting.share_out(start, stop, parts, spec.chunksize):
            check = message.check or len(runs) > 1
            yield replace(message, start=a, stop=b, whole=False, check=check)


def _memory_mb() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MB_PER_UNIT, 1)
