"""A process that is about to kill itself, for the item that it runs: what it leaves behind.

It passes on everything but the item, and notes that (`passing`), so that nothing runs twice when
the broker delivers its message again.
"""

from __future__ import annotations

import logging

from nbqueue.core.errors import BrokerUnreachable
from nbqueue.store.broker.message import Message
from nbqueue.worker.process.workplace import Workplace
from nbqueue.worker.reporting import passing
from nbqueue.worker.reporting.ranges import RangeRun
from nbqueue.worker.reporting.reporter import Reporter

log = logging.getLogger("nbqueue.worker")


def hand_over(place: Workplace, message: Message, run: RangeRun, reporter: Reporter) -> None:
    """Write what has ended, pass on what nobody has begun, and note that this was done."""
    reporter.flush_patiently()
    rest = run.give_away()
    try:
        if rest and not reporter.cancelled:
            reporter.send_rest(rest, reporter.waiting())
    except BrokerUnreachable as exc:
        # Then the broker's own copy of the message has to do: some of it may run twice.
        log.warning("job %s: cannot pass on its rest: %s", message.spec.name, exc)
        return
    passing.note(place, message, reporter.message_id, 0)
