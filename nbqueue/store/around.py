"""Where messages are at one moment: in which queues, in workers' hands, or kept in the store.

Seen by what their descriptions and heads say, unverified and cheaply: for `lookout`, which looks
every second or two. (`peeking` is for people, and looks at one job.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import chain
from typing import cast

import redis

from nbqueue.core.splitting import Range
from nbqueue.store import keys
from nbqueue.store.message import claimed
from nbqueue.store.transport import Channel

_MOST = 1_000
"""Messages of a queue, and of those that are kept, that are looked at. More: the script holds up
the broker for longer than a few milliseconds."""


@dataclass(frozen=True)
class Around:
    """What was seen of a broker."""

    by_job: Mapping[str, Sequence[Range]]
    """The items of each job that messages are about."""
    whole: frozenset[str]
    """Queues that were seen whole."""
    oldest: Mapping[str, Sequence[str]]
    """Of longer ones, the jobs of the messages that are taken next."""

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
    script = client.register_script(_source("look_around"))
    held = f"{channel.global_keyprefix}{channel.unacked_key}"
    found = cast(
        "list[list[bytes]]",
        script(keys=[held, *chain(*lists)], args=[len(lists[0]), _MOST]),
    )
    by_job: dict[str, list[Range]] = {}
    whole, oldest = set(), {}
    _add(by_job, found[0])
    for name, is_whole, seen in zip(names, found[1::2], found[2::2], strict=True):
        _add(by_job, seen)
        if is_whole:
            whole.add(name)
        else:
            oldest[name] = [raw.decode() for raw in seen[::3]]
    return Around(by_job, frozenset(whole), oldest)


def kept(store: redis.Redis, job_id: str) -> list[Range] | None:
    """Give the items of a job that kept messages are about; ``None`` when there are too many."""
    raws = cast("list[bytes]", store.zrange(keys.LATER, 0, _MOST))
    if len(raws) > _MOST:
        return None
    found = (claimed(raw.decode(errors="replace")) for raw in raws)
    return [(start, stop) for other, start, stop in found if other == job_id]


def _add(by_job: dict[str, list[Range]], seen: Sequence[bytes]) -> None:
    for job, start, stop in zip(seen[::3], seen[1::3], seen[2::3], strict=True):
        by_job.setdefault(job.decode(), []).append((int(start), int(stop)))


def _source(name: str) -> str:
    return files(__package__).joinpath("lua", f"{name}.lua").read_text()
