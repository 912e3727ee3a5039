"""The fold of a job's log: records in, state out.

`JobState.apply` takes one record and returns what it changed; it does no I/O, keeps no clock and
starts no thread, so a live job, a job read again from the start and a test all compute the same
thing. Two rules make that so:

- *A repeated record changes nothing.* An item that is done stays as it is until a `Retried` record
  opens a new round for it, and outcomes of an older round are ignored.
- *Order of different items does not matter.* Each item's state depends on its own records only.

A million items must not be a million objects: states and times are columns (21 bytes an item),
and results stay in their batches as pickled bytes with an index into them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

from nbqueue.core import states
from nbqueue.core.records import (
    Cancelled,
    Error,
    Finished,
    JobSpec,
    Outcomes,
    Progressed,
    Record,
    Rejected,
    Retried,
    Started,
)
from nbqueue.core.splitting import Range

_NAN = float("nan")
_NOWHERE = 0xFFFF


@dataclass(frozen=True)
class Changes:
    """What one record changed: items newly done, items set back to PENDING, and the end."""

    done: tuple[Range, ...] = ()
    reset: tuple[Range, ...] = ()
    finished: bool = False


NOTHING = Changes()


@dataclass
class JobState:
    """What is known of a job: a row of columns an item, as folded so far."""

    spec: JobSpec
    states: bytearray = field(init=False)
    done: bytearray = field(init=False)
    """1 where the item's current round has ended."""
    round: bytearray = field(init=False)
    attempts: bytearray = field(init=False)
    """How often the item's outcome was recorded, capped at 255."""
    started: array[float] = field(init=False)
    """Seconds since the epoch by the store's clock; NaN before it began."""
    run_s: array[float] = field(init=False)
    memory_mb: array[float] = field(init=False)
    worker: array[int] = field(init=False)
    """Index into ``workers``; 0xFFFF where none."""
    batch_of: array[int] = field(init=False)
    """Index into ``batches``, plus one; 0 where there is no outcome."""
    place: array[int] = field(init=False)
    """Position within the batch."""
    workers: list[str] = field(default_factory=list)
    batches: list[Outcomes] = field(default_factory=list)
    rejections: dict[int, Rejected] = field(default_factory=dict)
    progress: dict[int, Progressed] = field(default_factory=dict)
    running: dict[int, Started] = field(default_factory=dict)
    counts: list[int] = field(init=False)
    """Items by state code."""
    current_round: int = 1
    task: str = ""
    function: str = ""
    submitted: list[float] = field(default_factory=list)
    """When each round was asked for."""
    cancelled_at: float | None = None

    def __post_init__(self) -> None:
        n = self.spec.n
        self.states = bytearray(n)
        self.done = bytearray(n)
        self.round = bytearray(b"\x01") * n
        self.attempts = bytearray(n)
        self.started = array("d", [_NAN]) * n
        self.run_s = array("f", [_NAN]) * n
        self.memory_mb = array("f", [_NAN]) * n
        self.worker = array("H", [_NOWHERE]) * n
        self.batch_of = array("I", [0]) * n
        self.place = array("I", [0]) * n
        self.counts = [n] + [0] * (len(states.NAMES) - 1)
        self.task = self.spec.task
        self.function = self.spec.function
        self.submitted = [self.spec.submitted]

    # -- what can be asked ---------------------------------------------------------------------

    @property
    def n(self) -> int:
        """How many items the job has."""
        return self.spec.n

    @property
    def n_done(self) -> int:
        """How many items have ended."""
        return sum(self.counts[states.FIRST_DONE_CODE :])

    @property
    def finished(self) -> bool:
        """Whether every item has ended."""
        return self.n_done == self.n

    @property
    def name(self) -> str:
        """State of the whole job: its worst item's once all are done."""
        if not self.finished:
            begun = self.n_done or self.counts[states.STARTED_CODE]
            return states.STARTED if begun else states.PENDING
        for code in (states.FAILURE_CODE, states.REVOKED_CODE):
            if self.counts[code]:
                return states.NAMES[code]
        return states.SUCCESS

    def error(self, i: int) -> Error | None:
        """Why an item failed; ``None`` when it did not."""
        if self.states[i] != states.FAILURE_CODE or not self.batch_of[i]:
            return None
        batch = self.batches[self.batch_of[i] - 1]
        if not batch.error_of:
            return batch.errors[0]
        return next((batch.errors[k] for item, k in batch.error_of if item == i), None)

    def where(self, code: int) -> list[int]:
        """List the items in a state, ascending."""
        found, at = [], self.states.find(code)
        while at != -1:
            found.append(at)
            at = self.states.find(code, at + 1)
        return found

    # -- what can happen -----------------------------------------------------------------------

    def apply(self, record: Record) -> Changes:
        """Take one record of the log and say what it changed."""
        match record:
            case Outcomes():
                return self._outcomes(record)
            case Started():
                return self._started(record)
            case Progressed():
                if record.item < self.n:
                    self.progress[record.item] = record
            case Cancelled():
                return self._cancelled(record)
            case Retried():
                return self._retried(record)
            case Rejected():
                return self._rejected(record)
            case Finished() | JobSpec():
                pass  # both follow from the rest
        return NOTHING

    def _outcomes(self, record: Outcomes) -> Changes:
        if record.runs and record.runs[-1][1] > self.n:
            return NOTHING
        self.batches.append(record)
        worker, batch = self._worker_index(record.worker), len(self.batches)
        done: list[Range] = []
        place = 0
        for start, stop in record.runs:
            if self._untouched(start, stop, record.round):
                self._take(record, start, stop, place, worker, batch)
                done.append((start, stop))
            else:
                for i in range(start, stop):
                    if self._open(i, record.round):
                        self._take(record, i, i + 1, place + i - start, worker, batch)
                        done.append((i, i + 1))
            place += stop - start
        if not done:
            self.batches.pop()
        return Changes(done=tuple(done), finished=bool(done) and self.finished)

    def _untouched(self, start: int, stop: int, round_: int) -> bool:
        return (
            self.done.find(1, start, stop) == -1
            and self.round.count(round_, start, stop) == stop - start
        )

    def _open(self, i: int, round_: int) -> bool:
        return not self.done[i] and self.round[i] == round_

    def _take(
        self, record: Outcomes, start: int, stop: int, place: int, worker: int, batch: int
    ) -> None:
        k = stop - start
        end = place + k
        self._set_states(start, stop, record.states[place:end])
        self.done[start:stop] = b"\x01" * k
        base = record.base
        self.started[start:stop] = array("d", [base + s for s in record.started[place:end]])
        self.run_s[start:stop] = record.run_s[place:end]
        self.memory_mb[start:stop] = array("f", [record.memory_mb]) * k
        self.worker[start:stop] = array("H", [worker]) * k
        self.batch_of[start:stop] = array("I", [batch]) * k
        self.place[start:stop] = array("I", range(place, end))
        self.attempts[start:stop] = self.attempts[start:stop].translate(_ONE_MORE)
        if self.running or self.progress:
            for i in [i for i in self.running if start <= i < stop]:
                del self.running[i]

    def _set_states(self, start: int, stop: int, new: bytes) -> None:
        old = self.states[start:stop]
        for code in range(len(states.NAMES)):
            self.counts[code] += new.count(code) - old.count(code)
        self.states[start:stop] = new

    def _started(self, record: Started) -> Changes:
        i = record.item
        if i < self.n and self._open(i, record.round):
            self._set_states(i, i + 1, bytes([states.STARTED_CODE]))
            self.started[i] = record.at
            self.worker[i] = self._worker_index(record.worker)
            self.running[i] = record
        return NOTHING

    def _cancelled(self, record: Cancelled) -> Changes:
        if record.runs is None:
            self.cancelled_at = record.at
        done = []
        for start, stop in record.runs if record.runs is not None else ((0, self.n),):
            for a, b in _zero_runs(self.done, start, min(stop, self.n)):
                self._set_states(a, b, bytes([states.REVOKED_CODE]) * (b - a))
                self.done[a:b] = b"\x01" * (b - a)
                done.append((a, b))
        if done:
            for i in [i for i in self.running if self.done[i]]:
                del self.running[i]
        return Changes(done=tuple(done), finished=bool(done) and self.finished)

    def _retried(self, record: Retried) -> Changes:
        if record.round != self.current_round + 1 or record.round > 255:
            return NOTHING
        self.current_round = record.round
        self.task, self.function = record.task, record.function
        self.submitted.append(record.at)
        self.cancelled_at = None
        for start, stop in record.runs:
            k = stop - start
            self._set_states(start, stop, bytes(k))
            self.done[start:stop] = bytes(k)
            self.round[start:stop] = bytes([record.round]) * k
            self.batch_of[start:stop] = array("I", [0]) * k
            self.started[start:stop] = array("d", [_NAN]) * k
            self.run_s[start:stop] = array("f", [_NAN]) * k
            for i in [i for i in self.rejections if start <= i < stop]:
                del self.rejections[i]
        return Changes(reset=record.runs)

    def _rejected(self, record: Rejected) -> Changes:
        done = []
        for start, stop in record.runs:
            for i in range(max(start, 0), min(stop, self.n)):
                if self._open(i, record.round):
                    self._set_states(i, i + 1, bytes([states.FAILURE_CODE]))
                    self.done[i] = 1
                    self.rejections[i] = record
                    done.append((i, i + 1))
        return Changes(done=tuple(done), finished=bool(done) and self.finished)

    def _worker_index(self, worker: str) -> int:
        try:
            return self.workers.index(worker)
        except ValueError:
            self.workers.append(worker)
            return len(self.workers) - 1


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
