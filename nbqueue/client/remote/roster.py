"""Whom to wait for when all workers are asked. Pure: times come in as arguments.

Known are the workers on the store's list (`store.nodes`), and workers of other programs that have
answered before. Whoever has not answered in time is not waited for again for a while; when it
answers all the same, it is known again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

_PATIENCE_S = 30.0
"""How long a worker that has not answered is not waited for. Less: a worker that hangs costs every
look its timeout; more: one that has recovered may be left out of an answer for longer."""


class Roster:
    """The workers that one client knows."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listed: set[str] = set()
        """All that were ever on the store's list: of these, only those on it now are expected."""
        self._others: set[str] = set()
        self._silent: dict[str, float] = {}
        self.searched = False
        """Whether everybody has been given time to answer: workers of other programs, too."""

    def expected(self, present: Iterable[str], now: float) -> frozenset[str]:
        """Give the workers whose answers are worth waiting for."""
        with self._lock:
            here = set(present)
            self._listed |= here
            self._others -= self._listed
            silent = {name for name, since in self._silent.items() if now - since < _PATIENCE_S}
            return frozenset((here | self._others) - silent)

    def heard(self, answered: Iterable[str], missing: Iterable[str], now: float) -> None:
        """Take note of who has answered, and of who was waited for in vain."""
        with self._lock:
            for name in answered:
                self._silent.pop(name, None)
                if name not in self._listed:
                    self._others.add(name)
            for name in missing:
                self._silent[name] = now
                self._others.discard(name)
