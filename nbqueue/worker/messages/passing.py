"""What a message has passed on, noted for whoever gets it again.

The broker delivers the message of a process that died again, all of it: it cannot know that most of
its items are in other messages by now. Run by this one as well, and passed on again, they would
run twice to the job's end. So a process that has passed on the rest of its message notes from which
item on, once that is with the broker, and takes the note back when its message is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from nbqueue.core.splitting import Range, below
from nbqueue.store import keys
from nbqueue.store.broker.message import Message
from nbqueue.worker.process.workplace import Workplace


def note(place: Workplace, message: Message, message_id: str, stop: int) -> None:
    """Note that a message's items from ``stop`` on are somebody else's now."""
    place.line.ask("HSET", keys.passed_on(message.spec.id), message_id, stop)


def take_back(place: Workplace, message: Message, message_id: str) -> None:
    """Forget the note: the message is over, and is not going to come again."""
    place.line.ask("HDEL", keys.passed_on(message.spec.id), message_id)


def own(place: Workplace, message: Message, message_id: str, runs: Sequence[Range]) -> list[Range]:
    """Leave the items that a message which comes again has not passed on."""
    stop = cast("bytes | None", place.store.hget(keys.passed_on(message.spec.id), message_id))
    return list(runs) if stop is None else below(runs, int(stop))
