"""What a task prints, to the job's log instead of the worker's.

``sys.stdout`` and ``sys.stderr`` of a worker process are replaced once by writers that ask who is
running: inside of an item the text goes to its reporter, elsewhere to where it always went. So two
items of two threads do not mix, and a task that prints nothing pays nothing.
"""

from __future__ import annotations

import io
import sys
from typing import TextIO

from nbqueue.worker.current import reporting


class Writer(io.TextIOBase):
    """A text stream that writes to the log of the item that is running in this thread."""

    encoding = "utf-8"

    def __init__(self, name: str, elsewhere: TextIO) -> None:
        self._name = name
        self._elsewhere = elsewhere

    def write(self, text: str) -> int:
        """Write text, to the item that is running or else to where it went before."""
        here = reporting()
        if here is None:
            return self._elsewhere.write(text)
        run, reporter = here
        if text:
            reporter.printed(run.current, self._name, text)
        return len(text)

    def flush(self) -> None:
        """Flush what does not belong to an item (the reporter writes by itself)."""
        self._elsewhere.flush()

    def fileno(self) -> int:
        """Give the descriptor of the stream that was here before, for those who need one."""
        return self._elsewhere.fileno()

    def writable(self) -> bool:
        """Say yes."""
        return True


def install() -> None:
    """Put the writers in place, if they are not."""
    if not isinstance(sys.stdout, Writer):
        sys.stdout = Writer("stdout", sys.stdout)
    if not isinstance(sys.stderr, Writer):
        sys.stderr = Writer("stderr", sys.stderr)
