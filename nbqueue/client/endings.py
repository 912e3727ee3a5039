"""The end of the process: it waits for the calls of its executors, as it does for CPython's pools.

So callbacks are called and what they save is saved. A notebook's kernel does not wait, because its
restart would hang for as long as calls take, and neither does a worker, whose tasks may submit but
not wait. Ctrl-C ends the waiting, and the client, as it closes, says what goes on without it.
"""

from __future__ import annotations

import atexit
import concurrent.futures
import sys
import threading
from collections.abc import Iterable
from typing import Any
from weakref import WeakSet

from nbqueue.client.futures import Future
from nbqueue.store.wiring import own

_lock = threading.Lock()
_held: WeakSet[concurrent.futures.Future[Any]] = WeakSet()
"""Weakly: what is not done is kept by its job, and what has callbacks to call by who calls them."""

_watching = False
_over = False


def hold(future: concurrent.futures.Future[Any]) -> None:
    """Have the process wait for a future before it ends."""
    global _watching
    with _lock:
        _held.add(future)
        if not _watching:
            # Not on import: what is registered last is called first, and a client must be open yet.
            _watching = True
            atexit.register(_wait)


def is_over() -> bool:
    """Say whether the process is ending, and nobody would see the result of another call."""
    return _over


def wait(futures: Iterable[concurrent.futures.Future[Any]]) -> None:
    """Return when all futures are done, and called back, of which anything is still heard."""
    heard = [future for future in futures if future.done() or _is_heard(future)]
    concurrent.futures.wait(heard)
    for future in heard:
        if isinstance(future, Future):
            with future._live.feeding:  # held while callbacks are called
                pass


def _wait() -> None:
    global _over
    _over = True
    if _in_a_kernel() or own() is not None:
        return
    try:
        wait(set(_held))
    except KeyboardInterrupt:  # the client closes next, and says which jobs go on
        return


def _is_heard(future: concurrent.futures.Future[Any]) -> bool:
    return not (isinstance(future, Future) and future._live.client.closed)


def _in_a_kernel() -> bool:
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None
