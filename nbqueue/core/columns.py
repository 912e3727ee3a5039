"""What is known of a job, a row of columns an item: the data that the fold writes and others read.

Nothing here knows what a record means; `fold` does. States and times are columns (30 bytes an
item), because a million items must not be a million objects; results stay in their batches as
pickled bytes with an index into them.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from math import inf
from operator import add
from typing import NamedTuple, TypeVar

from nbqueue.core import states
from nbqueue.core.plan import Take
from nbqueue.core.records import (
    Cancelled,
    Error,
    JobSpec,
    Outcomes,
    Output,
    Progressed,
    Rejected,
    Stage,
    Started,
)

NOWHERE = 0xFFFF
"""In `Columns.worker`, of items that no worker has run, or one too many to have a number."""

NAN = float("nan")

T = TypeVar("T", int, float)


class Waiting(NamedTuple):
    """The latest retry of an item in its round."""

    retries: int
    eta: float
    """Seconds since the epoch, by the store's clock."""
    error: Error
    begun: float = 0.0
    """The latest beginning of its attempts so far, as far as that is known."""


NEVER = Waiting(0, 0.0, Error("", "", ""))


@dataclass
class Columns:
    """What is known of a job: a row of columns an item, as folded so far."""

    spec: JobSpec
    states: bytearray = field(init=False)
    done: bytearray = field(init=False)
    """1 where the item's current round has ended."""
    round: bytearray = field(init=False)
    attempts: bytearray = field(init=False)
    """How often the item was run, retries included, capped at 255: runs to an outcome, and those
    that lasted long enough to be noted (`Started`) and died with their worker."""
    started: array[float] = field(init=False)
    """Seconds since the epoch by the store's clock; NaN before it began."""
    run_s: array[float] = field(init=False)
    memory_mb: array[float] = field(init=False)
    worker: array[int] = field(init=False)
    """Index into ``workers``; `NOWHERE` where none."""
    batch_of: array[int] = field(init=False)
    """Index into ``batches``, plus one; 0 where there is no outcome."""
    cached: bytearray = field(init=False)
    """1 where the result came from the cache."""
    n_cached: int = 0
    """How many those are."""
    place: array[int] = field(init=False)
    """Position within the batch."""
    workers: list[str] = field(default_factory=list)
    batches: list[Outcomes] = field(default_factory=list)
    rejections: dict[int, Rejected] = field(default_factory=dict)
    progress: dict[int, Progressed] = field(default_factory=dict)
    outputs: dict[int, list[Output]] = field(default_factory=dict)
    running: dict[int, Started] = field(default_factory=dict)
    retries: dict[int, Waiting] = field(default_factory=dict)
    """Of the items that were told to run again later, in their present round."""
    counts: list[int] = field(init=False)
    """Items by state code."""
    current_round: int = 1
    task: str = ""
    function: str = ""
    submitted: list[float] = field(default_factory=list)
    """When each round was asked for."""
    cancelled_at: float | None = None
    cancellations: set[Cancelled] = field(default_factory=set)
    stages: list[Stage] = field(default_factory=list)
    """Of a workflow: its stages, each with the items that it has by now."""
    result: Take | None = None
    """Of a workflow: what of its stages' results is its own."""
    reasons: list[str] = field(default_factory=list)
    """Why items were revoked, where a reason was given."""
    _reason_of: bytearray = field(default_factory=bytearray, repr=False)
    """Index into ``reasons``, plus one; empty while nobody has given a reason."""
    _latest_end: float = field(default=-inf, repr=False, compare=False)
    """When the last item so far ended, but for those of ``_ends``."""
    _ends: list[tuple[float, int, int]] = field(default_factory=list, repr=False, compare=False)
    """Base and range of batches that have not been looked at for that: it is asked once a job."""
    _worker_at: dict[str, int] = field(default_factory=dict, repr=False)
    """Positions in ``workers``."""

    def __post_init__(self) -> None:
        self.states, self.done, self.round = bytearray(), bytearray(), bytearray()
        self.attempts, self.cached = bytearray(), bytearray()
        self.started, self.run_s, self.memory_mb = array("d"), array("f"), array("f")
        self.worker, self.batch_of, self.place = array("H"), array("I"), array("I")
        self.counts = [0] * len(states.NAMES)
        self._grow(self.spec.n)
        self.task = self.spec.task
        self.function = self.spec.function
        self.submitted = [self.spec.submitted]

    def _grow(self, n: int) -> None:
        """Have ``n`` more items, of the current round."""
        self.states += bytes(n)
        self.done += bytes(n)
        self.round += bytes([self.current_round]) * n
        self.attempts += bytes(n)
        self.cached += bytes(n)
        self.started = _grown(self.started, array("d", [NAN]), n)
        self.run_s = _grown(self.run_s, array("f", [NAN]), n)
        self.memory_mb = _grown(self.memory_mb, array("f", [NAN]), n)
        self.worker = _grown(self.worker, array("H", [NOWHERE]), n)
        self.batch_of = _grown(self.batch_of, array("I", [0]), n)
        self.place = _grown(self.place, array("I", [0]), n)
        self.counts[states.PENDING_CODE] += n
        if self._reason_of:
            self._reason_of += bytes(n)

    # -- what can be asked ---------------------------------------------------------------------

    @property
    def n(self) -> int:
        """How many items the job has; of a workflow, as far as it is known."""
        return len(self.states)

    @property
    def n_done(self) -> int:
        """How many items have ended."""
        return sum(self.counts[states.FIRST_DONE_CODE :])

    @property
    def finished(self) -> bool:
        """Whether every item has ended."""
        return self.n_done == self.n

    @property
    def ended_at(self) -> float | None:
        """When the job ended, in seconds since the epoch by the store's clock; ``None`` before."""
        if not self.finished:
            return None
        self._settle_ends()
        return max(self._latest_end, self.submitted[-1])  # nothing ran: empty, or all rejected

    @property
    def name(self) -> str:
        """State of the whole job: its worst item's once all are done."""
        if not self.finished:
            begun = (
                self.n_done or self.counts[states.STARTED_CODE] or self.counts[states.RETRY_CODE]
            )
            return states.STARTED if begun else states.PENDING
        for code in (states.FAILURE_CODE, states.REVOKED_CODE):
            if self.counts[code]:
                return states.NAMES[code]
        return states.SUCCESS

    def error(self, i: int) -> Error | None:
        """Why an item failed, or is to run again; ``None`` of any other."""
        if self.states[i] == states.RETRY_CODE:
            return self.retries[i].error
        if self.states[i] != states.FAILURE_CODE or not self.batch_of[i]:
            return None
        batch = self.batches[self.batch_of[i] - 1]
        return batch.error(i)

    def stage_of(self, i: int) -> Stage | None:
        """Give the stage that an item of a workflow belongs to."""
        return next((stage for stage in self.stages if stage.start <= i < stage.stop), None)

    def reason(self, i: int) -> str:
        """Why an item was revoked; empty when it was not, or because somebody cancelled it."""
        if self.states[i] != states.REVOKED_CODE or not self._reason_of:
            return ""
        place = self._reason_of[i]
        return self.reasons[place - 1] if place else ""

    def where(self, code: int) -> list[int]:
        """List the items in a state, ascending."""
        found, at = [], self.states.find(code)
        while at != -1:
            found.append(at)
            at = self.states.find(code, at + 1)
        return found

    # -- for the fold ---------------------------------------------------------------------------

    def _set_states(self, start: int, stop: int, new: bytes) -> None:
        old = self.states[start:stop]
        for code in range(len(states.NAMES)):
            self.counts[code] += new.count(code) - old.count(code)
        self.states[start:stop] = new

    def _settle_ends(self) -> None:
        unseen, self._ends = self._ends, []
        for base, a, b in unseen:
            ends = map(add, self.started[a:b], self.run_s[a:b])
            # (Where nobody knows when items ran, times are NaN, which is greater than nothing.)
            self._latest_end = max(self._latest_end, base, max(ends))

    def _stopped(self, start: int, stop: int) -> None:
        """Have the items of a range run no longer."""
        for i in [i for i in self.running if start <= i < stop]:
            del self.running[i]

    def _died(self, i: int) -> None:
        """Count a run that was noted and never heard of again."""
        self.attempts[i] = min(self.attempts[i] + 1, 255)

    def _worker_index(self, worker: str) -> int:
        at = self._worker_at.get(worker)
        if at is None:
            if len(self.workers) == NOWHERE:  # workers of one task each, perhaps: no more names
                return NOWHERE
            at = self._worker_at[worker] = len(self.workers)
            self.workers.append(worker)
        return at


def _grown(column: array[T], value: array[T], n: int) -> array[T]:
    """Give a column with ``n`` times a value more; one that was empty is not copied into."""
    if not column:
        return value * n
    column.extend(value * n)
    return column
