"""The fold of a job's log: records in, state out.

`JobState.apply` takes one record and returns what it changed; it does no I/O, keeps no clock and
starts no thread, so a live job, a job read again from the start and a test all compute the same
thing. Two rules make that so:

- *A repeated record changes nothing.* An item that is done stays as it is until a `Retried` record
  opens a new round for it, outcomes of another round are ignored, and a cancellation is taken once.
  (Progress alone is what was heard last.)
- *Order of different items does not matter.* Each item's state depends on its own records only.

What it writes into are `columns`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from nbqueue.core import states
from nbqueue.core.columns import NAN, NEVER, NOWHERE, Columns, Waiting
from nbqueue.core.records import (
    MOST_ROUNDS,
    Cancelled,
    Expanded,
    Outcomes,
    Output,
    Planned,
    Progressed,
    Record,
    Rejected,
    Retried,
    Retrying,
    Started,
)
from nbqueue.core.splitting import Range, runs_of

_MOST_ITEMS = 100_000_000
"""A stage has no more items than this; a stranger's record may say anything."""
_ECHO = 1000
"""How far back an output record is recognised; a log is read again from a little way back."""


@dataclass(frozen=True)
class Changes:
    """What one record changed: items newly done, items set back to PENDING, and the end."""

    done: tuple[Range, ...] = ()
    reset: tuple[Range, ...] = ()
    finished: bool = False
    grown: bool = False
    """A workflow has more items than before."""


NOTHING = Changes()


