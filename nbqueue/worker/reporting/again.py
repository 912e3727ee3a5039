"""Items that are to run again later: which messages will run them, and what the log says of it.

Decisions only; the reporter writes. Such an item holds no process and no message: its attempt ends,
and a message with its next attempt waits in the store until it is due (`store.messages.later`),
which outlives every worker. Items that are due at about the same time share a message, because a
thousand items of a service that is down would otherwise be a thousand messages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from nbqueue.core import splitting
from nbqueue.core.records import Error, Retrying
from nbqueue.core.settings import COMMIT_INTERVAL_S
from nbqueue.core.splitting import Range
from nbqueue.store.broker.message import Attempt, Message

_TOGETHER = 500
"""Most items of one message. More: a message of tens of kilobytes; fewer: more messages."""


class PutOff(NamedTuple):
    """An item's next attempt."""

    attempt: Attempt
    due: float
    """Seconds since the epoch, by the store's clock."""
    error: Error
    """Why."""


def later(
    message: Message, found: Sequence[PutOff], worker: str
) -> tuple[Retrying, list[tuple[float, Message]]]:
    """Give the record of items of a message that were put off, and the messages that will run them.

    Each with the time at which it is due: that of the latest of its items.
    """
    errors: dict[Error, int] = {}
    items = []
    for one in found:
        why = errors.setdefault(replace(one.error, pickled=b""), len(errors))
        items.append((one.attempt.item, one.attempt.retries, one.due, why))
    record = Retrying(message.round, worker, tuple(items), tuple(errors))
    groups = _together(sorted(found, key=lambda one: one.due))
    message = replace(message, turn="")  # the next attempt takes its turn like any other
    return record, [
        (group[-1].due, message.of_attempts([one.attempt for one in group])) for group in groups
    ]


def _together(found: Sequence[PutOff]) -> Iterator[list[PutOff]]:
    group: list[PutOff] = []
    for one in found:
        if group and (one.due - group[0].due > COMMIT_INTERVAL_S or len(group) == _TOGETHER):
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def parts(message: Message, runs: Sequence[Range], n: int) -> list[Message]:
    """Divide what is left of a message of retries into at most ``n``."""
    attempts = message.among(runs).again
    return [message.of_attempts(attempts[a:b]) for a, b in splitting.divide(0, len(attempts), n)]
