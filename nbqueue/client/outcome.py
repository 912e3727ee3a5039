"""What became of an item, as Python objects: its result, or the exception to raise for it.

Pickled results are kept as they came, up to a limit; what comes on top is read from the log again
when it is asked for. So a job's results may be larger than this process's memory, as long as nobody
asks for all of them at once.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Any

from nbqueue.core import states
from nbqueue.core.errors import (
    BadSignature,
    NbqueueError,
    RemoteError,
    RemoteTraceback,
    ResultNotLoadable,
)
from nbqueue.core.fold import JobState
from nbqueue.core.records import Error
from nbqueue.store.values.packing import BlobStore, unpack_exception, why_no_exception
from nbqueue.store.values.results import Column

_COLUMNS, _COLUMN_BYTES = 8, 8_000_000
"""Batches whose results are kept unpickled, one for each that is read side by side; of large ones
fewer."""

_HELD_BYTES = 32_000_000
"""Pickled results of a job up to this size stay in this process. More: a client of many jobs grows;
less: results are read from the store twice."""

_FEW = 8
"""A batch of so few items stays as it came: what would be left of it is hardly smaller."""

_NONE = array("f")


class Outcomes:
    """Reads outcomes out of a job's fold."""

    def __init__(self, state: JobState, blobs: BlobStore, again: Callable[[str], Any]) -> None:
        self._state = state
        self._blobs = blobs
        self._again = again
        """Reads a record of the log once more, by its id."""
        self._columns: dict[int, Column] = {}
        self._held_bytes = 0
        self._elsewhere: dict[int, str] = {}
        """By number of a batch whose results are in the log only: which record that is."""

    def keep(self, entry_id: str) -> None:
        """Keep of the latest batch what is not in the fold's columns, and the results if few."""
        number = len(self._state.batches) - 1
        batch = self._state.batches[number]
        held = batch.results
        if self._held_bytes + len(held) > _HELD_BYTES:
            self._elsewhere[number] = entry_id
            held = b""
        self._held_bytes += len(held)
        if held is not batch.results or batch.n > _FEW:
            self._state.batches[number] = replace(
                batch, states=b"", started=_NONE, run_s=_NONE, results=held
            )

    def _column(self, batch: int) -> Column:
        column = self._columns.pop(batch, None)
        if column is None:
            results = self._state.batches[batch].results
            if batch in self._elsewhere:
                results = self._again(self._elsewhere[batch]).results
            column = Column(results, self._blobs)
            while self._columns and (
                len(self._columns) >= _COLUMNS
                or sum(c.size for c in self._columns.values()) + column.size > _COLUMN_BYTES
            ):
                del self._columns[next(iter(self._columns))]
        self._columns[batch] = column  # the latest is the last
        return column

    def value(self, i: int) -> Any:
        """Give what a successful item returned.

        Raises:
            ResultNotLoadable: it cannot be loaded here.
        """
        column = self._column(self._state.batch_of[i] - 1)
        try:
            return column[self._state.place[i]]
        except NbqueueError:
            raise  # a large value that has expired, say
        except Exception as exc:  # its class is somebody's code: anything may come out
            raise ResultNotLoadable(
                f"what item {i} of job {self._state.spec.name!r} returned cannot be loaded here "
                f"({type(exc).__name__}: {exc}): is a package missing that the workers have? "
                'job.result(errors="drop") gives the others'
            ) from exc

    def readable(self, i: int) -> Any:
        """Give what a successful item returned, or why that cannot be loaded here."""
        try:
            return self.value(i)
        except ResultNotLoadable as exc:
            return exc

    def values(self) -> list[Any]:
        """Give what all items returned, in order; all of them have succeeded."""
        found: list[Any] = [None] * self._state.n
        for number, batch in enumerate(self._state.batches):
            place = 0
            column = None
            for a, b in batch.runs:
                # Usually a whole run of a batch counts; else some of it came twice, or was retried.
                if self._state.batch_of[a:b].count(number + 1) == b - a:
                    column = column or self._column(number)
                    found[a:b] = column.slice(place, place + b - a)
                else:
                    for i in range(a, b):
                        if self._state.batch_of[i] == number + 1:
                            found[i] = self.value(i)
                place += b - a
        return found

    def column(self, batch: int) -> Column:
        """Give the results of a whole batch."""
        return self._column(batch)

    def exception(self, i: int) -> BaseException | None:
        """Give the exception of an item that failed or was revoked, ready to be raised."""
        code = self._state.states[i]
        if code == states.REVOKED_CODE:
            why = self._state.reason(i) or "was cancelled"
            return CancelledError(f"item {i} of job {self._state.spec.name!r} {why}")
        if i in self._state.rejections:
            return self._rejected(i)
        error = self._state.error(i) if code == states.FAILURE_CODE else None
        return None if error is None else self._revived(i, error)

    def _rejected(self, i: int) -> BadSignature:
        record = self._state.rejections[i]
        refused = f"worker {record.worker} refused item {i} of job {self._state.spec.name!r}"
        if record.reason == "Malformed":
            return BadSignature(
                f"{refused}: it cannot read the message. Give workers and clients the same version "
                "of nbqueue, then job.retry()"
            )
        return BadSignature(
            f"{refused}: its message is not signed with the worker's key. Start workers and "
            "clients with the same $NBQUEUE_KEY, then job.retry()"
        )

    def _revived(self, i: int, error: Error) -> BaseException:
        exc = unpack_exception(error.pickled, self._blobs)
        if exc is None:
            exc = RemoteError(f"{error} ({why_no_exception(error.pickled, self._blobs)})")
        if not isinstance(exc, Exception):
            # A task's sys.exit must not end the notebook, nor its KeyboardInterrupt look like ■.
            exc = RemoteError(f"the task raised {error}")
        where = f"item {i} of job {self._state.spec.name!r}"
        if not isinstance(exc, NbqueueError) or isinstance(exc, RemoteError):
            exc.__cause__ = RemoteTraceback(f"in {where}:\n{error.traceback}")
        return exc
