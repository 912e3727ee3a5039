"""Where a job's messages are at this moment: in a queue, in a worker's hands, or kept in the store.

For people who ask why an item has not begun (`Job.why`). It only looks, takes nothing, and reads no
more than so much of a long queue. What the broker has is not verified, so of a message there only
its description is read (`core.description`), to be shown. Of what is kept here, signatures hold or
it is passed over.

Only a broker that is a Redis lets its queues be looked into; of any other, `in_queues` gives
``None``.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import redis
from kombu.connection import Connection

from nbqueue.core.description import Described, described
from nbqueue.store import keys
from nbqueue.store.broker import message, transport
from nbqueue.store.broker.message import Message, Unverified
from nbqueue.store.signing import Keyring

_PAGE = 200
_MOST = 5_000
"""Messages of a queue that are looked at. More: a question about a long queue takes seconds."""

_PATIENCE_S = 2.0
"""For all that is looked at together."""


@dataclass(frozen=True)
class Spot:
    """One message of a job, and where it is."""

    where: Literal["queue", "taken", "later"]
    """In a queue; taken out of it by a worker; or kept in the store."""
    start: int
    stop: int
    queue: str = ""
    ahead: int = 0
    """Messages that come before it."""
    before: tuple[tuple[str, int], ...] = ()
    """Whose those are, as far as they were looked at: names of jobs, with how many of each."""
    due: float = 0.0
    """When a message that is kept is sent, in seconds since the epoch by the store's clock."""
    waits_for: Literal["", "slot", "rate", "retry"] = ""
    """Why it is kept; empty: for its time."""
    sure: bool = True
    """Whether it was seen; else there is more than was looked at, and it may be in the rest."""


@dataclass
class _Look:
    """A look into one queue."""

    job_id: str
    item: int | None
    deadline: float
    ahead: int = 0
    before: Counter[str] = field(default_factory=Counter)
    cut_short: bool = False
    """There is more in the queue than was looked at."""

    def find(self, raws: Iterable[bytes]) -> Described | None:
        """Give the first message of the job that has the item; count what comes before."""
        for raw in raws:
            found = _description(raw)
            if found is not None and _means(found, self.job_id, self.item):
                return found
            self.ahead += 1
            self.before[found.job if found else "other programs'"] += 1
        return None

    @property
    def tired(self) -> bool:
        return self.ahead >= _MOST or time.monotonic() > self.deadline


def in_queues(
    connection: Connection, queues: Iterable[str], job_id: str, item: int | None
) -> list[Spot] | None:
    """Find a job's first message that has an item (``None``: any) in each queue, and with workers.

    ``None`` when this broker cannot be looked into.
    """
    channel = connection.default_channel
    if not isinstance(channel, transport.Channel):
        return None
    client = redis.Redis(connection_pool=channel.pool)
    look_until = time.monotonic() + _PATIENCE_S
    found = []
    for queue in queues:
        look = _Look(job_id, item, look_until)
        spot = look.find(_messages(client, channel.lists(queue), look))
        before = tuple(look.before.most_common(5))
        if spot is not None:
            found.append(Spot("queue", spot.start, spot.stop, queue, look.ahead, before))
        elif look.cut_short:
            found.append(Spot("queue", 0, 0, queue, look.ahead, before, sure=False))
    return [*found, *_taken(client, channel, job_id, item)]


def _messages(client: redis.Redis, lists: Iterable[str], look: _Look) -> Iterator[bytes]:
    """Give the messages of a queue in the order in which they are taken, as long as it is worth."""
    for name in lists:
        last = -1
        while page := cast("list[bytes]", client.lrange(name, last - _PAGE + 1, last)):
            if look.tired:
                look.cut_short = True
                return
            yield from reversed(page)
            last -= _PAGE


def _taken(client: redis.Redis, channel: Any, job_id: str, item: int | None) -> list[Spot]:
    """Find the messages that workers hold."""
    key = f"{channel.global_keyprefix}{channel.qos.unacked_key}"
    found = []
    for _tag, raw in client.hscan_iter(key, count=_PAGE):
        try:
            held, _, queue = json.loads(raw)
        except ValueError:
            continue
        what = _description(held)
        if what is not None and _means(what, job_id, item):
            found.append(Spot("taken", what.start, what.stop, str(queue)))
    return found


