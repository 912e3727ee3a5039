"""Running a measurement in a fresh process, and making sure that nothing outlives it.

Every process of a run carries the run's mark in its environment and hands it on, daemons included.
What still carries it at the end was left behind: it is reported and ended by its own id.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MARK = "NBQUEUE_BENCH_RUN"
TIMEOUT_S = 300
# Some daemons notice only after a few seconds that their owner is gone.
LINGER_S = 15.0


class MeasurementError(Exception):
    """A peer could not be measured; the message is its last words."""


@dataclass
class Runner:
    """Starts the processes of one run of the benchmarks."""

    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def run(self, arguments: list[str]) -> str:
        """The last line that `python ARGUMENTS` prints; `{folder}` is a private folder's path."""
        # Short, as Unix sockets live in it, and gone afterwards, so that every start is a cold one.
        with tempfile.TemporaryDirectory(prefix="nbqb", ignore_cleanup_errors=True) as folder:
            command = [argument.replace("{folder}", folder) for argument in arguments]
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=folder,
                env=self._environment(folder),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            try:
                out, err = process.communicate(timeout=TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                raise MeasurementError(f"not done after {TIMEOUT_S} s") from None
        if process.returncode or not out.strip():
            raise MeasurementError((err.strip() or "no output").splitlines()[-1][:200])
        return out.strip().splitlines()[-1]

    def _environment(self, folder: str) -> dict[str, str]:
        environment = dict(os.environ)
        path = [str(ROOT), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))
        environment["NBQUEUE_HOME"] = str(Path(folder) / "home")
        environment[MARK] = self.mark
        for name in ("NBQUEUE_BROKER", "NBQUEUE_BACKEND", "NBQUEUE_KEY"):
            environment.pop(name, None)
        return environment

    def end_leftovers(self) -> list[str]:
        """Command lines of what had to be ended; waits first for what is on its way out."""
        deadline = time.monotonic() + LINGER_S
        while (left := self._marked()) and time.monotonic() < deadline:
            time.sleep(0.2)
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return [f"{pid}: {command}" for pid, command in left.items()]

    def _marked(self) -> dict[int, str]:
        """Processes that carry the mark, by id; none where there is no /proc."""
        wanted = f"{MARK}={self.mark}".encode()
        found: dict[int, str] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(folder.name)] = command.decode(errors="replace").strip()
            except OSError:
                continue  # another user's, or gone by now
        return found
