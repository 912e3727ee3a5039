"""One child of the supervisor: its start, the reason of each end, and the pause before the next.

Owns the process object and the account of its ends. It does not decide whether the cluster goes
on: the supervisor asks `check` and draws its own conclusion.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from nbqueue.cluster.folder import tail
from nbqueue.cluster.guard import Guard
from nbqueue.cluster.state import NOBODY, Process, mark_of

# A child that lived this long was healthy: its next end is counted as a first one. Lower, and
# a worker that dies in its first long task is started again and again without a pause.
HEALTHY_S = 30.0

# The first new start is at once (a kill, an out-of-memory), later ones wait longer and longer.
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0


def pause_s(failures: int) -> float:
    """Seconds to wait before the next start after ``failures`` (1, 2, …) quick ends in a row."""
    if failures <= 1:
        return 0.0
    return float(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures - 2, 16)))


def reason(code: int) -> str:
    """A process's end in words: ``exit code 1`` or ``signal 9 (SIGKILL)``."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"signal {-code}"


class Child:
    """A process that is started again when it ends; it leads a process group of its own."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        guard: Guard,
        env: Mapping[str, str],
        umask: int,
        is_asked: bool = False,
    ) -> None:
        """``is_asked``: it has something to write, also when the supervisor dies (`guard`)."""
        self.name = name
        self.command = list(command)
        self.log = log
        self.message = ""
        self.restarts = 0
        self.failures = 0
        self.identity: Process = NOBODY
        self._guard = guard
        self._env = env
        self._umask = umask
        self._is_asked = is_asked
        self._process: subprocess.Popen[bytes] | None = None
        self._log_mark = 0
        self._started_at = 0.0
        self._due_at = 0.0
        self._is_wanted = False

    @property
    def runs(self) -> bool:
        """Whether it was running when last looked at."""
        return self._process is not None

    def start(self, now: float) -> None:
        """Start it; what prevents that counts as an end."""
        self._started_at = now
        try:
            # For appending: whoever cuts the log meanwhile leaves no hole of zeros in it.
            out = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                self._log_mark = os.fstat(out).st_size
                process = subprocess.Popen(
                    self.command,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    env=dict(self._env),
                    umask=self._umask,
                    start_new_session=True,
                )
            finally:
                os.close(out)
        except OSError as error:  # no memory, no process slots, the binary was uninstalled
            self._failed(f"{self.name} could not be started: {error}", now)
            return
        self._guard.watch(process.pid, is_asked=self._is_asked)
        self._process = process
        self.identity = Process(process.pid, mark_of(process.pid))

    def check(self, now: float) -> bool:
        """Note an end, and start again when it is time; True when anything changed."""
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return False
            self._ended(code, now)
            return True
        if now < self._due_at:
            return False
        self.restarts += 1
        self.start(now)
        return True

    def want(self, wanted: bool, now: float, *, grace_s: float) -> bool:
        """Start or stop a child that is not always wanted; True when anything changed.

        One that is wanted and has ended is started again when it is time, as by `check`.
        """
        if wanted:
            if self._is_wanted:
                return self.check(now)
            self._is_wanted = True
            self.start(now)
            return True
        if not self._is_wanted:
            return False
        self._is_wanted = False
        self.failures = 0
        self.message = ""
        self.stop(grace_s=grace_s)
        return True

    def due_in_s(self, now: float) -> float | None:
        """Seconds until the next start; None while the child runs."""
        return None if self.runs else max(0.0, self._due_at - now)

    def last_words(self) -> str:
        """What it wrote to its log since its last start, as far as that is the end of the log."""
        return tail(self.log, lines=40, since_bytes=self._log_mark)

    def renew(self) -> None:
        """Ask it to end, so that `check` starts it again."""
        if self._process is not None:
            self._process.terminate()

    def stop(self, *, grace_s: float) -> None:
        """End the child and everything it started: asked first, killed after ``grace_s``."""
        process = self._process
        if process is None:
            return
        if grace_s > 0:
            process.terminate()
            try:
                process.wait(grace_s)
            except subprocess.TimeoutExpired:
                self.message = f"{self.name} did not end within {grace_s:g} s and was killed"
        self._kill_group(process.pid)
        process.wait()
        self._forget()

    def _ended(self, code: int, now: float) -> None:
        pid = self.identity.pid
        # What it had started (pool processes) would go on with work that is given out again.
        self._kill_group(pid)
        self._forget()
        # Celery and Redis write the reason last; a signal leaves none.
        last = tail(self.log, lines=1, since_bytes=self._log_mark)[:300] if code > 0 else ""
        self._failed(
            f"{self.name} (pid {pid}) ended with {reason(code)} at {time.strftime('%H:%M:%S')}"
            + (f": {last}" if last else ""),
            now,
        )

    def _failed(self, message: str, now: float) -> None:
        quick = now - self._started_at < HEALTHY_S
        self.failures = self.failures + 1 if quick else 1
        pause = pause_s(self.failures)
        self._due_at = now + pause
        self.message = message + (f"; next start in {pause:g} s" if pause else "; started again")

    def _forget(self) -> None:
        self._guard.forget(self.identity.pid)
        self._process = None
        self.identity = NOBODY

    @staticmethod
    def _kill_group(pid: int) -> None:
        # macOS says EPERM of a group of zombies.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
