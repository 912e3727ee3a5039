"""The results column of a batch: what items returned, pickled, in order.

    "L" pickle of the list of values      every value an atom (`packing.ATOMS`): one pickle for all
    "I" pickle of a list of packed bytes  otherwise
                                          (in both, ``None`` where an item has no result)

Values that are not atoms are packed the moment the item returns, not when the batch is written:
a list that the next item appends to would otherwise change after the fact.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

from nbqueue.store.values.packing import BlobStore, pack, unpack


class Packed(bytes):
    """Bytes that are a packed value, as opposed to a value that is bytes."""


NO_RESULT = Packed()
"""Stands for the result of an item that failed."""


def encode(values: Sequence[Any], blobs: BlobStore) -> bytes:
    """Give the column of values of which each is an atom or a `Packed`."""
    if any(value is NO_RESULT for value in values):
        values = [None if value is NO_RESULT else value for value in values]
    if not any(type(value) is Packed for value in values):
        return b"L" + pickle.dumps(values, 5)
    cells = [bytes(v) if type(v) is Packed else pack(v, blobs) for v in values]
    return b"I" + pickle.dumps(cells, 5)


def pick(column: bytes, places: Sequence[int]) -> bytes:
    """Give a column of the cells at some positions; of one's own column, nothing is verified."""
    if not column:
        return column
    cells = pickle.loads(memoryview(column)[1:])  # noqa: S301 - this process has made it
    return column[:1] + pickle.dumps([cells[place] for place in places], 5)


class Column:
    """A results column that unpickles a cell when it is asked for."""

    def __init__(self, column: bytes, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._plain = column[:1] != b"I"
        self.size = len(column)
        """Bytes."""
        self._cells: list[Any] = []
        if column:
            self._cells = pickle.loads(memoryview(column)[1:])  # noqa: S301 - verified by the log

    def __getitem__(self, place: int) -> Any:
        """Give the value at a position; ``None`` where the item has none."""
        cell = self._cells[place]
        return cell if self._plain else unpack(cell, self._blobs)

    def slice(self, start: int, stop: int) -> list[Any]:
        """Give the values at consecutive positions."""
        return self._cells[start:stop] if self._plain else self.pick(range(start, stop))

    def pick(self, places: Sequence[int]) -> list[Any]:
        """Give the values at some positions."""
        if self._plain:
            cells = self._cells
            return [cells[place] for place in places]
        return [self[place] for place in places]
