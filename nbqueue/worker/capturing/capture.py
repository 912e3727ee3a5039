"""What an item writes, to the job's log instead of the worker's.

``sys.stdout`` and ``sys.stderr`` of a worker process are replaced once by writers that ask who is
running: inside of an item the text goes to its reporter, elsewhere to where it always went. So two
items of two threads do not mix, and a task that prints nothing pays nothing. Python's root logger
is given back to the tasks: what the worker had set up there is moved to the loggers of its own
libraries, so that `logging` behaves in a task as in a fresh Python.
"""

from __future__ import annotations

import builtins
import io
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn, TextIO

from celery import signals

from nbqueue.worker.capturing.descriptors import Descriptors
from nbqueue.worker.current import reporting
from nbqueue.worker.reporting.ranges import NO_ITEM, RangeRun
from nbqueue.worker.reporting.reporter import Reporter

_OWN_LOGGERS = ("amqp", "billiard", "celery", "kombu", "multiprocessing", "nbqueue", "redis")
"""What a worker itself logs under; their children follow."""


class Writer(io.TextIOBase):
    """A text stream that writes to the log of the item that is running."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, name: str, elsewhere: TextIO, fd: int) -> None:
        self.name = f"<{name}>"
        self._stream = name
        self._fd = fd
        self._pid = os.getpid()
        self.elsewhere = elsewhere
        self.before: Callable[[], None] | None = None
        """Called before each text: brings in what was written to descriptors until then."""

    def write(self, text: str) -> int:
        """Write text, to the item that is running or else to where it went before."""
        here = reporting()
        if here is None:
            return self.elsewhere.write(text)
        if os.getpid() != self._pid:
            # A child that the item forked has no connection to write on, but the descriptor.
            os.write(self._fd, text.encode(errors="replace"))
            return len(text)
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text:
            if self.before is not None:
                self.before()
            run, reporter = here
            reporter.printed(run.current, self._stream, text)
        return len(text)

    def flush(self) -> None:
        """Flush what does not belong to an item (the reporter writes by itself)."""
        if os.getpid() == self._pid:
            self.elsewhere.flush()

    def fileno(self) -> int:
        """Give the descriptor of the stream, for those who need one."""
        return self._fd

    def writable(self) -> bool:
        """Say yes."""
        return True


_writers: dict[str, Writer] = {}
_descriptors: Descriptors | None = None
_job_id = ""


def install() -> None:
    """Put the writers in place, if they are not; a task may have put something else there."""
    if not _writers:
        _writers["stdout"] = Writer("stdout", sys.stdout, 1)
        _writers["stderr"] = Writer("stderr", sys.stderr, 2)
        _give_back_root_logger()
        builtins.input = _no_input
    sys.stdout, sys.stderr = _writers["stdout"], _writers["stderr"]


@contextmanager
def descriptors(run: RangeRun, reporter: Reporter, *, alone: bool = False) -> Iterator[None]:
    """Have what is written to descriptors 1 and 2 go to the item that runs.

    They are the process's: in a pool of threads only ``alone``, for who sees to it that there is
    only one at a time.
    """
    if _is_leading() or not (alone or threading.current_thread() is threading.main_thread()):
        yield
        return
    made = _made()
    latest = max(run.current, 0)

    def take(name: str, text: str) -> None:
        nonlocal latest
        if run.current != NO_ITEM:
            latest = run.current
        reporter.printed(latest, name, text)

    made.lead_to(take)
    try:
        yield
    finally:
        made.let_go()


def complete() -> None:
    """Bring in what an item has written to descriptors, and put the streams back in place."""
    install()
    if _descriptors is not None and _descriptors.are_leading:
        _descriptors.complete()


def _is_leading() -> bool:
    return _descriptors is not None and _descriptors.are_leading


def _give_back(**_: object) -> None:
    if _descriptors is not None:
        _descriptors.give_back()


def _made() -> Descriptors:
    """Make the descriptors; the worker's own log goes on to where it went."""
    global _descriptors
    if _descriptors is None:
        _descriptors = Descriptors()
        # HUP executes the worker anew; writing to a pipe without a reader would end it at once.
        signals.worker_shutdown.connect(_give_back, dispatch_uid="nbqueue-descriptors")
        for name, writer in _writers.items():
            writer.before = _descriptors.drain
            if _descriptor(writer.elsewhere) in (1, 2):
                fd = _descriptors.elsewhere(name)
                writer.elsewhere = open(fd, "w", buffering=1, closefd=False)  # noqa: SIM115 - stays open
        for name in _OWN_LOGGERS:
            for handler in logging.getLogger(name).handlers:
                if (
                    isinstance(handler, logging.StreamHandler)
                    and _descriptor(handler.stream) in (1, 2)
                ):  # fmt: skip
                    handler.setStream(_writers["stderr"].elsewhere)
    return _descriptors


def _descriptor(stream: Any) -> int | None:
    try:
        return int(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return None


def put_out(output: Mapping[str, Any]) -> bool:
    """Hand an output to the item that is running; says whether there is one."""
    here = reporting()
    if here is None:
        return False
    before = _writers["stdout"].before if _writers else None
    if before is not None:
        before()
    run, reporter = here
    reporter.output(run.current, output)
    return True


def begin_job(job_id: str) -> None:
    """Give each job of a process a root logger as a fresh Python has it.

    What one job sets up there would decide what the next one's ``logging.basicConfig`` does. In a
    pool of threads jobs run at the same time, and it stays as it is.
    """
    global _job_id
    if job_id != _job_id and threading.current_thread() is threading.main_thread():
        _job_id = job_id
        logging.root.handlers.clear()
        if logging.root.level != logging.WARNING:  # to set it walks all loggers there are
            logging.root.setLevel(logging.WARNING)


def _give_back_root_logger() -> None:
    root = logging.getLogger()
    for name in _OWN_LOGGERS:
        logger = logging.getLogger(name)
        if logger.propagate:
            logger.propagate = False
            for handler in root.handlers:
                logger.addHandler(handler)
            if logger.level == logging.NOTSET:
                logger.setLevel(root.level)
    root.handlers.clear()
    root.setLevel(logging.WARNING)
    logging.captureWarnings(False)  # Celery's; a task's warnings are the task's


def _no_input(prompt: object = "", /) -> NoReturn:
    raise EOFError(
        f"input({str(prompt)!r}) cannot ask anybody: this runs in a worker. Ask in the notebook "
        "and pass the answer on"
    )
