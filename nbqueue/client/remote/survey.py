"""What a cluster looks like at one moment: workers, what they run, and queues. Pure.

`control` asks and gets replies; here replies become data. They come through the broker unsigned:
whatever is in one is shown as text or counted, and never trusted further.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbqueue.core.description import described

_TEXT = 300
"""A name is not longer than that; a reply may be anybody's."""


@dataclass(frozen=True)
class Running:
    """One message that a worker is at."""

    message_id: str
    job_id: str
    job: str
    """The job's name."""
    task: str
    start: int
    """The message came with the items from ``start`` to before ``stop``; it may have passed some
    of them on since."""
    stop: int
    item: int | None
    """The item that runs now; ``None`` when it has not been at it long enough to say so."""
    for_s: float
    """How long the item has been running, or the message where the item is not known."""
    args: str = ""
    """The arguments, as text, of a task that is Celery's and of no job."""

    @property
    def label(self) -> str:
        """The job and what of it: ``grid 17``, ``grid 0–99``, or just ``load`` for a call."""
        if self.item is not None and (self.stop - self.start > 1 or self.item):
            return f"{self.job} {self.item}"
        if self.stop - self.start > 1:
            return f"{self.job} {self.start}–{self.stop - 1}"
        return f"{self.job} {self.start}" if self.start else self.job


@dataclass(frozen=True)
class Worker:
    """One worker: a Celery node with its pool."""

    name: str
    """The node's name, as Celery's ``destination`` wants it."""
    host: str
    pid: int
    pool: str
    """``prefork``, ``threads``, ``solo``."""
    processes: int
    """How many messages it runs at a time."""
    leaving: int
    """Processes beyond that, which end after what they run."""
    resizable: bool
    queues: tuple[str, ...]
    running: tuple[Running, ...]
    n_running: int
    """How many messages it is at; ``running`` names the first of them."""
    done: int
    """Items recorded since it started."""
    memory_mb: float
    """Resident memory of all its processes; what they share is counted in each."""
    up_s: float


@dataclass(frozen=True)
class Queue:
    """One queue."""

    name: str
    waiting: int
    """Messages that no worker has taken yet. A message holds one item or many."""
    consumers: int
    """Workers that take from it."""


@dataclass(frozen=True)
class Survey:
    """All that was found out in one go."""

    at: float
    """When, by a monotonic clock."""
    workers: tuple[Worker, ...]
    queues: tuple[Queue, ...]
    silent: tuple[str, ...] = ()
    """Workers that were known and did not answer."""


def read_workers(said: Mapping[str, Any]) -> tuple[Worker, ...]:
    """Give the workers that replied with something readable, by name."""
    return tuple(
        _worker(name[:_TEXT], reply)
        for name, reply in sorted(said.items())
        if isinstance(reply, dict) and "error" not in reply
    )


def _worker(name: str, said: Mapping[str, Any]) -> Worker:
    running = tuple(_running(each) for each in _list(said, "running") if isinstance(each, dict))
    return Worker(
        name=name,
        host=name.rpartition("@")[2],
        pid=_whole(said, "pid"),
        pool=_text(said, "pool"),
        processes=_whole(said, "processes"),
        leaving=_whole(said, "leaving"),
        resizable=said.get("resizable") is True,
        queues=tuple(str(queue)[:_TEXT] for queue in _list(said, "queues")),
        running=tuple(sorted(running, key=lambda each: (each.job, each.item or each.start))),
        n_running=max(_whole(said, "n_running"), len(running)),
        done=_whole(said, "done"),
        memory_mb=_number(said, "memory_mb"),
        up_s=_number(said, "up_s"),
    )


def _running(said: Mapping[str, Any]) -> Running:
    task = _text(said, "task")
    match = described(said.get("what"))
    item = said.get("item")
    start, stop = (match.start, match.stop) if match else (0, 1)
    if stop - start == 1:
        item = start  # a message of one item: no need to be told
    return Running(
        message_id=_text(said, "id"),
        job_id=match.job_id[:_TEXT] if match else "",
        job=match.job[:_TEXT] if match else task,
        task=task,
        start=start,
        stop=stop,
        item=item if isinstance(item, int) else None,
        for_s=_number(said, "for_s" if said.get("item") is None else "item_for_s"),
        args="" if match else _text(said, "what"),
    )


def queues_of(
    workers: Sequence[Worker], sent_to: Sequence[str], depths: Mapping[str, tuple[int, int]]
) -> tuple[Queue, ...]:
    """Put together what brokers and workers say about queues, by name.

    ``depths``: messages and consumers, as far as the broker knows them (Redis counts no consumers).
    """
    names = {*sent_to, *depths, *(name for worker in workers for name in worker.queues)}
    listeners = {name: sum(name in worker.queues for worker in workers) for name in names}
    return tuple(
        Queue(name, depths.get(name, (0, 0))[0], max(depths.get(name, (0, 0))[1], listeners[name]))
        for name in sorted(names)
    )


def _text(said: Mapping[str, Any], key: str) -> str:
    value = said.get(key)
    return value[:_TEXT] if isinstance(value, str) else ""


def _number(said: Mapping[str, Any], key: str) -> float:
    value = said.get(key)
    return float(value) if isinstance(value, (int, float)) and value == value else 0.0


def _whole(said: Mapping[str, Any], key: str) -> int:
    value = said.get(key)
    return value if isinstance(value, int) else 0


def _list(said: Mapping[str, Any], key: str) -> list[Any]:
    value = said.get(key)
    return value if isinstance(value, list) else []
