"""What is written past Python, to descriptors 1 and 2, to the item that is running.

Subprocesses, C code and forked children write there. From a process's first item on both
descriptors lead into pipes, which a thread of this process reads: to redirect them for each message
would cost a quick call a tenth of its time. Who writes through Python has the pipes emptied first
(`Writer.before`), so that texts stay in order. One process, one pair of descriptors: of two items
in two threads, only one at a time may have them.

A process that an item leaves behind keeps writing to the pipe: to whichever item runs then, or
between items to where the descriptors led before. What a dying process wrote last is lost with it,
except the interpreter's own report of a crash, which goes to the worker's log.
"""

from __future__ import annotations

import codecs
import ctypes
import faulthandler
import os
import select
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

_READ_BYTES = 65536
_READS = 2

Take = Callable[[str, str], None]
"""Gets the name of a stream and text."""


class _Pipe:
    """One descriptor, where it led to before, and the pipe that it leads to for a while."""

    def __init__(self, name: str, fd: int) -> None:
        self.name = name
        self.fd = fd
        self.elsewhere = _duplicate(fd)
        self.read_end, self.write_end = os.pipe()
        self._inode = os.fstat(self.write_end).st_ino
        os.set_blocking(self.read_end, False)
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def lead(self) -> None:
        """Have the descriptor lead into the pipe; an item may have closed or redirected it."""
        try:
            leads = os.fstat(self.fd).st_ino == self._inode
        except OSError:
            leads = False
        if not leads:
            os.dup2(self.write_end, self.fd)

    def read(self) -> bytes:
        """Give what is in the pipe; empty when nothing is."""
        with suppress(BlockingIOError):
            return os.read(self.read_end, _READ_BYTES)
        return b""


class Descriptors:
    """Descriptors 1 and 2 of this process; made once, in the process that uses it."""

    def __init__(self) -> None:
        self._pipes = (_Pipe("stdout", 1), _Pipe("stderr", 2))
        self._filled = self._polling()
        self._lock = threading.RLock()
        self._take: Take | None = None
        self._unfinished = False
        """Whether a decoder may hold half a character."""
        self._libc = ctypes.CDLL(None)
        self._reader = threading.Thread(
            target=self._read_on, name="nbqueue-descriptors", daemon=True
        )
        self._reader.start()
        faulthandler.enable(self.elsewhere("stderr"))

    def elsewhere(self, name: str) -> int:
        """Give a descriptor that leads to where one of the streams led before."""
        return next(pipe.elsewhere for pipe in self._pipes if pipe.name == name)

    def lead_to(self, take: Take) -> None:
        """Have ``take`` called with all that is written to the descriptors from now on."""
        for pipe in self._pipes:
            pipe.lead()
        self._take = take

    def let_go(self) -> None:
        """Call it no more, after what has been written until now."""
        self._flush()
        with self._lock:
            self._end_texts()
            self._take = None

    def give_back(self) -> None:
        """Have the descriptors lead where they led before, for a program that is executed next."""
        for pipe in self._pipes:
            os.dup2(pipe.elsewhere, pipe.fd)

    @property
    def are_leading(self) -> bool:
        """Whether somebody takes what is written."""
        return self._take is not None

    def complete(self) -> None:
        """Hand on what has been written until now, buffers included: an item has ended."""
        self._flush()
        with self._lock:
            self._end_texts()

    def _end_texts(self) -> None:
        """Hand on everything, halves of characters too, whose other halves nobody will write."""
        self.drain()
        if not self._unfinished:
            return
        self._unfinished = False
        for pipe in self._pipes:
            rest = pipe.decoder.decode(b"", final=True)
            pipe.decoder.reset()
            if rest and self._take is not None:
                self._take(pipe.name, rest)

    def drain(self) -> None:
        """Hand on what has been written until now."""
        with self._lock:  # (nor may two threads poll at once)
            if not self._filled.poll(0):
                return
            for pipe in self._pipes:
                # A pipe holds no more than this; whoever writes on and on is read by the thread.
                for _ in range(_READS):
                    if not (data := pipe.read()):
                        break
                    self._hand_on(pipe, data)

    def _hand_on(self, pipe: _Pipe, data: bytes) -> None:
        if self._take is None:  # a process that an item left behind: nobody's output any more
            with suppress(OSError):
                os.write(pipe.elsewhere, data)
            return
        self._unfinished = True
        if text := pipe.decoder.decode(data):
            self._take(pipe.name, text)

    def _polling(self) -> select.poll:
        poll = select.poll()
        for pipe in self._pipes:
            poll.register(pipe.read_end, select.POLLIN)
        return poll

    def _read_on(self) -> None:
        poll = self._polling()
        while True:
            poll.poll()
            self.drain()

    def _flush(self) -> None:
        """Have C's and Python's own buffers of the descriptors written."""
        for stream in (sys.__stdout__, sys.__stderr__):
            try:
                if stream is not None:
                    stream.flush()
            except (OSError, ValueError):
                pass  # an item has closed it (`suppress` would take three times as long)
        self._libc.fflush(None)


def _duplicate(fd: int) -> int:
    try:
        return os.dup(fd)
    except OSError:  # this worker has no such descriptor
        return os.open(os.devnull, os.O_WRONLY)
