"""Items that are to end although they run, in memory that all processes of a worker share.

The worker's main process hears of it (`remote.nbqueue_end`); the process that runs the item looks
here when it looks in on the item (`Execution.tick`), a tenth of a second later at most. It
alone knows which item it is at, so it never ends another one.

    16 bytes id of the message | int64 first item | int64 item after the last      × PLACES, a ring
"""

from __future__ import annotations

import mmap
import struct
import uuid
from collections.abc import Iterator

NOTHING = bytes(16)
"""The id of no message."""

_PLACE = struct.Struct("=16sqq")

PLACES = 1024
"""More that are wanted to end at a time push out the oldest, which run on."""


class Unwanted:
    """The items to end; make it before the pool forks."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, PLACES * _PLACE.size)
        self._next = 0

    def add(self, message_id: str, start: int, stop: int) -> None:
        """Have the items from ``start`` to before ``stop`` of a message end."""
        at = self._next * _PLACE.size
        self._memory[at : at + _PLACE.size] = _PLACE.pack(bytes_of(message_id), start, stop)
        self._next = (self._next + 1) % PLACES

    def has(self, message_id: str, item: int) -> bool:
        """Say whether the item of a message is to end."""
        return any(start <= item < stop for start, stop in self._runs(bytes_of(message_id)))

    def _runs(self, message: bytes) -> Iterator[tuple[int, int]]:
        at = self._memory.find(message)
        while at != -1:
            if at % _PLACE.size == 0:
                yield _PLACE.unpack_from(self._memory, at)[1:]
            at = self._memory.find(message, at + 1)


def bytes_of(message_id: str) -> bytes:
    """Give a message's id in 16 bytes; zeros when it is none of ours."""
    try:
        return uuid.UUID(message_id).bytes
    except ValueError:
        return NOTHING  # somebody else's message: whoever asks sees no item
