"""The records of a job's log, and their bytes.

A job's log is one Redis stream; each entry is one record of a class below, signed by whoever
wrote it. Job states, futures, progress and DataFrames are folds (`core.fold`) of these records
in stream order and of nothing else.

    kind       written by   says
    opened     client       the job exists: its `JobSpec`
    started    worker       items that have been running for a while, and where
    outcomes   worker       how items ended: states, times, results, errors (`Outcomes`)
    retrying   worker       items that run again later: why, and when (`Retrying`)
    progress   worker       how far running items are
    output     worker       what running items print and display
    cancelled  client       items (or all that are left) will not run
    retried    client       failed items run again, in a new round, perhaps with a new function
    rejected   worker       a message was not signed with the worker's key   (unsigned!)
    planned    client       the job is a workflow: its stages (`core.plan`)
    expanded   the store    a stage of a workflow has got its items           (unsigned!)
    finished   the store    nothing is left to do                            (unsigned!)

``rejected``, ``expanded`` and ``finished`` are written by parties that hold no key, so the fold
trusts them with nothing but bookkeeping: none carries anything that is unpickled.

Bytes: a record is a JSON header; `Outcomes` adds packed columns behind it
(``uint32 length | header | states u8 | started f4 | run_s f4 | results``), little-endian,
because a million items must cost megabytes, not gigabytes. Results stay pickled until asked
for. The format is versioned by `FORMAT`; a reader refuses what is newer than itself.

**Rounds.** A job begins in round 1. ``job.retry`` opens the next round for the items that failed;
an outcome counts only in its item's current round, so a straggler of an old round changes nothing.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import isnan
from typing import Any, ClassVar

from nbqueue.core.plan import Take
from nbqueue.core.splitting import Range, count

FORMAT = 1

MOST_ROUNDS = 255
"""A job's items are tried in at most this many rounds: the fold keeps a byte an item for it."""


@dataclass(frozen=True)
class Route:
    """How a job's messages travel: Celery's own options, ``None`` where Celery decides."""

    queue: str | None = None
    priority: int | None = None
    eta: float | None = None
    """Seconds since the epoch, by the store's clock, before which no item begins."""
    exchange: str | None = None
    """Instead of the queue: what decides, by the routing key, which queue it is."""
    routing_key: str | None = None


@dataclass(frozen=True)
class Limits:
    """What each item of a job is allowed: Celery's options, by the item instead of the message."""

    max_retries: int = 0
    """How often an item that raises is run again, at once and by the same worker."""
    soft_time_limit: float | None = None
    """Seconds after which an item is interrupted by SoftTimeLimitExceeded."""
    time_limit: float | None = None
    """Seconds after which the process that runs an item is killed."""
    expires: float | None = None
    """Seconds since the epoch, by the store's clock, after which no item of round 1 is begun."""
    rate_limit: float | None = None
    """Items of the task that begin in a second, over all workers."""
    concurrency: int | None = None
    """Messages of the task that are worked on at the same time, over all workers."""


NO_LIMITS = Limits()


@dataclass(frozen=True)
class JobSpec:
    """Everything about a job that does not change while it runs."""

    kind: ClassVar[str] = "opened"

    id: str
    name: str
    task: str
    """Name of the task, as shown."""
    function: str
    """Address of the pickled function in the store."""
    n: int
    """How many items the job has."""
    block: int
    """Items per argument block; 0 when the only item travels inside its message."""
    params: tuple[str, ...]
    """Names of the function's parameters, for the frame's columns."""
    submitted: float
    """Seconds since the epoch, by the store's clock."""
    origin: str
    """Bell channel of the client that submitted it."""
    python: str
    """``major.minor`` of the submitting interpreter: functions by value load only there."""
    chunksize: int | None = None
    """Items per message, when the caller fixed it; ``None`` lets workers split lazily."""
    cwd: str = ""
    """Folder to run in, where client and workers share a machine; empty leaves it alone."""
    route: Route = field(default_factory=Route)
    limits: Limits = NO_LIMITS
    after: tuple[str, ...] = ()
    """Ids of the jobs that must succeed before this one begins."""
    cache: str = ""
    """Digest of the function (`store.values.identity`) when results may come from the cache; after
    a mark (`store.values.cache.FRESH`) when they are only put there."""
    ignore_result: bool = False
    """What items return is not kept."""
    track_started: bool = False
    """The beginning of each item is recorded at once."""
    stages: int = 0
    """How many stages a workflow has; 0 for a job that is none."""
    result_expires: float = 0.0
    """Seconds from its end for which the job is kept; 0 for the default."""
    headers: str = ""
    """What the caller has put into Celery's message headers, stamps too; a JSON object."""


@dataclass(frozen=True)
class Error:
    """One way in which items failed, as text and, where it can travel, as the exception itself."""

    type: str
    message: str
    traceback: str
    pickled: bytes = b""
    """Pickled exception; empty when it cannot be pickled."""

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type

    @property
    def brief(self) -> str:
        """What happened, with the class's name only: a table has no room for its module."""
        return f"{self.kind}: {self.message}" if self.message else self.kind

    @property
    def kind(self) -> str:
        """Name of the exception's class, without its module."""
        return self.type.rpartition(".")[2]

    @property
    def is_death(self) -> bool:
        """Whether the process that ran the item ended because of it, by itself or killed."""
        return self.kind in ("WorkerLost", "TimeLimitExceeded")


@dataclass(frozen=True)
class Started:
    """Items that have been running for longer than a commit interval."""

    kind: ClassVar[str] = "started"

    round: int
    worker: str
    message_id: str
    """Celery's id of the message being worked on, for `terminate`."""
    item: int
    at: float