class JobState(Columns):
    """What is known of a job, as folded so far."""

    def apply(self, record: Record) -> Changes:
        """Take one record of the log and say what it changed."""
        take = _TAKES.get(type(record))
        return NOTHING if take is None else take(self, record)

    def _progressed(self, record: Progressed) -> Changes:
        if 0 <= record.item < self.n:
            self.progress[record.item] = record
        return NOTHING

    def _heard(self, record: Output) -> Changes:
        if 0 <= record.item < self.n:
            said = self.outputs.setdefault(record.item, [])
            if record not in said[-_ECHO:]:
                said.append(record)
        return NOTHING

    def _outcomes(self, record: Outcomes) -> Changes:
        if any(not 0 <= start < stop <= self.n for start, stop in record.runs):
            return NOTHING
        done: list[Range] = []
        place = 0
        for start, stop in record.runs:
            for a, b in self._still_open(start, stop, record.round):
                if not done:
                    self.batches.append(record)
                self._take(record, a, b, place + a - start)
                done.append((a, b))
            place += stop - start
        return self._ended(done)

    def _still_open(self, start: int, stop: int, round_: int) -> list[Range]:
        """List the ranges within ``[start, stop)`` that are in this round and not done."""
        if start >= stop or not 0 < round_ <= self.current_round:
            return []
        if self._untouched(start, stop, round_):
            return [(start, stop)]
        return runs_of(i for i in range(start, stop) if self._open(i, round_))

    def _ended(self, done: list[Range]) -> Changes:
        return Changes(done=tuple(done), finished=bool(done) and self.finished)

    def _untouched(self, start: int, stop: int, round_: int) -> bool:
        return (
            self.done.find(1, start, stop) == -1
            and self.round.count(round_, start, stop) == stop - start
        )

    def _open(self, i: int, round_: int) -> bool:
        return not self.done[i] and self.round[i] == round_

    def _take(self, record: Outcomes, start: int, stop: int, place: int) -> None:
        """Let the items of a range have the outcomes from ``place`` on of the latest batch."""
        k = stop - start
        end = place + k
        self._set_states(start, stop, record.states[place:end])
        self.done[start:stop] = b"\x01" * k
        base = record.base
        self.started[start:stop] = array("d", [base + s for s in record.started[place:end]])
        self.run_s[start:stop] = record.run_s[place:end]
        self._ends.append((base, start, stop))
        self.batch_of[start:stop] = array("I", [len(self.batches)]) * k
        self.place[start:stop] = array("I", range(place, end))
        if not record.never_began:
            self._ran(record, start, stop)
        for a, b in record.cached:
            a, b = max(a, start), min(b, stop)
            if a < b:
                self.n_cached += b - a - self.cached.count(1, a, b)
                self.cached[a:b] = b"\x01" * (b - a)
        for i, retries in record.retries:
            if start <= i < stop:
                self.attempts[i] = min(self.attempts[i] + max(retries, 0), 255)
        for i in [i for i in self.running if start <= i < stop]:
            # What the workers give up on has no run of its own, and takes no time.
            if self.running[i].worker != record.worker and self.run_s[i]:
                self._died(i)
        self._stopped(start, stop)

    def _ran(self, record: Outcomes, start: int, stop: int) -> None:
        """Note of the items of a range where they ran, and count it."""
        k = stop - start
        self.memory_mb[start:stop] = array("f", [record.memory_mb]) * k
        self.worker[start:stop] = array("H", [self._worker_index(record.worker)]) * k
        self.attempts[start:stop] = self.attempts[start:stop].translate(_ONE_MORE)

    def _started(self, record: Started) -> Changes:
        i = record.item
        # An item may be begun twice, when its first worker died: then the later one counts.
        if 0 <= i < self.n and self._open(i, record.round) and record.at > self._begun(i):
            if i in self.running and self.running[i].worker != record.worker:
                self._died(i)
            self._set_states(i, i + 1, bytes([states.STARTED_CODE]))
            self.started[i] = record.at
            self.worker[i] = self._worker_index(record.worker)
            self.running[i] = record
        return NOTHING

    def _begun(self, i: int) -> float:
        """Give when an item's latest attempt began, as far as that is known, or else 0."""
        return max(self.retries.get(i, NEVER).begun, self.started[i])  # a NaN does not count

    def _retrying(self, record: Retrying) -> Changes:
        for i, retries, eta, why in record.items:
            if not (0 <= i < self.n and self._open(i, record.round)):
                continue
            before = self.retries.get(i, NEVER)
            if retries > before.retries:
                self._set_states(i, i + 1, bytes([states.RETRY_CODE]))
                self.attempts[i] = min(self.attempts[i] + retries - before.retries, 255)
                self.retries[i] = Waiting(retries, eta, record.errors[why], self._begun(i))
                self.started[i], self.worker[i] = NAN, NOWHERE
                self._stopped(i, i + 1)
        return NOTHING

    def _cancelled(self, record: Cancelled) -> Changes:
        if record in self.cancellations:
            return NOTHING  # else a repetition would reach items that were retried since
        self.cancellations.add(record)
        if record.runs is None:
            self.cancelled_at = record.at
            revoked = list(_zero_runs(self.done, 0, self.n))
        else:
            within = ((max(a, 0), min(b, self.n)) for a, b in record.runs)
            revoked = [run for a, b in within for run in self._still_open(a, b, record.round)]
        if revoked:
            self._latest_end = max(self._latest_end, record.at)
        for a, b in revoked:
            self._set_states(a, b, bytes([states.REVOKED_CODE]) * (b - a))
            self.done[a:b] = b"\x01" * (b - a)
            for i in [i for i in self.running if a <= i < b]:
                self._died(i)
            self._stopped(a, b)
        if record.reason or self._reason_of:
            self._give_reason(revoked, record.reason)
        return self._ended(revoked)

    def _give_reason(self, revoked: list[Range], reason: str) -> None:
        if not self._reason_of:
            self._reason_of = bytearray(self.n)
        if reason and reason not in self.reasons[:254]:
            self.reasons.append(reason)
        place = self.reasons.index(reason) + 1 if reason else 0
        for a, b in revoked:
            self._reason_of[a:b] = bytes([min(place, 255)]) * (b - a)

    def _retried(self, record: Retried) -> Changes:
        if record.round != self.current_round + 1 or record.round > MOST_ROUNDS:
            return NOTHING
        if any(not 0 <= start < stop <= self.n for start, stop in record.runs):
            return NOTHING
        self.current_round = record.round
        self.task, self.function = record.task, record.function
        self.submitted.append(record.at)
        self.cancelled_at = None
        self._settle_ends()  # before times are forgotten
        for start, stop in record.runs:
            k = stop - start
            self._set_states(start, stop, bytes(k))
            self.done[start:stop] = bytes(k)
            self.n_cached -= self.cached.count(1, start, stop)
            self.cached[start:stop] = bytes(k)
            self.round[start:stop] = bytes([record.round]) * k
            self.batch_of[start:stop] = array("I", [0]) * k
            self.started[start:stop] = array("d", [NAN]) * k
            self.run_s[start:stop] = array("f", [NAN]) * k
            self.memory_mb[start:stop] = array("f", [NAN]) * k
            self.worker[start:stop] = array("H", [NOWHERE]) * k
            self._stopped(start, stop)
            for about in (self.rejections, self.progress, self.outputs, self.retries):
                for i in [i for i in about if start <= i < stop]:
                    del about[i]
        return Changes(reset=record.runs)

    def _planned(self, record: Planned) -> Changes:
        if not self.stages:
            self.stages, self.result = list(record.stages), record.result
        return NOTHING

    def _expanded(self, record: Expanded) -> Changes:
        # Not signed: a stage gets items once, behind all others, and not beyond measure.
        known = 0 <= record.stage < len(self.stages)
        if not known or self.stages[record.stage].stop or record.start != self.n:
            return NOTHING
        count = record.stop - record.start
        if not 0 <= count <= _MOST_ITEMS:
            return NOTHING
        stage = self.stages[record.stage]
        self.stages[record.stage] = replace(stage, start=record.start, stop=record.stop)
        self._grow(count)
        return Changes(grown=count > 0)

    def _rejected(self, record: Rejected) -> Changes:
        done: list[Range] = []
        for start, stop in record.runs:
            for a, b in self._still_open(max(start, 0), min(stop, self.n), record.round):
                self._set_states(a, b, bytes([states.FAILURE_CODE]) * (b - a))
                self.done[a:b] = b"\x01" * (b - a)
                self._stopped(a, b)
                self.rejections.update(dict.fromkeys(range(a, b), record))
                done.append((a, b))
        return self._ended(done)


_ONE_MORE = bytes(min(k + 1, 255) for k in range(256))


def _zero_runs(flags: bytearray, start: int, stop: int) -> Iterable[Range]:
    """Find the ranges of zeros within ``[start, stop)``."""
    runs = []
    a = flags.find(0, start, stop)
    while a != -1:
        b = flags.find(1, a, stop)
        b = stop if b == -1 else b
        runs.append((a, b))
        a = flags.find(0, b, stop)
    return runs


_TAKES: dict[type, Callable[[JobState, Any], Changes]] = {
    Outcomes: JobState._outcomes,
    Started: JobState._started,
    Progressed: JobState._progressed,
    Output: JobState._heard,
    Cancelled: JobState._cancelled,
    Retried: JobState._retried,
    Retrying: JobState._retrying,
    Rejected: JobState._rejected,
    Planned: JobState._planned,
    Expanded: JobState._expanded,
}
"""What the fold does with a record; the kinds that are not here follow from the others."""
