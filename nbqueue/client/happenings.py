"""What a record of a job's log means to somebody who listens. Pure: a fold and a record in.

record      happens
started     started       one that has run for a tenth of a second: quicker ones are not noted
retrying    retry         an attempt has failed, and there is another later
outcomes    retry success failure
cancelled   revoked
rejected    failure
(the end)   finished      the whole job
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from nbqueue.core import states
from nbqueue.core.fold import Changes, JobState
from nbqueue.core.records import Finished, Outcomes, Record, Retrying, Started

KINDS = ("started", "retry", "success", "failure", "revoked", "finished")

_OF_STATE = {
    states.SUCCESS_CODE: "success",
    states.FAILURE_CODE: "failure",
    states.REVOKED_CODE: "revoked",
}


class Happening(NamedTuple):
    """The same thing, to one item after the other or to the whole job."""

    kind: str
    start: int = -1
    stop: int = 0
    """Up to before this one; items are from ``start``, -1 for the whole job."""
    retries: int = 0
    """How often the item was retried, by now."""


def happenings(state: JobState, record: Record, changes: Changes) -> Iterator[Happening]:
    """Give what has happened, in order, after the fold has taken the record."""
    if isinstance(record, Started):
        if state.running.get(record.item) is record:
            yield Happening("started", record.item, record.item + 1)
    elif isinstance(record, Retrying):
        for item, retries, _, _ in record.items:
            if 0 <= item < state.n and state.states[item] == states.RETRY_CODE:
                yield Happening("retry", item, item + 1, retries)
    for start, stop in changes.done:
        if isinstance(record, Outcomes):
            yield from _retried(record, start, stop)
        yield from _ended(state, start, stop)
    # A job without items is over from the beginning.
    if changes.finished or (isinstance(record, Finished) and state.n == 0):
        yield Happening("finished")


def _retried(record: Outcomes, start: int, stop: int) -> Iterator[Happening]:
    """Give the retries that were made at once: nobody has heard of them before."""
    for item, retries in record.retries:
        if start <= item < stop:
            yield Happening("retry", item, item + 1, retries)


def _ended(state: JobState, start: int, stop: int) -> Iterator[Happening]:
    codes = bytes(state.states[start:stop])
    at = 0
    while at < len(codes):
        code = codes[at]
        same = len(codes) - len(codes[at:].lstrip(bytes([code])))
        yield Happening(_OF_STATE[code], start + at, start + same)
        at = same
