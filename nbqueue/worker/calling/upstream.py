"""What a call of a workflow takes from the stages before it, read from the job's log.

    message → which stages it takes from → where in the log their outcomes are → their results

Read once a message, and unpickled anew for each item, so that items that change what they take do
not change it for others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

from nbqueue.core import states
from nbqueue.core.errors import BadSignature, Expired, RemoteError, UpstreamFailed
from nbqueue.core.plan import All, Failed, Listed, One, Other, Spread, Take, stages_of
from nbqueue.core.records import Error, Outcomes, Planned, Record
from nbqueue.core.splitting import Range
from nbqueue.store import keys
from nbqueue.store.broker.message import Message
from nbqueue.store.values.packing import unpack_exception
from nbqueue.store.values.results import Column
from nbqueue.worker.current import item_id, request_of
from nbqueue.worker.process.workplace import Workplace

_PAGE = 500
_BEGINNING = "-"

Lead = Callable[[], tuple[Any, ...]]
"""Gives the arguments in front of an item's own."""


def leading(place: Workplace, message: Message) -> Lead:
    """Give what makes the arguments that a message's items take from before.

    Raises:
        Expired: what they take is not in the store any more.
    """
    assert message.stage is not None
    take = message.stage.takes
    if take is None:
        return tuple
    if isinstance(take, Failed):
        return _failure(place, message, take.form)
    first = message.opening.spec.n
    read = _Reading(place, message.spec.id, sorted(set(stages_of(take))), message.sources, first)
    return lambda: (read.value(take),)


class _Piece(NamedTuple):
    """Results of consecutive items: where they go, and where they are."""

    start: int
    stop: int
    column: Column
    place: int


class _Results:
    """The results of some items, read from their outcomes."""

    def __init__(self, records: Iterable[Record], start: int, stop: int, place: Workplace) -> None:
        self._n = stop - start
        self._pieces: list[_Piece] = []
        for record in records:
            if isinstance(record, Outcomes):
                self._take(record, start, stop, place)

    def _take(self, record: Outcomes, start: int, stop: int, place: Workplace) -> None:
        column = Column(record.results, place.blobs)
        at = 0
        for a, b in record.runs:
            for i, j in _successes(record.states, a, b, at, start, stop):
                self._pieces.append(_Piece(i - start, j - start, column, at + i - a))
            at += b - a

    def values(self) -> list[Any]:
        """Give the results, in order."""
        found: list[Any] = [None] * self._n
        there = bytearray(self._n)
        for piece in self._pieces:
            count = piece.stop - piece.start
            found[piece.start : piece.stop] = piece.column.slice(piece.place, piece.place + count)
            there[piece.start : piece.stop] = b"\x01" * count
        if missing := there.count(0):
            raise UpstreamFailed(
                f"{missing:,} of the {self._n:,} results that this step takes are not there: what "
                "it follows has not succeeded, or runs again"
            )
        return found


def _successes(
    codes: bytes, a: int, b: int, at: int, start: int, stop: int
) -> Iterator[tuple[int, int]]:
    """List the ranges within ``[a, b)`` and ``[start, stop)`` whose items have succeeded."""
    i, end = max(a, start), min(b, stop)
    if i < end and codes.count(states.SUCCESS_CODE, at + i - a, at + end - a) == end - i:
        yield i, end
        return
    while i < end:
        j = i
        while j < end and codes[at + j - a] == states.SUCCESS_CODE:
            j += 1
        if j > i:
            yield i, j
        i = j + 1


