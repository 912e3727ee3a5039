"""Where messages are at one moment: in which queues, in workers' hands, or kept in the store.

Seen by what their descriptions and heads say, unverified and cheaply: for `lookout`, which looks
every second or two. (`peeking` is for people, and looks at one job.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, cast

import redis

from nbqueue.core.splitting import Range
from nbqueue.store import keys
from nbqueue.store.broker.message import claimed
from nbqueue.store.broker.transport import Channel
from nbqueue.store.lua import source

_MOST = 1_000
"""Messages of a queue, and of those that are kept, that are looked at. More: the script holds up
the broker for longer than a few milliseconds."""


class Seen(NamedTuple):
    """A message, as far as it was seen."""

    id: str
    start: int
    stop: int


@dataclass(frozen=True)
class Around:
    """What was seen of a broker."""

    queued: Mapping[str, Sequence[Seen]]
    """The messages in queues, by job."""
    held: Mapping[str, Sequence[Seen]]
    """Those that workers hold."""
    whole: frozenset[str]
    """Queues that were seen whole."""
    oldest: Mapping[str, Sequence[str]]
    """Of longer ones, the jobs of the messages that are taken next."""

    def __contains__(self, job_id: str) -> bool:
        """Say whether a message of a job was seen."""
        return job_id in self.queued or job_id in self.held

    @property
    def queues(self) -> frozenset[str]:
        """All that were looked at."""
        return self.whole | self.oldest.keys()


def look_around(channel: Channel, queues: Iterable[str]) -> Around:
    """See what is in some queues and in workers' hands.

    Raises:
        redis.RedisError: the broker is away.
    """
    names = sorted(queues)
    lists = [channel.lists(name) for name in names]
    client = redis.Redis(connection_pool=channel.pool)
    script = client.register_script(source("look_around"))
    held = f"{channel.global_keyprefix}{channel.unacked_key}"
    found = cast(
        "list[list[bytes]]",
        script(keys=[held, *chain(*lists)], args=[len(lists[0]), _MOST]),
    )
    queued: dict[str, list[Seen]] = {}
    held_by_job: dict[str, list[Seen]] = {}
    whole, oldest = set(), {}
    _add(held_by_job, found[0])
    for name, is_whole, seen in zip(names, found[1::2], found[2::2], strict=True):
        _add(queued, seen)
        if is_whole:
            whole.add(name)
        else:
            oldest[name] = [raw.decode() for raw in seen[::4]]
    return Around(queued, held_by_job, frozenset(whole), oldest)


def covered(store: redis.Redis, around: Around, job_id: str) -> list[Range]:
    """Give the items of a job that messages in queues and in workers' hands are about.

    Of a message that has passed on its rest, only those that it has kept.
    """
    found = [(seen.start, seen.stop) for seen in around.queued.get(job_id, ())]
    held = around.held.get(job_id, ())
    if any(seen.stop - seen.start > 1 for seen in held):
        passed = cast("dict[bytes, bytes]", store.hgetall(keys.passed_on(job_id)))
        stops = {raw.decode(): int(stop) for raw, stop in passed.items()}
        held = [seen._replace(stop=min(seen.stop, stops.get(seen.id, seen.stop))) for seen in held]
    return [*found, *((seen.start, seen.stop) for seen in held)]


def kept(store: redis.Redis, job_id: str) -> list[Range] | None:
    """Give the items of a job that kept messages are about; ``None`` when there are too many."""
    raws = cast("list[bytes]", store.zrange(keys.LATER, 0, _MOST))
    if len(raws) > _MOST:
        return None
    found = (claimed(raw.decode(errors="replace")) for raw in raws)
    return [(start, stop) for other, start, stop in found if other == job_id]


def _add(by_job: dict[str, list[Seen]], seen: Sequence[bytes]) -> None:
    for job, start, stop, name in zip(seen[::4], seen[1::4], seen[2::4], seen[3::4], strict=True):
        found = Seen(name.decode(), int(start), int(stop))
        by_job.setdefault(job.decode(), []).append(found)
