"""The client's bell: one subscription, read by whichever thread waits.

A thread that waits for a job reads the bell itself, and takes what it hears (`Bell.listen`); only
when nobody waits does the follower's own thread read it. Waking another thread, and handing it the
interpreter lock, was a sixth of a quick call's latency.

Whoever reads has the *turn*, and gives it back before it takes in what it heard: taking in runs
callbacks, and a callback may wait for another job. An interrupt (■, Ctrl-C) that falls into either
is raised right after, or it would leave half a reply in the connection and half a record in a job.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import redis

log = logging.getLogger("nbqueue.client")

_HANDOVER_S = 0.01
"""For so long after a waiting thread has read the bell, the follower's leaves it alone: most likely
the next wait is about to begin. Higher: callbacks of futures that nobody waits for come later."""


class Ring(NamedTuple):
    """What one ring of the bell says."""

    job_id: str
    before: str
    """Id of the last entry that rang before."""
    entry_id: str
    kind: str
    signature: bytes
    body: bytes
    """Empty when the record is too large for a bell."""


class Bell:
    """A subscription to the channels on which job logs announce that they have grown."""

    def __init__(self, store: redis.Redis, channel: str) -> None:
        # (redis-py's own handler of what is pushed writes all of it into a log that nobody reads.)
        self._pubsub = store.pubsub(push_handler_func=_as_it_came)
        self._channel = channel
        self._turn = threading.Lock()
        self._leave_alone_until = 0.0
        self._waiting = 0
        self._broken = False

    def subscribe(self, *channels: str) -> None:
        """Listen to more channels; at first, to the client's own."""
        self._pubsub.subscribe(*(channels or (self._channel,)))

    def close(self) -> None:
        """Stop listening."""
        self._pubsub.close()

    def listen(self, timeout_s: float, take: Callable[[Ring], None]) -> bool:
        """Listen for a ring in a thread that waits; ``False`` when another thread is listening.

        Raises:
            redis.RedisError: the store is away; rings may have been lost.
        """
        with _DeferredInterrupts():
            if not self._turn.acquire(blocking=False):
                return False
            try:
                ring = self._read(timeout_s)
            finally:
                self._leave_alone_until = time.monotonic() + _HANDOVER_S
                self._turn.release()
            if ring is not None:
                take(ring)
        return True

    def listen_for_others(self, timeout_s: float, take: Callable[[Ring], None]) -> None:
        """Listen for a ring in the follower's thread, unless a waiting thread does.

        Raises:
            redis.RedisError: the store is away; rings may have been lost.
        """
        if time.monotonic() < self._leave_alone_until or not self._turn.acquire(blocking=False):
            time.sleep(_HANDOVER_S)
            return
        try:
            ring = self._read(timeout_s)
            if ring is not None and self._waiting:
                self._leave_alone_until = time.monotonic() + _HANDOVER_S
        finally:
            self._turn.release()
        if ring is not None:
            take(ring)

    @contextmanager
    def somebody_waits(self) -> Iterator[None]:
        """Have the follower's thread give way after its next ring."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def _read(self, timeout_s: float) -> Ring | None:
        said = self._hear(timeout_s)
        return None if said is None else _ring(said)

    def _hear(self, timeout_s: float) -> bytes | None:
        """Give what was said on a channel.

        ``get_message`` does it too, wrapped for retries and measurements, in three times the time;
        it is needed where a connection has to be made anew, with its subscriptions.
        """
        connection = self._pubsub.connection
        if self._broken or connection is None:
            message = self._pubsub.get_message(timeout=timeout_s)
            self._broken = False
            said = None if message is None else [message["type"].encode(), "", message["data"]]
        else:
            self._broken = True
            said = None
            if connection.can_read(timeout=timeout_s):
                said = connection.read_response(disconnect_on_error=False, push_request=True)
            self._broken = False
        return said[2] if said is not None and said[0] == b"message" else None


def _as_it_came(pushed: Any) -> Any:
    return pushed


def _ring(said: bytes) -> Ring | None:
    """Take apart what was said; ``None`` when it is no ring: anybody may have said it."""
    head, _, rest = said.partition(b"\n")
    try:
        job_id, before, entry_id, kind, size = head.decode().split(" ")
        return Ring(job_id, before, entry_id, kind, rest[: int(size)], rest[int(size) :])
    except ValueError:
        log.warning("what was said on the bell is no ring (%d bytes)", len(said))
        return None


class _DeferredInterrupts:
    """Holds back SIGINT until the end of the block (it only ever interrupts the main thread)."""

    def __init__(self) -> None:
        self._before: Any = None
        self._caught: list[tuple[int, Any]] = []

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            before = signal.signal(signal.SIGINT, self._catch)
            if callable(before):
                self._before = before
            else:
                signal.signal(signal.SIGINT, before)

    def __exit__(self, *exc: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            if self._caught:
                self._before(*self._caught[0])

    def _catch(self, number: int, frame: Any) -> None:
        self._caught.append((number, frame))