class _Reading:
    """The results of the stages that a message takes from.

    ``sources`` are the items of stages that the plan has; others are asked of the store, and are
    no items from before ``first``, which are known.
    """

    def __init__(
        self,
        place: Workplace,
        job_id: str,
        numbers: list[int],
        sources: Sequence[tuple[int, Range]],
        first: int,
    ) -> None:
        self._place = place
        self._results: dict[int, _Results] = {}
        self._others: dict[str, Callable[[], Any]] = {}
        names = [f"{what}:{s}" for s in numbers for what in ("items", "from", "to")]
        found = _known(place, job_id, names) if names else []
        known = dict(sources)
        for k, s in enumerate(numbers):
            items, begin, end = found[3 * k : 3 * k + 3]
            start, stop = known.get(s) or _grown(items, first)
            records = _between(place, job_id, begin, end) if begin and end else ()
            self._results[s] = _Results(records, start, stop, place)

    def value(self, take: Take) -> Any:
        """Make what is taken, anew."""
        if isinstance(take, One):
            return self._results[take.stage].values()[0]
        if isinstance(take, (All, Spread)):
            return self._results[take.stage].values()
        if isinstance(take, Listed):
            found: list[Any] = []
            for part in take.parts:
                if isinstance(part, Spread):
                    found.extend(self.value(part))
                else:
                    found.append(self.value(part))
            return take.ordered(found)
        assert isinstance(take, Other)
        if take.job_id not in self._others:
            self._others[take.job_id] = self._other(take)
        return self._others[take.job_id]()

    def _other(self, take: Other) -> Callable[[], Any]:
        """Give what makes the result of another job."""
        place, job_id = self._place, take.job_id
        spec = place.joblog.spec(job_id)
        if spec.stages:
            planned = _planned(place, job_id)
            result = planned.result
            sources = [
                (s.number, s.planned_items) for s in planned.stages if s.planned_items is not None
            ]
            read = _Reading(place, job_id, sorted(set(stages_of(result))), sources, spec.n)
            return lambda: read.value(result)
        found = _Results(_between(place, job_id, _BEGINNING, "+"), 0, spec.n, place)
        return lambda: found.values()[0] if take.single else found.values()


def _grown(items: str, first: int) -> Range:
    """Read what the store says of the items that a stage has got; they come after all others."""
    start, stop = map(int, items.split()) if items else (first, first)
    if not first <= start <= stop:
        raise BadSignature(f"a stage cannot have got the items from {start} to {stop}")
    return start, stop


def _planned(place: Workplace, job_id: str) -> Planned:
    """Read the plan of a workflow: the second record of its log."""
    for entry in place.joblog.read(job_id, limit=2):
        if isinstance(entry.record, Planned):
            return entry.record
    raise Expired(f"the plan of job {job_id!r} is not in the store any more")


def _known(place: Workplace, job_id: str, names: list[str]) -> list[str]:
    found = cast("list[bytes | None]", place.store.hmget(keys.plan(job_id), names))
    return ["" if value is None else value.decode() for value in found]


def _between(place: Workplace, job_id: str, first: str, last: str) -> Iterator[Record]:
    """Read the records of a log from one entry to another, both included."""
    after = first if first == _BEGINNING else _before(first)
    while entries := place.joblog.read(job_id, after, _PAGE, until=last):
        for entry in entries:
            yield entry.record
        after = entries[-1].id


def _before(entry: str) -> str:
    """Give the id that comes right before an entry's."""
    ms, _, seq = entry.partition("-")
    return f"{ms}-{int(seq) - 1}" if int(seq) else f"{int(ms) - 1}-18446744073709551615"


# -- errbacks --------------------------------------------------------------------------------------


def _failure(place: Workplace, message: Message, form: str) -> Lead:
    """Give an errback its arguments: as Celery has it, an id, or request, exception, traceback."""
    assert message.stage is not None
    job_id = message.spec.id
    (cause,) = _known(place, job_id, [f"cause:{message.stage.number}"])
    if not cause.isdigit():
        exc = UpstreamFailed(f"{cause or 'a job that this one follows'} did not succeed")
        return lambda: (cause,) if form == "id" else (None, exc, "")
    first, last = _known(place, job_id, [f"from:{cause}", f"to:{cause}"])
    for record in _between(place, job_id, first, last):
        if isinstance(record, Outcomes) and (found := _first_error(record)) is not None:
            item, error = found
            failed = replace(message, stage=_planned(place, job_id).stages[int(cause)])
            return lambda: _told(place, failed, item, error, form)
    raise Expired(f"what went wrong in job {message.spec.name!r} is not in the store any more")


def _first_error(record: Outcomes) -> tuple[int, Error] | None:
    for a, b in record.runs:
        for item in range(a, b):
            if (error := record.error(item)) is not None:
                return item, error
    return None


def _told(place: Workplace, failed: Message, item: int, error: Error, form: str) -> tuple[Any, ...]:
    if form == "id":
        return (item_id(failed.spec.id, item),)
    request = request_of(failed, item)
    exc = unpack_exception(error.pickled, place.blobs)
    if exc is None:
        exc = RemoteError(str(error))
    return request, exc, error.traceback
