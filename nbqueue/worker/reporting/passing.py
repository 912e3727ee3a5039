"""What a message has passed on, noted for whoever gets it again.

The broker delivers the message of a process that died again, all of it: it cannot know that most of
its items are in other messages by now. Run by this one as well, and passed on again, they would
run twice to the job's end. So a process that has passed on the rest of its message notes from which
item on, once that is with the broker, and takes the note back when its message is over.

RabbitMQ delivers it again as well when the acknowledgement is lost, in a broker that is just going
down, and nobody hears of that. So there the note is taken back later, unless the connection was
lost in the meantime.

And a broker that hangs up while it is given a message may have it or not. Whoever wanted to pass it
on keeps its items then, and notes of the message that it has none: it is looked up for some time
after a connection was lost (`is_looked_up`). Else both would be run, side by side to the end.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, cast

import redis

from nbqueue.core.splitting import Range, below
from nbqueue.store import keys
from nbqueue.store.broker.message import Message
from nbqueue.worker.process.workplace import Workplace

log = logging.getLogger("nbqueue.worker")

_KEEP_S = 60.0
"""How long after its message a note is taken back, on RabbitMQ. Less: a lost connection may not be
noticed yet; more: more notes are in the store."""

_LOOK_UP_S = 600.0
"""How long after a lost connection all messages are looked up. Less: what waits in a long queue is
run twice; more: a round trip for each message that nothing comes of."""


class _Old(NamedTuple):
    """A note of a message that is over."""

    since: float
    """By `time.perf_counter`."""
    job_id: str
    message_id: str


_old: deque[_Old] = deque()
"""This process's, the oldest first."""


def note(place: Workplace, message: Message, message_id: str, stop: int) -> None:
    """Note that a message's items from ``stop`` on are somebody else's now."""
    place.line.ask("HSET", keys.passed_on(message.spec.id), message_id, stop)


def disown(place: Workplace, message: Message, message_ids: Sequence[str]) -> None:
    """Note that messages which the broker may have, of items of this one, are to be run by nobody.

    Without the note, in a store that is away too, their items run twice and are recorded once.
    """
    try:
        for message_id in message_ids:
            note(place, message, message_id, 0)
    except redis.RedisError as exc:
        log.warning("job %s: some items may run twice: %s", message.spec.name, exc)


def take_back(place: Workplace, message: Message, message_id: str) -> None:
    """Forget the note: the message is over, and is not going to come again."""
    if place.redelivered is None:
        place.line.ask("HDEL", keys.passed_on(message.spec.id), message_id)
        return
    now = time.perf_counter()
    _old.append(_Old(now, message.spec.id, message_id))
    while _old and now - _old[0].since > _KEEP_S:
        old = _old.popleft()
        if not place.tally.lost_broker_since(old.since - _KEEP_S):
            place.line.ask("HDEL", keys.passed_on(old.job_id), old.message_id)


def is_looked_up(place: Workplace) -> bool:
    """Say whether a message is to be looked up that nobody has had before."""
    return place.tally.lost_broker_since(time.perf_counter() - _LOOK_UP_S)


def own(place: Workplace, message: Message, message_id: str, runs: Sequence[Range]) -> list[Range]:
    """Leave the items that a message which comes again, or is looked up, has not passed on."""
    stop = cast("bytes | None", place.store.hget(keys.passed_on(message.spec.id), message_id))
    return list(runs) if stop is None else below(runs, int(stop))
