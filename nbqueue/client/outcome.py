"""What became of an item, as Python objects: its result, or the exception to raise for it."""

from __future__ import annotations

from concurrent.futures import CancelledError
from functools import lru_cache
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
from nbqueue.store.packing import BlobStore, unpack
from nbqueue.store.results import Column

_COLUMNS = 8
"""Batches whose results are kept unpickled: one for each that is read side by side."""


class Outcomes:
    """Reads outcomes out of a job's fold."""

    def __init__(self, state: JobState, blobs: BlobStore) -> None:
        self._state = state
        self._blobs = blobs
        self._column = lru_cache(maxsize=_COLUMNS)(self._read)

    def _read(self, batch: int) -> Column:
        return Column(self._state.batches[batch].results, self._blobs)

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
        exc: BaseException | None = None
        if error.pickled:
            try:
                exc = unpack(error.pickled, self._blobs)
            except Exception:  # its class is not importable here: the text stands in for it
                exc = None
        if not isinstance(exc, BaseException):
            exc = RemoteError(f"{error} (the exception itself could not be pickled)")
        if not isinstance(exc, Exception):
            # A task's sys.exit must not end the notebook, nor its KeyboardInterrupt look like ■.
            exc = RemoteError(f"the task raised {error}")
        where = f"item {i} of job {self._state.spec.name!r}"
        if not isinstance(exc, NbqueueError) or isinstance(exc, RemoteError):
            exc.__cause__ = RemoteTraceback(f"in {where}:\n{error.traceback}")
        return exc
