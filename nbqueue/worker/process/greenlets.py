"""Where the items of a worker are greenlets: what threads can do there and greenlets cannot.

In Celery's gevent pool all items share one thread, and gevent has replaced what the standard
library offers to threads. Locks, thread locals and waits are greenlets' by that, so the rest of the
worker need not know. An item that computes without ever waiting holds up all others, their progress
and their time limits too: that is gevent's bargain.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

_one_loop = threading.Lock()


def in_use() -> bool:
    """Say whether gevent has replaced this process's threads."""
    if "gevent.monkey" not in sys.modules:
        return False
    from gevent import monkey

    return bool(monkey.is_module_patched("threading"))


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end.

    A thread has one event loop at a time, so coroutines of greenlets wait for one another.
    """
    if not in_use():
        return asyncio.run(coroutine)
    with _one_loop:
        return asyncio.run(coroutine)


@contextmanager
def interrupted_after(limit_s: float, exc: BaseException) -> Iterator[None]:
    """Have an exception raised in this greenlet after some seconds, when it next waits."""
    from gevent import Timeout

    with Timeout(limit_s, exc):
        yield


def this() -> Any:
    """Give the greenlet that asks."""
    import gevent

    return gevent.getcurrent()


def interrupt(greenlet: Any, exc: type[BaseException]) -> None:
    """Have an exception raised in a greenlet, when it next waits."""
    import gevent

    gevent.kill(greenlet, exc)
