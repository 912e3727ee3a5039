"""A range while it is being run: which items are still to do, and how the others ended.

Two threads share it. The *executor's* takes an item, runs it, and hands in the outcome; the
*ticker's* comes by when an item takes long, collects the outcomes so far and may take away the
items that nobody has begun. One lock guards both, held for a few bytecodes, because an item may be
a microsecond's work. No I/O, no clock: times come in as arguments.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from nbqueue.core.records import Error
from nbqueue.core.splitting import Range, below, count
from nbqueue.store.values.results import NO_RESULT

NO_ITEM = -1


@dataclass
class Outbox:
    """Outcomes that have not been written yet, in the order in which items ended."""

    items: list[int] = field(default_factory=list)
    begun: list[float] = field(default_factory=list)
    """By the executor's clock."""
    run_s: list[float] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    errors: dict[int, Error] = field(default_factory=dict)


class RangeRun:
    """The items of one message."""

    def __init__(self, runs: Sequence[Range]) -> None:
        self._lock = threading.Lock()
        self._later = list(reversed(runs[1:]))
        self._next, self._stop = runs[0] if runs else (0, 0)
        self._outbox = Outbox()
        self.current = NO_ITEM
        """The item that is being run; read by the ticker without the lock, as a hint."""
        self.kill_at = inf
        """When, by the executor's clock, the item that is being run has overrun its hard limit."""
        self.retried: dict[int, int] = {}
        """How often items of this message have been retried, of those that were."""
        self.interrupt: Callable[[int], None] | None = None
        """Ends an item by an exception; ``None`` where its process is there for it alone."""

    def first(self) -> int:
        """Take the first item; `NO_ITEM` when there is none."""
        with self._lock:
            return self._take()

    def succeeded(
        self, item: int, begun: float, ended: float, value: Any, error: Error | None = None
    ) -> int:
        """Hand in an atom or a `Packed` result and take the next item."""
        with self._lock:
            box = self._outbox
            if error is not None:
                box.errors[item] = error
            box.items.append(item)
            box.begun.append(begun)
            box.run_s.append(ended - begun)
            box.values.append(value)
            # `_take`, written out: this is the hot path of a million tiny items.
            i = self._next
            if i < self._stop:
                self._next = i + 1
                self.current = i
                return i
            return self._take()

    def failed(self, item: int, begun: float, ended: float, error: Error) -> int:
        """Hand in an error and take the next item."""
        return self.succeeded(item, begun, ended, NO_RESULT, error)

    def put_off(self) -> int:
        """Have the item that was run end without an outcome, and take the next one."""
        with self._lock:
            return self._take()

    def _take(self) -> int:
        while self._next >= self._stop and self._later:
            self._next, self._stop = self._later.pop()
        if self._next < self._stop:
            self._next += 1
            self.current = self._next - 1
            return self.current
        self.current = NO_ITEM
        return NO_ITEM

    def collect(self) -> Outbox | None:
        """Take away the outcomes so far; ``None`` when there are none."""
        with self._lock:
            if not self._outbox.items:
                return None
            box, self._outbox = self._outbox, Outbox()
            return box

    def give_away(self, start: int = 0) -> list[Range]:
        """Take away the items from ``start`` on that nobody has begun, as ascending ranges."""
        with self._lock:
            rest = [(self._next, self._stop)] if self._next < self._stop else []
            rest.extend(reversed(self._later))
            kept = below(rest, start)
            self._next, self._stop = kept.pop(0) if kept else (self._next, self._next)
            self._later = kept[::-1]
            return [(max(a, start), b) for a, b in rest if b > start]

    def take_back(self, rest: Sequence[Range]) -> None:
        """Put back what `give_away` gave, because nobody would have it."""
        with self._lock:
            self._later.extend(reversed(rest))

    def abandon(self) -> list[Range]:
        """Take away everything that has no outcome: the item that was begun, and the rest."""
        rest = self.give_away()
        begun, self.current = self.current, NO_ITEM
        return rest if begun == NO_ITEM else [(begun, begun + 1), *rest]

    @property
    def upcoming(self) -> int:
        """The item that `first` will take; `NO_ITEM` when there is none."""
        with self._lock:
            if self._next < self._stop:
                return self._next
            return self._later[-1][0] if self._later else NO_ITEM

    @property
    def n_rest(self) -> int:
        """How many items nobody has begun."""
        with self._lock:
            return self._stop - self._next + count(self._later)
