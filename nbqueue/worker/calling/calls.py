"""What the items of a message are called with, read a block at a time.

``start ≤ item < stop`` holds for the block in hand; for any other item, `Calls.load` is due. Then
``call`` gives an item's arguments by its place in the block, or raises `Unreadable`. When all are
called by position, and nothing has to be looked up, ``rows`` has the arguments themselves: a tenth
of what a tiny item takes is saved by that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis

from nbqueue.core.errors import FunctionNotLoadable, NbqueueError
from nbqueue.core.plan import block_number
from nbqueue.core.records import Error
from nbqueue.store.broker.message import Message
from nbqueue.store.values import arguments, installed
from nbqueue.store.values.arguments import Block, Call
from nbqueue.worker.process.workplace import Workplace
from nbqueue.worker.reporting.failures import describe


class Unreadable(Exception):
    """The arguments of an item cannot be read; ``error`` is what becomes of it."""

    def __init__(self, error: Error) -> None:
        super().__init__(str(error))
        self.error = error


class Calls:
    """The arguments of one message's items."""

    def __init__(self, place: Workplace, message: Message) -> None:
        self._place = place
        self._message = message
        self.start = self.stop = 0
        self.call: Callable[[int], Call] = _nothing
        self.rows: list[tuple[Any, ...]] | None = None

    def of(self, item: int) -> Call:
        """Give what an item of the block in hand is called with."""
        try:
            return self.call(item - self.start)
        except Unreadable:
            return (), {}

    def load(self, item: int) -> None:
        """Read the block that an item is in; of one that cannot be read the items fail.

        Raises:
            redis.RedisError: the store is away.
        """
        spec, stage = self._message.spec, self._message.stage
        size, origin, first = spec.block or 1, 0, 0
        if stage is not None:
            origin, first = stage.start, block_number(stage.number, 0)
        number = (item - origin) // size
        self.start = origin + number * size
        self.stop = self.start + size
        self.rows = None
        blobs = self._place.blobs
        try:
            block = self._read(first + number)
            plain = block.opened if block.has_refs else block.call
            self.call = self._retried(plain)
            if self.call is plain and not block.has_refs:
                self.rows = block.rows
        except redis.RedisError:
            self.stop = self.start  # no block is in hand
            raise
        except NbqueueError as exc:
            self.call = _failing(describe(exc, blobs))
        except Exception as exc:  # unpickling runs code of any package: anything may come out
            text = (
                f"the arguments of item {item} cannot be loaded by this worker: "
                f"{type(exc).__name__}: {exc}"
                + installed.hint("is the package they come from installed there?")
            )
            self.call = _failing(describe(FunctionNotLoadable(text), blobs))

    def _read(self, number: int) -> Block:
        message, place = self._message, self._place
        if message.opening.call:
            return arguments.read(message.opening.inline, place.blobs)
        return place.block(message.spec.id, number, message.round)

    def _retried(self, call: Callable[[int], Call]) -> Callable[[int], Call]:
        """Let a retry's arguments take the place of those that its item was submitted with."""
        packed = {a.item - self.start: a.call for a in self._message.again if a.call}
        if not packed:
            return call

        def changed(place: int) -> Call:
            found = packed.get(place)
            return arguments.read(found, self._place.blobs).opened(0) if found else call(place)

        return changed


def _nothing(_place: int) -> Call:
    return (), {}


def _failing(error: Error) -> Callable[[int], Call]:
    def call(_place: int) -> Call:
        raise Unreadable(error)

    return call
