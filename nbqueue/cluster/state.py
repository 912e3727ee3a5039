"""``state.json``: what the supervisor tells others about itself, and whom a pid really names.

Owns the file's form and the identity of processes. It decides nothing and signals nobody unless
the identity written down is still that of the process: after a crash or a reboot a pid belongs
to somebody else.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from nbqueue.cluster.folder import write_private


@dataclass(frozen=True, slots=True)
class Process:
    """A process that stays the same one: its pid and a mark that a later owner cannot have."""

    pid: int
    mark: str  # see `mark_of`

    def lives(self) -> bool:
        """Whether this very process still runs."""
        return self.pid > 0 and bool(self.mark) and mark_of(self.pid) == self.mark

    def signal(self, number: int, *, group: bool = False) -> bool:
        """Send ``number`` (to its whole process group) if it is still this process."""
        if not self.lives():
            return False
        try:
            if group and os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def kill(self, *, group: bool = False) -> bool:
        """`signal` with SIGKILL."""
        return self.signal(signal.SIGKILL, group=group)


NOBODY = Process(0, "")


def mark_of(pid: int) -> str:
    """When ``pid`` was started, as precisely as the system tells; empty if it has ended."""
    return _mark_from_proc(pid) if Path("/proc/self/stat").exists() else _mark_from_ps(pid)


def _mark_from_proc(pid: int) -> str:
    try:
        # The name is in brackets and may hold anything: split after the last bracket.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (OSError, ValueError):
        return ""
    # proc(5): the state is field 3, the start in ticks since boot field 22.
    return "" if fields[0] in (b"Z", b"X") else f"{boot}:{fields[19].decode()}"


def _mark_from_ps(pid: int) -> str:
    """To the second only, which is what macOS tells without a library."""
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    env = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.environ.get("PATH", os.defpath) + ":/bin"}
    found = subprocess.run(
        command, capture_output=True, text=True, check=False, env=env
    ).stdout.split(None, 1)
    return found[1].strip() if len(found) == 2 and not found[0].startswith("Z") else ""


@dataclass(frozen=True, slots=True)
class State:
    """One supervisor's account of itself; times are seconds since 1970."""

    phase: str = "starting"  # starting | running | stopping | failed
    supervisor: Process = NOBODY
    redis: Process = NOBODY
    worker: Process = NOBODY
    beat: Process = NOBODY
    started_at: float = field(default_factory=time.time)
    socket: str = ""
    workers: int = 0
    threads: bool = False
    keep_alive_s: float | None = None
    version: str = ""
    python: str = ""
    host: str = ""
    redis_server: str = ""
    # How its worker is started, for a client that finds the supervisor killed.
    worker_command: tuple[str, ...] = ()
    # What was lost when Redis could not read its data; for everybody who connects.
    notice: str = ""
    worker_message: str = ""
    worker_restarts: int = 0
    redis_message: str = ""
    redis_restarts: int = 0
    beat_message: str = ""
    beat_restarts: int = 0


def write(folder: Path, state: State) -> None:
    """Replace ``state.json`` by ``state`` in one step, readable by this user only."""
    write_private(folder / "state.json", json.dumps(asdict(state), indent=1))


def read(folder: Path) -> State | None:
    """What ``state.json`` says; None when it is missing or not of this form."""
    try:
        found = json.loads((folder / "state.json").read_text("utf-8"))
        for name in ("supervisor", "redis", "worker", "beat"):
            if name == "beat" and name not in found:
                continue  # written by an nbqueue that had none
            found[name] = Process(int(found[name]["pid"]), str(found[name]["mark"]))
        found["worker_command"] = tuple(found.get("worker_command", ()))
        known = State.__dataclass_fields__.keys()
        # A newer nbqueue may have written more: what is not known here is left out.
        return State(**{name: value for name, value in found.items() if name in known})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def remove(folder: Path) -> None:
    """Say that no supervisor is here."""
    (folder / "state.json").unlink(missing_ok=True)
