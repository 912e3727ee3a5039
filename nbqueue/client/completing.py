"""Items in the order in which they end, a future at a time.

`concurrent.futures.as_completed` wants all futures in advance and holds them to the end: of a job
of a million items, gigabytes. Here a future is made when its item has ended, and nobody holds it
but whoever walks; what it returned is unpickled on demand (`outcome`). So results that are larger
than memory can be walked through.
"""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from nbqueue.client.futures import Future
from nbqueue.client.inside import refuse_to_wait
from nbqueue.client.options import check_timeout
from nbqueue.core.settings import POLL_S
from nbqueue.core.splitting import Range, indices, runs_of

if TYPE_CHECKING:
    from nbqueue.client.live import Live


class Ended:
    """Ranges of items that have ended, as the log tells of them."""

    def __init__(self) -> None:
        self._ranges: deque[Range] = deque()
        self._news = threading.Event()

    def put(self, ranges: Sequence[Range]) -> None:
        """Take what a record has ended (called by whichever thread reads the log)."""
        self._ranges.extend(ranges)
        self._news.set()

    def take(self) -> list[Range]:
        """Give what has ended since the last time."""
        self._news.clear()
        return [self._ranges.popleft() for _ in range(len(self._ranges))]

    def wait(self, timeout_s: float) -> None:
        """Wait for more."""
        self._news.wait(timeout_s)


def as_completed(live: Live, timeout: float | None) -> Iterator[Future]:
    """Give the futures of a job's items as they end, each once.

    Raises:
        concurrent.futures.TimeoutError: not all have ended within ``timeout`` seconds.
    """
    check_timeout(timeout)
    deadline = None if timeout is None else time.monotonic() + timeout
    ended = Ended()
    with live.lock:
        live.on_ended.append(ended)
        n = live.state.n
        ended.put(runs_of(i for i, done in enumerate(live.state.done) if done))
    given, left = bytearray(n), n  # an item that is retried meanwhile ends twice
    try:
        while left:
            if live.gone:  # whoever asks for the rest is told so
                ended.put([(0, n)])
            for i in indices((a, min(b, n)) for a, b in ended.take()):
                if not given[i]:
                    given[i] = 1
                    left -= 1
                    yield live.future(i)
            if left:
                _wait(live, ended, deadline, left, n)
    finally:
        with live.lock:
            live.on_ended.remove(ended)


def _wait(live: Live, ended: Ended, deadline: float | None, left: int, n: int) -> None:
    refuse_to_wait(f"job {live.name!r}")
    live.client.check()
    left_s = POLL_S if deadline is None else deadline - time.monotonic()
    if left_s <= 0:
        raise concurrent.futures.TimeoutError(f"{left:,} of {n:,} items have not ended")
    ended.wait(min(left_s, POLL_S))
