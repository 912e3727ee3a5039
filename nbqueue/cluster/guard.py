"""The guard: a process that does nothing but outlive a killed supervisor and end its children.

A supervisor that is killed outright (``kill -9``, out of memory) can clean up nothing. The guard
is a fork of it that waits at the other end of a pipe; the kernel closes the pipe with the
supervisor, however it died, and the guard kills the process groups that were in its care. So a
worker's pool processes go too, and the same code serves Linux and macOS; Linux's
``PR_SET_PDEATHSIG`` reaches only the direct child, and macOS has nothing like it.

    supervisor ──"+pid" / "-pid"──► guard        a line for each child started and ended
         ╳  (end of file)           guard: SIGKILL to each group left, then exit

Redis ("?pid") is asked first: while a disk is slow it has answered what it writes up to 2 s later.
The guard inherits the lock on ``alive`` and so frees it only after the children have ended. It must
be forked while the supervisor has one thread.
"""

from __future__ import annotations

import contextlib
import os
import signal

from nbqueue.cluster.folder import wait_until
from nbqueue.cluster.state import mark_of

_ASKED_S = 5.0
"""How long what is asked to end has for it. Redis takes milliseconds, and a slow disk seconds."""


class Guard:
    """The supervisor's handle on its guard."""

    def __init__(self) -> None:
        self.pid = 0
        self._pipe = -1
        self._watched: dict[int, str] = {}

    def start(self) -> None:
        """Fork the guard, or a new one in place of one that has died."""
        if self._pipe >= 0:
            os.close(self._pipe)
        reader, self._pipe = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(self._pipe)
                _keep_watch(reader)
            finally:
                os._exit(0)  # never back into the supervisor's stack
        os.close(reader)
        self.pid = pid
        for watched, how in self._watched.items():
            self._tell(f"{how}{watched}")

    def watch(self, pid: int, *, is_asked: bool) -> None:
        """Take the process group of ``pid`` into care; ``is_asked`` to end before it is killed."""
        self._watched[pid] = "?" if is_asked else "+"
        self._tell(f"{self._watched[pid]}{pid}")

    def forget(self, pid: int) -> None:
        """Leave ``pid`` alone from now on: it has ended, and its number may be given again."""
        self._watched.pop(pid, None)
        self._tell(f"-{pid}")

    def check(self) -> bool:
        """Whether the guard had died and was replaced."""
        try:
            ended, _ = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            ended = self.pid
        if not ended:
            return False
        self.start()
        return True

    def _tell(self, line: str) -> None:
        # Broken when it has died: `check` starts another, which is told everything.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._pipe, line.encode() + b"\n")


def _keep_watch(reader: int) -> None:
    # Out of the supervisor's group, so that a signal to that group leaves the guard alone. The
    # supervisor's own handlers do nothing but wake it, so they serve as "ignore" here.
    os.setsid()
    signal.set_wakeup_fd(-1)
    watched: dict[int, bytes] = {}
    rest = b""
    while chunk := os.read(reader, 4096):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            how, pid = line[:1], int(line[1:])
            if how == b"-":
                watched.pop(pid, None)
            else:
                watched[pid] = how
    asked = [pid for pid, how in watched.items() if how == b"?"]
    for pid, how in watched.items():
        _signal(pid, signal.SIGTERM if how == b"?" else signal.SIGKILL)
    wait_until(lambda: not any(map(mark_of, asked)), _ASKED_S)
    for pid in asked:
        _signal(pid, signal.SIGKILL)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
