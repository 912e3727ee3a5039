"""What each process of a worker's pool is at, in memory that the worker's main process can read.

The main process answers questions about the worker, but knows messages only; which item of a
message is running, and how many have ended, is known in the child that runs them. So the children
write it where the main process can see it: in one anonymous shared mapping, made before they are
forked, with a slot for each. Nobody waits for anybody; a reader that comes between two writes sees
a number that is one step old.

    slot:  16 bytes id of the message | uint64 items recorded | int64 item | float64 begun
    after all slots: a byte that is 1 when the worker leaves, one that is 0 when no rates are set
                     and changes with each that is
                     float64 when the connection to the broker was lost last
"""

from __future__ import annotations

import mmap
import struct
import threading
import time
import uuid
from itertools import count

from billiard import current_process

from nbqueue.worker.process.unwanted import NOTHING, Unwanted, bytes_of

_SLOT = struct.Struct("=16sQqd")
_ID, _DONE, _ITEM = struct.Struct("=16s"), struct.Struct("=Q"), struct.Struct("=qd")
_LOST = struct.Struct("=d")
_DONE_AT, _ITEM_AT = _ID.size, _ID.size + _DONE.size

SLOTS = 1024
"""More processes than that share slots, and their counts come out too low."""

_LEAVING_AT = SLOTS * _SLOT.size
_RATES_AT = _LEAVING_AT + 1
_LOST_AT = _RATES_AT + 1


class Slot:
    """Where one process (or thread of a thread pool) writes."""

    def __init__(self, memory: mmap.mmap, number: int) -> None:
        self._memory = memory
        self._at = number * _SLOT.size

    def recorded(self, n: int) -> None:
        """Count items whose outcomes are in the store."""
        at = self._at + _DONE_AT
        _DONE.pack_into(self._memory, at, _DONE.unpack_from(self._memory, at)[0] + n)

    def runs(self, message_id: str, item: int, begun: float) -> None:
        """Say which item is running; quick ones need not be said."""
        # The id comes last: it is what makes the rest count.
        _ITEM.pack_into(self._memory, self._at + _ITEM_AT, item, begun)
        _ID.pack_into(self._memory, self._at, bytes_of(message_id))

    def rests(self) -> None:
        """Say that the message is over."""
        _ID.pack_into(self._memory, self._at, NOTHING)


class Tally:
    """All slots of one worker; make it before the pool forks."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _LOST_AT + _LOST.size)
        self.unwanted = Unwanted()
        """What is to end although it runs: the other way round, from the main process."""
        self._mine = threading.local()
        self._threads = count()

    def slot(self) -> Slot:
        """Give the slot of this process, or of this thread where the pool has threads.

        A child that replaces a dead one has its place in the pool, and counts on in its slot.
        """
        found: Slot | None = getattr(self._mine, "slot", None)
        if found is None:
            place = getattr(current_process(), "index", None)
            number = next(self._threads) if place is None else place
            found = self._mine.slot = Slot(self._memory, number % SLOTS)
        return found

    @property
    def rates_are_set(self) -> int:
        """Whether some task's rate was set from outside: the main process tells its children.

        Another number each time when they are set anew; 0 when none is.
        """
        return self._memory[_RATES_AT]

    def set_rates(self, some: bool, *, anew: bool = False) -> None:
        """Say whether rates are set from outside; ``anew`` when one was just now."""
        before = self._memory[_RATES_AT]
        if not some:
            self._memory[_RATES_AT] = 0
        elif anew or not before:
            self._memory[_RATES_AT] = before % 255 + 1

    def done(self) -> int:
        """Give how many items this worker has recorded since it started."""
        return sum(done for _, done, _, _ in self._slots())

    def running(self) -> dict[str, tuple[int, float]]:
        """Give the item that each message is at, and since when, by the message's id."""
        return {
            str(uuid.UUID(bytes=raw)): (item, begun)
            for raw, _, item, begun in self._slots()
            if raw != NOTHING
        }

    def leave(self) -> None:
        """Say that the worker leaves: what is not begun is somebody else's to run."""
        self._memory[_LEAVING_AT] = 1

    @property
    def leaving(self) -> bool:
        """Whether the worker leaves."""
        return self._memory[_LEAVING_AT] == 1

    def loses_broker(self) -> None:
        """Note that the connection to the broker was lost: what it held comes again."""
        _LOST.pack_into(self._memory, _LOST_AT, time.perf_counter())

    def lost_broker_since(self, moment: float) -> bool:
        """Say whether that was after a moment (of `time.perf_counter`, which processes share)."""
        lost: float = _LOST.unpack_from(self._memory, _LOST_AT)[0]
        return lost > moment

    def _slots(self) -> list[tuple[bytes, int, int, float]]:
        return list(_SLOT.iter_unpack(self._memory[:_LEAVING_AT]))