@dataclass(frozen=True)
class Outcomes:
    """How the items of some ranges ended, column by column in the order of ``runs``."""

    kind: ClassVar[str] = "outcomes"

    round: int
    worker: str
    runs: tuple[Range, ...]
    states: bytes
    """One state code an item."""
    base: float
    """Seconds since the epoch that ``started`` counts from."""
    started: array[float]
    """float32 seconds after ``base``."""
    run_s: array[float]
    """float32 seconds."""
    memory_mb: float
    """Peak resident memory of the worker process when the batch was written."""
    results: bytes
    """Pickled results (`store.values.packing`); unpickled only on demand and after verification."""
    errors: tuple[Error, ...] = ()
    error_of: tuple[tuple[int, int], ...] = ()
    """(item, index into ``errors``) of the items that failed; empty when one error is all's."""
    retries: tuple[tuple[int, int], ...] = ()
    """(item, how often it was run again before this outcome) of the items that were."""
    cached: tuple[Range, ...] = ()
    """Items whose results came from the cache."""

    @property
    def n(self) -> int:
        """How many items the batch reports."""
        return count(self.runs)

    @property
    def never_began(self) -> bool:
        """Whether its items ended without having been begun, all in one error."""
        return bool(self.errors) and not self.error_of and isnan(self.run_s[0])

    def error(self, item: int) -> Error | None:
        """Give why an item of the batch failed; ``None`` when it did not."""
        if not self.error_of:
            return self.errors[0] if self.errors else None
        k = self._errors_by_item.get(item)
        return None if k is None else self.errors[k]

    @cached_property
    def _errors_by_item(self) -> dict[int, int]:
        return dict(self.error_of)


@dataclass(frozen=True)
class Retrying:
    """Items whose attempt has ended and that are to run again at a later time."""

    kind: ClassVar[str] = "retrying"

    round: int
    worker: str
    items: tuple[tuple[int, int, float, int], ...]
    """(item, how often it has been retried with this, when it runs again, index into ``errors``);
    the time is in seconds since the epoch, by the store's clock."""
    errors: tuple[Error, ...]
    """Why; text only."""


@dataclass(frozen=True)
class Progressed:
    """How far a running item is, as its function reported it."""

    kind: ClassVar[str] = "progress"

    item: int
    done: float
    total: float | None
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Output:
    """Something that an item printed or displayed."""

    kind: ClassVar[str] = "output"

    item: int
    message_id: str
    place: int
    """Counts what the message has written, so that a repeated record can be told from an echo."""
    output: Mapping[str, Any]
    """An output of nbformat 4 (``stream``, ``display_data``, ``execute_result``, ``error``), or one
    of the messages that change earlier ones (``update_display_data``, ``clear_output``); see
    `core.outputs`."""


@dataclass(frozen=True)
class Cancelled:
    """Items that will not run; ``runs=None`` means all that were not done."""

    kind: ClassVar[str] = "cancelled"

    at: float
    runs: tuple[Range, ...] | None = None
    round: int = 1
    """Round of the items in ``runs``: those of another round are not meant. Says nothing else."""
    reason: str = ""
    """Why, where it was not a person's wish."""


@dataclass(frozen=True)
class Retried:
    """Items that go back to PENDING in a new round."""

    kind: ClassVar[str] = "retried"

    round: int
    runs: tuple[Range, ...]
    at: float
    task: str
    function: str


@dataclass(frozen=True)
class Rejected:
    """A worker refused a message whose signature it could not verify."""

    kind: ClassVar[str] = "rejected"

    round: int
    runs: tuple[Range, ...]
    worker: str
    reason: str


@dataclass(frozen=True)
class Stage:
    """One stage of a workflow: items that are sent together, with one function."""

    number: int
    start: int
    stop: int
    """Its items; 0 and 0 when they are not known from the beginning."""
    spec: JobSpec
    """What the stage would be as a job: task, function, options; the workflow's id and name."""
    kind: str = ""
    """``"spreads"`` finds the items of the next stage, ``"grows"``, whose number is not known
    before; ``"rescues"`` is an errback; anything else runs when its time has come."""
    after: tuple[int, ...] = ()
    """Stages that must have succeeded; of an errback, those one of which must have failed."""
    takes: Take | None = None
    """What each item gets in front of its own arguments."""
    star: bool = False
    """Of a stage that spreads: each element is a tuple of arguments."""
    countdown: float | None = None
    """Seconds from the moment when it may begin to the one when it does."""

    @property
    def planned_items(self) -> Range | None:
        """Its items, none perhaps; ``None`` when they are not known from the beginning."""
        return None if self.kind in ("grows", "rescues") else (self.start, self.stop)


@dataclass(frozen=True)
class Planned:
    """The stages of a workflow, and what of their results is its own."""

    kind: ClassVar[str] = "planned"

    stages: tuple[Stage, ...]
    result: Take


@dataclass(frozen=True)
class Expanded:
    """A stage that had no items has got them, behind all others."""

    kind: ClassVar[str] = "expanded"

    stage: int
    start: int
    stop: int


@dataclass(frozen=True)
class Finished:
    """Nothing is left to do (until a retry)."""

    kind: ClassVar[str] = "finished"

    at: float


Record = (
    JobSpec
    | Started
    | Outcomes
    | Retrying
    | Progressed
    | Output
    | Cancelled
    | Retried
    | Rejected
    | Planned
    | Expanded
    | Finished
)
