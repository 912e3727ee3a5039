"""A word to the person at the notebook or terminal, where an exception would be too much."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

T = TypeVar("T")


def say(text: str) -> None:
    """Write one line to where the person looks, and leave standard output to the data."""
    sys.stderr.write(f"nbqueue: {text}\n")


def advise(exc: BaseException, text: str) -> None:
    """Have an exception's traceback end with what to do about it."""
    if hasattr(exc, "add_note"):
        exc.add_note(text)
    elif exc.__cause__ is not None:  # Python 3.10 has no notes
        exc.__cause__.args = (*exc.__cause__.args, f"\n({text})")


def said_when_interrupted(what: str) -> AbstractContextManager[None]:
    """Say that ``what`` goes on if the block is interrupted (■, Ctrl-C): only the waiting ends."""
    return _said(f"stopped waiting; {what} (job.cancel() ends it)")


def said_when_cancelled(what: str) -> AbstractContextManager[None]:
    """Say that ``what`` is cancelled if the block, whose end sees to that, is interrupted."""
    return _said(f"stopped; {what} is cancelled")


def waited_for(futures: Iterable[T], what: str) -> Iterator[T]:
    """Give what an iterator that waits gives, and say that ``what`` goes on if it is interrupted.

    An interrupt in the loop's body does not come here: that one is the loop's own.
    """
    with said_when_interrupted(what):
        yield from futures


@contextmanager
def _said(line: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        say(line)
        raise
