"""`Ref`: a value that was sent ahead, standing for itself until a worker opens it.

A Ref is an address of a blob with a face. Wherever `packing` pickles one by value (an argument,
what a function or a cell captures), it writes the address, and reading gives the value: tasks never
see a Ref. One that is an argument itself waits longer (`arguments`): until its item is called. One
deeper in an argument does not: it is opened with the block of arguments that it is in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nbqueue.core.errors import UsageError
from nbqueue.store.values.packing import BlobStore, Stored, pack, unpack


@dataclass(frozen=True)
class Ref(Stored):
    """A value in the store, made by ``nq.put``.

    Passed to a task, or used by a task or a cell, it arrives as the value itself; however many
    tasks use it, it is sent once.

    >>> ref = nq.put([1, 2, 3])                             # doctest: +CLUSTER
    >>> ref                                                 # doctest: +CLUSTER
    <Ref to a list, 23 bytes>
    >>> nq.task(sum).submit(ref).result(), ref.get()        # doctest: +CLUSTER
    (6, [1, 2, 3])
    """

    type: str
    """Name of the value's type."""
    size_bytes: int
    """Size of the value, pickled."""
    address: str
    """Signature of the pickled value, and its place in the store."""
    blobs: BlobStore | None = field(default=None, repr=False, compare=False)

    def get(self) -> Any:
        """Give the value: another copy each time.

        Raises:
            Expired: it is not in the store any more.

        >>> nq.put([1, 2, 3]).get()                         # doctest: +CLUSTER
        [1, 2, 3]
        """
        if self.blobs is None:
            raise UsageError("this Ref was copied away from its store; nq.put the value again")
        return unpack(self.blobs.get(self.address), self.blobs)

    def address_in(self, blobs: BlobStore) -> str:
        """Give the address in a store; what is another store's is put into this one, too."""
        if self.blobs is None or self.blobs is blobs:
            return self.address
        return put(self.get(), blobs).address

    def pointer(self, blobs: BlobStore) -> Pointer:
        """Give what stands for it where it is not to be opened yet."""
        return Pointer(self.type, self.size_bytes, self.address_in(blobs))

    def __repr__(self) -> str:
        # Not the address: it changes with the key, and a notebook's output should not.
        return f"<Ref to a {self.type}, {_size(self.size_bytes)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # Only where plain pickle comes by (a copy, another program): as itself, without its store.
        return Ref, (self.type, self.size_bytes, self.address)


@dataclass(frozen=True)
class Pointer:
    """A Ref on its way in the arguments of an item, which is called with the value."""

    type: str
    size_bytes: int
    address: str

    def ref(self, blobs: BlobStore) -> Ref:
        """Give the Ref again."""
        return Ref(self.type, self.size_bytes, self.address, blobs)


def put(value: Any, blobs: BlobStore) -> Ref:
    """Store a value by content and give its Ref.

    Raises:
        NotPicklable: it cannot travel.
    """
    counting = _Counting(blobs)
    packed = pack(value, counting)
    address = counting.put(packed)
    return Ref(type(value).__name__, counting.size_bytes, address, blobs)


class _Counting:
    """A store that counts what is put into it."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self.size_bytes = 0

    def put(self, value: bytes | memoryview) -> str:
        self.size_bytes += len(value)
        return self._blobs.put(value)

    def get(self, address: str) -> memoryview:
        return self._blobs.get(address)


def _size(n: int) -> str:
    if n < 1000:
        return f"{n} bytes"
    size, units = n / 1000, ["TB", "GB", "MB", "kB"]
    while size >= 999.5 and len(units) > 1:
        size /= 1000
        units.pop()
    return f"{size:.3g} {units[-1]}"
