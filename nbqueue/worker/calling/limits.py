"""The time that each item is allowed, as a wrapper around what the executor calls.

A job without limits is not wrapped and pays nothing. Celery has time limits too, but a message's:
here a message is a range, and the limit is each item's, so that one slow item fails alone. Of an
item that is retried, the limit is each attempt's.

- *The soft limit* raises SoftTimeLimitExceeded within the item: by a timer signal in a process's
  main thread, which interrupts most waiting too; in a pool of threads by the interpreter's own
  asynchronous exception, which comes when the item next runs Python code; in a pool of greenlets by
  gevent's timeout, which comes when the item next waits.
- *The hard limit* is the ticker's (`executor`): it records the item's failure and kills the
  process. An item that holds the interpreter so that no thread runs is ended by `faulthandler`'s
  watchdog, which needs no interpreter, and recorded as a death. So is one that overruns its limit
  while the store is away, `WATCHDOG_S` after it: when the store is there again within that time,
  its failure is recorded; else it runs once more, and fails then.
"""

from __future__ import annotations

import ctypes
import faulthandler
import functools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from math import inf
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded

from nbqueue.core.records import Limits
from nbqueue.worker.process import greenlets
from nbqueue.worker.reporting.ranges import RangeRun

WATCHDOG_S = 10.0
"""How long after the hard limit the watchdog strikes. Less: it may come before the ticker, which
would have named the cause; more: such an item holds its process for longer."""

Function = Callable[..., Any]


def within(limits: Limits, function: Function, run: RangeRun) -> Function:
    """Give the function with its time limits around it."""
    if limits.soft_time_limit is None and limits.time_limit is None:
        return function

    @functools.wraps(function, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        with ExitStack() as stack:
            if limits.time_limit is not None and _in_main_thread():
                stack.enter_context(_killable(limits.time_limit, run))
            if limits.soft_time_limit is not None:
                stack.enter_context(_interrupt(limits.soft_time_limit))
            return function(*args, **kwargs)

    return call


@contextmanager
def _killable(limit_s: float, run: RangeRun) -> Iterator[None]:
    """Let an item's process be killed (never a pool of threads: others' items run in it too)."""
    faulthandler.dump_traceback_later(limit_s + WATCHDOG_S, exit=True)
    run.kill_at = time.perf_counter() + limit_s
    try:
        yield
    finally:
        run.kill_at = inf
        faulthandler.cancel_dump_traceback_later()


def _interrupt(limit_s: float) -> AbstractContextManager[None]:
    if _in_main_thread():
        return _by_signal(limit_s)
    if greenlets.in_use():
        return greenlets.interrupted_after(limit_s, SoftTimeLimitExceeded(_over(limit_s)))
    return _by_exception(limit_s)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextmanager
def _by_signal(limit_s: float) -> Iterator[None]:
    armed = True

    def strike(signum: int, frame: Any) -> None:
        if armed:  # a signal of the last moment may be handled after the item has ended
            raise SoftTimeLimitExceeded(_over(limit_s))

    before = signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _by_exception(limit_s: float) -> Iterator[None]:
    lock, armed = threading.Lock(), True
    thread = ctypes.c_ulong(threading.get_ident())

    def strike() -> None:
        with lock:
            if armed:
                # The class and not an instance: that is all that the interpreter takes.
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    thread, ctypes.py_object(SoftTimeLimitExceeded)
                )

    timer = threading.Timer(limit_s, strike)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            armed = False
        timer.cancel()


def _over(limit_s: float) -> str:
    return f"the item ran for longer than its limit of {limit_s:g} s"
