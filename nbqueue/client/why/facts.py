"""What is known of an item at one moment, and what is concluded from it: data, and no more."""

from __future__ import annotations

from dataclasses import dataclass, field

from nbqueue.client.remote.survey import Running, Survey, Worker
from nbqueue.core.records import Started
from nbqueue.store.messages.peeking import Meta, Spot, TaskLimits


@dataclass(frozen=True)
class Other:
    """Something that must succeed before: another job, or a step of the workflow."""

    name: str
    left: int
    n: int
    bad: int = 0


@dataclass(frozen=True)
class Facts:
    """What is known of an item that has not ended, at one moment."""

    job_id: str
    item: int
    state: str
    now: float
    """Seconds since the epoch, by the store's clock."""
    queue: str = ""
    """Its queue; empty when an exchange decides."""
    error: str = ""
    """Why it is to be retried."""
    started: Started | None = None
    """Its latest attempt that was noted."""
    expires: float | None = None
    survey: Survey | None = None
    trouble: str = ""
    """Why nobody could be asked."""
    spots: tuple[Spot, ...] | None = ()
    """Where messages that hold it are; ``None`` when the broker cannot be looked into."""
    kept: tuple[Spot, ...] = ()
    unsure: tuple[Spot, ...] = ()
    """Where it may be, because not all was looked through."""
    others: tuple[Other, ...] = ()
    """What must succeed before it, and has not."""
    cancelled: frozenset[str] = frozenset()
    """Ids of jobs that are cancelled, of which workers still run something."""
    step: str = ""
    """Of a workflow: the task of its step."""
    projects: bool = False
    """It is a task of a Celery project's: its message is plain Celery's, and so are its workers."""
    limits: TaskLimits = field(default_factory=TaskLimits)
    meta: Meta = field(default_factory=Meta)

    @property
    def workers(self) -> tuple[Worker, ...]:
        """The workers that answered."""
        return self.survey.workers if self.survey else ()

    def consumers(self) -> list[Worker]:
        """Give the workers that consume the item's queue."""
        return [worker for worker in self.workers if not self.queue or self.queue in worker.queues]

    def at(self) -> list[tuple[Worker, Running]]:
        """Give who is at a message that came with the item."""
        return [
            (worker, running)
            for worker in self.workers
            for running in worker.running
            if running.job_id == self.job_id and running.start <= self.item < running.stop
        ]


@dataclass(frozen=True)
class Verdict:
    """What holds an item up."""

    kind: str
    """One of the words above."""
    text: str
    """A sentence without its subject: ``waits in queue 'celery' behind 3 messages``."""
    advice: str = ""
    """What can be done about it; empty when nothing needs to be."""