def _description(raw: Any) -> Described | None:
    try:
        loaded = raw if isinstance(raw, dict) else json.loads(raw)
        return described(loaded["headers"]["argsrepr"])
    except (ValueError, TypeError, LookupError):
        return None


def _means(found: Described, job_id: str, item: int | None) -> bool:
    return found.job_id == job_id and (item is None or found.start <= item < found.stop)


# -- what is kept in the store ---------------------------------------------------------------------


def kept(store: redis.Redis, keyring: Keyring, job_id: str, item: int | None) -> list[Spot]:
    """Find the messages of a job that wait in the store and have an item; by when they are due."""
    found = []
    raws = cast("list[tuple[bytes, float]]", store.zrange(keys.LATER, 0, _MOST, withscores=True))
    for raw, due in raws[:_MOST]:
        envelope = raw.decode(errors="replace")
        if message.claimed_job(envelope) != job_id:
            continue
        try:
            waiting = message.decode(keyring, envelope)
        except Unverified:
            continue
        if waiting.spec.id == job_id and _has(waiting, item):
            found.append(_kept(store, raw, waiting, due))
    if not found and len(raws) > _MOST:
        found.append(Spot("later", 0, 0, ahead=_MOST, sure=False))
    return found


def _has(waiting: Message, item: int | None) -> bool:
    if item is None:
        return True
    if waiting.again:
        return any(attempt.item == item for attempt in waiting.again)
    return waiting.start <= item < waiting.stop


def _kept(store: redis.Redis, raw: bytes, waiting: Message, due: float) -> Spot:
    task, spot = waiting.spec.task, (waiting.start, waiting.stop)
    slot = cast("int | None", store.zrank(keys.waiting(task), raw.decode()))
    if slot is not None:
        return Spot("later", *spot, ahead=slot, due=due, waits_for="slot")
    if store.zscore(keys.paced(task), raw.decode()) is not None:
        ahead = int(cast(Any, store.zrank(keys.paced(task), raw.decode())) or 0)
        return Spot("later", *spot, ahead=ahead, due=due, waits_for="rate")
    return Spot("later", *spot, due=due, waits_for="retry" if waiting.again else "")


@dataclass(frozen=True)
class TaskLimits:
    """What holds a task back over the whole cluster, and who holds its slots."""

    rate: float | None = None
    """Items a second."""
    slots: int | None = None
    holders: tuple[str, ...] = ()
    """Ids of the messages that hold its slots."""


def limits(store: redis.Redis, task: str, now: float) -> TaskLimits:
    """Read what is known of a task's limits."""
    pipe = store.pipeline(transaction=False)
    pipe.hmget(keys.limit(task), "rate", "slots")
    pipe.hget(keys.RATES, task)
    pipe.zrangebyscore(keys.slots(task), f"({now}", "+inf")
    (rate, slots), outside, holders = pipe.execute()
    used = outside if outside is not None else rate
    return TaskLimits(
        rate=float(used) if used is not None else None,
        slots=int(float(slots)) if slots is not None else None,
        holders=tuple(holder.decode(errors="replace") for holder in holders),
    )


@dataclass(frozen=True)
class Meta:
    """What the store's counters say of a job, for whoever asks about it."""

    there: bool = True
    held: bool = False
    """Its message is kept until other jobs have ended."""
    tries: int = 0
    """How often an item was begun after whatever ran it before had died."""


def meta(store: redis.Redis, job_id: str, round_: int, item: int | None) -> Meta:
    """Read them; ``item`` in its round."""
    pipe = store.pipeline(transaction=False)
    pipe.hexists(keys.meta(job_id), "n")
    pipe.exists(keys.held(job_id))
    pipe.hget(keys.tries(job_id), f"{round_}:{item}")
    there, held, tries = pipe.execute()
    return Meta(bool(there), bool(held), int(tries or 0))
