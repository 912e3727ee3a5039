"""An item's life, as its job's log tells it: records in, events out.

The fold (`core.fold`) keeps how an item is; this keeps how it came to that: each attempt, where it
ran, what ended it. It is read when somebody asks (`Job.why`), so it costs nothing before.

    submitted   by a client, to a queue         retrying    raised, and runs again later
    begun       by a worker                     cancelled   by somebody, or because it expired
    lost        whatever ran it is gone         again       job.retry(): a new round
    succeeded, failed                           refused     not signed with the worker's key
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from nbqueue.core import states
from nbqueue.core.records import (
    Cancelled,
    Expanded,
    JobSpec,
    Outcomes,
    Planned,
    Record,
    Rejected,
    Retried,
    Retrying,
    Stage,
    Started,
)
from nbqueue.core.spans import span
from nbqueue.core.splitting import Range

_SAME_S = 0.1
"""An attempt is noted when it has lasted a while, and again with its outcome: begun at the same
time, but for rounding (float32 in the one)."""

WORKER_LOST = "WorkerLost"


@dataclass(frozen=True)
class Event:
    """Something that happened to an item."""

    at: float
    """Seconds since the epoch, by the store's clock."""
    kind: str
    """One of the words above."""
    text: str
    worker: str = ""


@dataclass
class History:
    """What happened to one item, in the order in which it was recorded."""

    item: int
    events: list[Event] = field(default_factory=list)
    lost: int = 0
    """How often it was being run by something that is gone since."""
    _stages: tuple[Stage, ...] = field(default=(), repr=False)
    _at: Started | None = field(default=None, repr=False)
    """The attempt that is under way, as far as it is known."""
    _round: int = field(default=1, repr=False)
    _attempts: int = field(default=0, repr=False)
    _retries: int = field(default=0, repr=False)
    """Of this round."""

    def take(self, at: float, record: Record) -> None:
        """Take the next record of the log, which came to the store at a time."""
        match record:
            case JobSpec():
                self._submitted(record)
            case Planned():
                self._stages = record.stages
            case Expanded() if record.start <= self.item < record.stop:
                self._add(at, "submitted", "found by the step before: " + self._stage_of(record))
            case Started() if record.item == self.item and record.round == self._round:
                self._begun(record)
            case Retrying() if record.round == self._round:
                self._retrying(at, record)
            case Outcomes() if record.round == self._round:
                self._ended(record)
            case Cancelled():
                self._cancelled(record)
            case Retried() if _within(record.runs, self.item):
                self._round, self._at, self._retries = record.round, None, 0
                self._add(record.at, "again", f"job.retry(): round {record.round}")
            case Rejected() if _within(record.runs, self.item):
                text = f"refused: its message cannot be trusted ({record.reason})"
                self._add(at, "refused", text, record.worker)

    def _submitted(self, spec: JobSpec) -> None:
        items = "1 item" if spec.n == 1 else f"{spec.n:,} items"
        where = f" to queue {spec.route.queue!r}" if spec.route.queue else ""
        who = f" by client {spec.origin} (Python {spec.python})"
        self._add(spec.submitted, "submitted", f"a job of {items}{where}{who}")

    def _stage_of(self, record: Expanded) -> str:
        known = record.stage < len(self._stages)
        return self._stages[record.stage].spec.task if known else f"step {record.stage}"

    def _begun(self, record: Started) -> None:
        if self._at is not None:
            if record.at <= self._at.at:
                return  # read twice, or an earlier one that comes late
            self._gone(record.at, "its attempt was not heard of again")
        self._at = record
        self._attempt(record.at, record.worker)

    def _attempt(self, at: float, worker: str) -> None:
        self._attempts += 1
        self._add(at, "begun", f"attempt {self._attempts}", worker)

    def _gone(self, at: float, text: str) -> None:
        assert self._at is not None
        self.lost += 1
        self._add(at, "lost", text, self._at.worker)

    def _retrying(self, at: float, record: Retrying) -> None:
        for i, retries, eta, why in record.items:
            if i == self.item:
                wait = f"in {span(eta - at)}" if eta > at else "at once"
                text = f"{record.errors[why].brief}; retry {retries} {wait}"
                self._add(at, "retrying", text, record.worker)
                if self._at is None and retries > self._retries:  # (not read twice)
                    self._attempts += 1  # too short for its beginning to be noted
                self._at, self._retries = None, max(retries, self._retries)

    def _ended(self, record: Outcomes) -> None:
        place = _place(record.runs, self.item)
        if place is None:
            return
        begun = record.base + record.started[place]
        run_s = record.run_s[place]
        ran = run_s == run_s
        error = record.error(self.item)
        known = self._at
        if known is not None and error is not None and error.kind == WORKER_LOST:
            self._gone(record.base, "its process died")
        elif known is not None and known.worker != record.worker and run_s:
            self._gone(begun, "its attempt was not heard of again")
        new = known is None or known.worker != record.worker or begun > known.at + _SAME_S
        if ran and run_s and new:
            self._attempt(begun, record.worker)
        self._at = None
        end = begun + run_s if ran else record.base
        self._outcome(end, record, place, f" after {span(run_s)}" if ran and run_s else "")

    def _outcome(self, at: float, record: Outcomes, place: int, after: str) -> None:
        tries = dict(record.retries).get(self.item, 0)
        self._attempts += tries
        again = f", retried {tries} time{'s' if tries > 1 else ''} on the spot" if tries else ""
        error = record.error(self.item)
        if record.states[place] == states.FAILURE_CODE:
            text = f"failed{after}{again}" + (f": {error.brief}" if error else "")
            self._add(at, "failed", text, "" if record.never_began else record.worker)
        elif _within(record.cached, self.item):
            self._add(at, "succeeded", "its result came from the cache", record.worker)
        else:
            self._add(at, "succeeded", f"succeeded{after}{again}", record.worker)

    def _cancelled(self, record: Cancelled) -> None:
        over = bool(self.events) and self.events[-1].kind in _OVER
        meant = record.runs is None or (
            _within(record.runs, self.item) and record.round == self._round
        )
        if meant and not over:
            self._at = None
            self._add(record.at, "cancelled", record.reason or "cancelled")

    def _add(self, at: float, kind: str, text: str, worker: str = "") -> None:
        event = Event(at, kind, text, worker)
        if event not in self.events[-1:]:  # a record that was read twice
            self.events.append(event)


_OVER = ("succeeded", "failed", "cancelled", "refused")


def history(entries: Iterable[tuple[float, Record]], item: int) -> History:
    """Give an item's life: from the records of its job's log, each with when the store got it."""
    found = History(item)
    for at, record in entries:
        found.take(at, record)
    return found


def _within(runs: Iterable[Range], item: int) -> bool:
    return any(a <= item < b for a, b in runs)


def _place(runs: Iterable[Range], item: int) -> int | None:
    """Give where a batch has an item's outcome; ``None`` when it has none."""
    before = 0
    for a, b in runs:
        if a <= item < b:
            return before + item - a
        before += b - a
    return None
