"""A map that is more than one job may be, or that never ends, in bounded memory: `Task.imap`.

    iterable → parts, ever larger ones → a job each → results, in order → forgotten

So many items, and so many bytes of arguments, are ahead of the results that were taken, and no
more: then the iterable is not read on until some were (back-pressure). A part whose results were
given is forgotten, so that neither this process nor the store holds more than that, however long it
goes on. The other side of it: there is no one job to look at, to find again or to retry. What a
client that dies has sent goes on, each part whole, and nobody sends the rest.
"""

from __future__ import annotations

import concurrent.futures
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from nbqueue.client import cancelling
from nbqueue.client.job import Errors, Job
from nbqueue.client.saying import said_when_cancelled
from nbqueue.core.errors import Expired, InfrastructureError
from nbqueue.core.settings import BLOCK_ITEMS, STREAM_BYTES
from nbqueue.store.values.packing import BlobStore

FIRST_ITEMS = 32
"""Items in the first part. More: a slow iterable has its first results late; fewer: quick items
take longer to get going."""

_GROWTH = 8
"""A part has so many times the items of the one before it."""

_SHARES = 4
"""A part is at most such a share of what may be ahead: one is taken while others run."""

_GATHER_S = 0.1
"""A part is sent with what has come from a slow iterable after this long."""

_SOON_S = 0.05
"""Results are taken one by one of parts that take longer than this."""


@dataclass
class Ahead:
    """What is ahead of the results that were taken; decides how large the next part is. No I/O."""

    most_items: int
    most_bytes: int = STREAM_BYTES
    items: int = 0
    bytes: int = 0
    _next: int = FIRST_ITEMS

    def room(self) -> int:
        """Give how many items the next part may have; 0 for none before results are taken."""
        wanted = max(1, min(self._next, self.most_items // _SHARES))
        fits = self.items + wanted <= self.most_items and self.bytes < self.most_bytes
        return wanted if fits else 0

    def sent(self, items: int, size_bytes: int) -> None:
        """Take it that a part was sent."""
        self.items += items
        self.bytes += size_bytes
        fitting = int(self.most_bytes / _SHARES * items / max(size_bytes, 1))
        self._next = max(1, min(self._next * _GROWTH, BLOCK_ITEMS, fitting))

    def taken(self, items: int, size_bytes: int) -> None:
        """Take it that the results of a part were taken."""
        self.items -= items
        self.bytes -= size_bytes


class Part(NamedTuple):
    """A part that was sent."""

    job: Job
    bytes: int
    """Of its arguments, packed."""


class Measured:
    """A store of large values that measures what is put into it."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self.bytes = 0

    def put(self, value: bytes | memoryview) -> str:
        """Store bytes, give their address."""
        self.bytes += memoryview(value).nbytes
        return self._blobs.put(value)

    def get(self, address: str) -> memoryview:
        """Give stored bytes."""
        return self._blobs.get(address)


class Source:
    """What is mapped over, and the error that ended it, which is raised in its place."""

    def __init__(self, rows: Iterator[Any]) -> None:
        self._rows = rows
        self.more = True
        """Whether there may be more."""
        self.error: Exception | None = None

    def read(self, most: int) -> list[Any]:
        """Give elements, as many as come within a moment."""
        found: list[Any] = []
        until = time.monotonic() + _GATHER_S
        try:
            for row in self._rows:
                found.append(row)
                if len(found) >= most or time.monotonic() > until:
                    return found
        except Exception as exc:  # after the results of what came before it (an interrupt: at once)
            self.error = exc
        self.more = False
        return found


Send = Callable[[list[Any]], Part]


def stream(rows: Iterator[Any], send: Send, buffersize: int, errors: Errors) -> Iterator[Any]:
    """Give the results of items, in order, sending parts as far ahead as there is room."""
    parts = deque[Part]()
    try:
        with said_when_cancelled("what was sent ahead"):
            yield from _taken(Source(rows), send, Ahead(buffersize), parts, errors)
    finally:
        for job, _ in parts:
            with suppress(InfrastructureError, Expired):
                cancelling.everything(job._live)
                job.forget()


def _taken(
    source: Source, send: Send, ahead: Ahead, parts: deque[Part], errors: Errors
) -> Iterator[Any]:
    while source.more or parts:
        while source.more and (room := ahead.room()) and not (parts and parts[0].job.finished):
            if chunk := source.read(room):
                parts.append(send(chunk))
                ahead.sent(len(chunk), parts[-1].bytes)
        if parts:
            yield from _results(parts[0].job, errors)
            job, size_bytes = parts.popleft()
            ahead.taken(job.n, size_bytes)
            job.forget()
    if source.error is not None:
        raise source.error


def _results(job: Job, errors: Errors) -> Iterator[Any]:
    """Give the results of a job's items as they come, in order."""
    job._live.wait_unsaid(_SOON_S)  # `stream` says what an interrupt does
    for i, future in enumerate(job):
        if job.finished and job._live.first_bad() is None:  # all at once is quicker by far
            yield from job.result()[i:]
            return
        if not future.done():
            concurrent.futures.wait([future])
        try:
            value = future.result()
        except Exception as exc:
            if errors == "raise":
                raise
            if errors == "drop":
                continue
            value = exc
        yield value
