"""How long a thread waits for a store or a broker that is away, and what is said of it.

Without patience a command fails at once: a widget's look, or a thread that comes by again anyway.
A submission waits for some seconds, because Redis restarts in fewer; a worker with outcomes in hand
waits for as long as it is left alive, because they may be hours of work. `connection.Store` and
`Publisher` ask for the thread's patience where they would raise; a client's give one to
every thread that has not said `none` (`Patience` by ``patience``).

An `Outage` is what one process, or one client, knows of a store that is away: however many
threads run into it, it is told once, and once that it is over.

What is waited for must be such that it may be sent twice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Any

import redis

from nbqueue.core.errors import BrokerUnreachable
from nbqueue.store.connection.refusals import RefusedForNow

_FIRST_S = 0.05
_LONGEST_S = 1.0

_TELL_AFTER_S = 1.0
"""A restart that is over sooner is nobody's business."""


class Outage:
    """A store or broker that does not answer, as far as one process or client knows."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._since: float | None = None
        self._told = False
        self._over = 0.0
        self.text = ""
        """What is wrong, in a line; empty when nothing is known to be."""
        self.brief = ""
        """The same in some words, which go with how long it has been so."""

    @property
    def lasts(self) -> bool:
        """Whether something failed, and nothing has answered since."""
        return self._since is not None

    @property
    def lasted_s(self) -> float:
        """How many seconds it has lasted, once it is known; else 0."""
        since = self._since
        return time.monotonic() - since if since is not None and self.text else 0.0

    def lost(self, why: BaseException, waits: str) -> None:
        """Note a failure; told when it is not a moment's. ``waits`` says what does meanwhile."""
        with self._lock:
            now = time.monotonic()
            if self._since is None:
                self._since = now
            silent = isinstance(why.__cause__ or why, (redis.TimeoutError, TimeoutError))
            if now - self._since < _TELL_AFTER_S and not silent:
                return
            told, self._told = self._told, True
            self.text, self.brief = str(why), in_brief(why)
        if not told:
            self._tell(f"{why}; {waits}")

    def found(self) -> None:
        """Note that it answers."""
        if self._since is None:
            return
        with self._lock:
            since, self._since = self._since, None
            self._over = time.monotonic()
            told, self._told = self._told, False
            self.text = self.brief = ""
        if told and since is not None:
            self._tell(f"it is there again, after {time.monotonic() - since:.0f} s")

    def is_recent(self, seconds: float) -> bool:
        """Say whether it lasts, or has ended so recently that others may still be at it."""
        return self._since is not None or 0 < self._over > time.monotonic() - seconds


def in_brief(why: BaseException) -> str:
    """Say in some words what a store or broker does that is away: "for 12 s" may follow.

    >>> in_brief(BrokerUnreachable("no Redis answers at redis://host: check that it runs"))
    'Redis has not answered'
    """
    text = str(why).lower()
    who = "RabbitMQ" if "amqp" in text else "Redis" if "redis" in text else "the broker"
    if isinstance(why, RefusedForNow):
        return f"{who} has taken no writes"
    return f"{who} has not answered"


@dataclass
class Patience:
    """One wait."""

    seconds: float
    outage: Outage
    refusals: bool = False
    """Whether it also waits for a Redis that refuses to write to take writes again."""
    enough: Callable[[], bool] = field(default=lambda: False)
    """Says that waiting is to end."""
    _began: float | None = None
    _pause_s: float = _FIRST_S

    def wait(self, why: BaseException) -> bool:
        """Wait a little before another try; ``False`` when there is to be none."""
        if not isinstance(why, BrokerUnreachable) and not (
            self.refusals and isinstance(why, RefusedForNow)
        ):
            return False
        if self._began is None:
            self._began = time.monotonic()
        if time.monotonic() - self._began >= self.seconds or self.enough():
            return False
        limit = "" if self.seconds == inf else f" for up to {self.seconds:g} s"
        self.outage.lost(why, f"waiting for it{limit}")
        time.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, _LONGEST_S)
        return True


Source = Callable[[], "Patience | None"]
"""Makes the patience of a wait."""

_UNSAID: Any = object()
_held = threading.local()


class Held:
    """A patience for the length of a block, whatever is around it."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __enter__(self) -> None:
        self._before = getattr(_held, "source", _UNSAID)
        _held.source = self._source

    def __exit__(self, *exc: object) -> None:
        _held.source = self._before


def of(source: Source) -> Held:
    """Have this thread wait as ``source`` says within a block."""
    return Held(source)


def none() -> Held:
    """Have this thread wait for nothing within a block."""
    return Held(nobody)


def nobody() -> None:
    """Give no patience."""


def for_a_wait(default: Source) -> Patience | None:
    """Give the patience of this thread for a wait that begins now."""
    source = getattr(_held, "source", _UNSAID)
    found: Patience | None = (default if source is _UNSAID else source)()
    return found
