"""`Part`: some items of a job's fold, as if they were all of it.

What makes a frame of a fold makes one of a part of it; so a live display of a million items builds
the few rows that are seen.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from nbqueue.core.fold import JobState
from nbqueue.core.records import Error
from nbqueue.store.values.arguments import Block

if TYPE_CHECKING:
    from nbqueue.client.live import Live


class Part:
    """Columns of some items, in the order given; what is not an item's own is the job's."""

    def __init__(self, whole: JobState, items: Sequence[int]) -> None:
        self._whole = whole
        self._items = items
        self.spec, self.n = whole.spec, len(items)
        self.workers, self.submitted = whole.workers, whole.submitted
        self.reasons = whole.reasons
        for name in ("states", "round", "attempts", "cached"):
            setattr(self, name, bytearray(getattr(whole, name)[i] for i in items))
        for name in ("started", "run_s", "memory_mb", "worker", "batch_of", "place"):
            column = getattr(whole, name)
            setattr(self, name, array(column.typecode, [column[i] for i in items]))
        self.rejections = {k: i for k, i in enumerate(items) if i in whole.rejections}

    states: bytearray
    round: bytearray
    attempts: bytearray
    cached: bytearray
    started: array[float]
    run_s: array[float]
    memory_mb: array[float]
    worker: array[int]
    batch_of: array[int]
    place: array[int]

    def error(self, k: int) -> Error | None:
        """Why an item of the part failed; ``None`` when it did not."""
        return self._whole.error(self._items[k])

    def reason(self, k: int) -> str:
        """Why an item of the part was revoked; empty when it was not, or by a person."""
        return self._whole.reason(self._items[k])

    def items(self, places: Iterable[int]) -> list[int]:
        """Give the numbers in the job of the items at some places."""
        return [self._items[k] for k in places]

    def where(self, code: int) -> list[int]:
        """List the places in the part of the items in a state."""
        return [k for k, found in enumerate(self.states) if found == code]


def block_of(live: Live, items: Sequence[int]) -> Block:
    """Give a block of what some items were called with; each block of theirs is read once."""
    size = live.state.spec.block or 1
    blocks = {number: live.block(number) for number in {i // size for i in items}}
    return Block("rows", [blocks[i // size].call(i % size) for i in items])
