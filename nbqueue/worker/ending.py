"""A process that is about to kill itself, for the item that it runs: what it leaves behind.

The broker delivers the message of a process that died again, and whoever gets it runs all items of
it that are not recorded: it cannot know which of them were passed on. A process that dies by its
own hand passes on everything but the item, and notes that, so that nothing runs twice.
"""

from __future__ import annotations

import logging

from nbqueue.core import settings
from nbqueue.core.errors import BrokerUnreachable
from nbqueue.store import keys
from nbqueue.store.message import Message
from nbqueue.worker.ranges import RangeRun
from nbqueue.worker.reporter import Reporter
from nbqueue.worker.workplace import Workplace

log = logging.getLogger("nbqueue.worker")


def hand_over(place: Workplace, message: Message, run: RangeRun, reporter: Reporter) -> None:
    """Write what has ended, pass on what nobody has begun, and note that this was done."""
    reporter.flush_patiently()
    rest = run.give_away()
    try:
        if rest and not reporter.cancelled:
            reporter.send_rest(rest)
    except BrokerUnreachable as exc:
        # Then the broker's own copy of the message has to do: some of it may run twice.
        log.warning("job %s: cannot pass on its rest: %s", message.spec.name, exc)
        return
    with place.store.pipeline() as pipe:
        key = keys.handed_over(message.spec.id)
        pipe.sadd(key, reporter.message_id)
        pipe.expire(key, int(settings.RESULT_EXPIRES_S + settings.KEEP_EXTRA_S))
        pipe.execute()


def was_handed_over(place: Workplace, message: Message, message_id: str) -> bool:
    """Say whether all of a message that comes again is somebody else's already."""
    return bool(place.store.sismember(keys.handed_over(message.spec.id), message_id))
