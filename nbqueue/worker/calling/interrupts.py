"""Ending the item that runs, and no other: by killing the process that is there for it alone, or,
where items share a process (threads, greenlets), by an exception in its thread or greenlet.

The exception comes when the item next runs Python code, or as a greenlet next waits: a thread
cannot be taken out of a call into C. It is no ``Exception``, so that ``except Exception`` in a task
does not swallow it, and it is sent again until the item has ended.
"""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from nbqueue.worker.process import greenlets
from nbqueue.worker.reporting.ranges import RangeRun

Function = Callable[..., Any]

_TURNS = 10
"""How often a thread looks up for an exception that is under way; the first time it is there."""


class ItemRevoked(BaseException):
    """The item was cancelled while it ran."""


def end(run: RangeRun, item: int) -> None:
    """End an item, if it is still the one that runs; what was recorded before it is written."""
    if run.interrupt is not None:
        run.interrupt(item)
    elif run.current == item:
        os.kill(os.getpid(), signal.SIGKILL)


def interruptible(function: Function, run: RangeRun) -> Function:
    """Give a function that can be ended by an exception while it runs (`RangeRun.interrupt`)."""
    lock = threading.Lock()
    runner: Any = None
    struck = False
    this = greenlets.this if greenlets.in_use() else threading.get_ident

    @functools.wraps(function, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal runner, struck
        runner = this()
        try:
            return function(*args, **kwargs)
        finally:
            with lock:
                runner = None
            if struck:
                struck = False
                # The exception may be still to come. It must come here, and not in what runs next.
                for _ in range(_TURNS):
                    time.sleep(0)

    def interrupt(item: int) -> None:
        nonlocal struck
        with lock:
            if runner is None or run.current != item:
                return
            struck = True
            if this is greenlets.this:
                greenlets.interrupt(runner, ItemRevoked)
            else:
                # The class and not an instance: that is all that the interpreter takes.
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(runner), ctypes.py_object(ItemRevoked)
                )

    run.interrupt = interrupt
    return call
