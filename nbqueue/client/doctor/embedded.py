"""The private cluster of this machine: its processes, locks, key and logs. Starts nothing."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from nbqueue.client.doctor import judging
from nbqueue.client.doctor.findings import Finding, bad, doubtful, good
from nbqueue.cluster import state as state_file
from nbqueue.cluster.binaries import find_server
from nbqueue.cluster.folder import LOGS, FileLock, tail
from nbqueue.cluster.status import Status
from nbqueue.core.errors import ClusterError
from nbqueue.core.spans import span

CHECK = "private cluster"

_LOCK_S = 1.0
"""Whoever starts or ends the cluster holds its lock for about as long."""

_LINES = 60
_ERROR = re.compile(r"\b(ERROR|CRITICAL)\b")
_EXITED = re.compile(r"Process '\S+' pid:\d+ exited with ")
_ITEM_LOST = "Task handler raised error: WorkerLostError("
_CHARACTERS = 200


def examine(found: Status) -> list[Finding]:
    """Judge it, running or not."""
    if not found.folder.is_dir():
        return [good(CHECK, "nothing ran here yet; the first task starts it")]
    return [
        _processes(found),
        *_restarts(found),
        *_locks(found),
        *_key(found.folder),
        *_logs(found.folder),
        *_disk(found.folder),
    ]


def _processes(found: Status) -> Finding:
    if found.phase == "failed":
        said = tail(found.folder / "supervisor.log", lines=1)
        return bad(
            CHECK, f"could not be started: {said}", "`nbqueue up` tries again, and says more"
        )
    if not found.running:
        try:
            find_server(found.folder)
        except ClusterError as exc:
            return bad(CHECK, f"does not run, and cannot be started: {exc}", "as it says")
        waits = f"; {found.active_jobs} unfinished job(s) wait" if found.active_jobs else ""
        return good(CHECK, f"does not run{waits}; the next task or `nbqueue up` starts it")
    if found.phase != "running":
        return doubtful(CHECK, f"is {found.phase}", "look again in a moment")
    parts = f"supervisor {found.pid}, redis {found.redis_pid}, worker {found.worker_pid}"
    text = f"runs for {span(found.uptime_s)} ({parts}) in {found.folder}"
    if found.redis_pid is None or found.worker_pid is None:
        return doubtful(CHECK, text, "a part of it is being started; look again in a moment")
    return good(CHECK, text)


def _restarts(found: Status) -> list[Finding]:
    return [
        doubtful(
            CHECK,
            f"its {part} was started again {times} time(s); it last ended with: {said}",
            f"see {found.folder / log}",
        )
        for part, times, said, log in (
            ("worker", found.worker_restarts, found.worker_message, "worker.log"),
            ("redis", found.redis_restarts, found.redis_message, "redis.log"),
            ("beat", found.beat_restarts, found.beat_message, "beat.log"),
        )
        if times
    ]


def _locks(found: Status) -> list[Finding]:
    lock = FileLock(found.folder / "lock")
    try:
        free = lock.acquire(_LOCK_S)
    except ClusterError as exc:
        return [bad(CHECK, str(exc), "set $NBQUEUE_HOME to a folder on a local disk")]
    lock.release()
    if not free:
        text = "somebody has been starting or ending it for more than a second"
        return [doubtful(CHECK, text, f"if that stays so, see who: fuser {found.folder / 'lock'}")]
    state = None if found.running else state_file.read(found.folder)
    if state is None:
        return []
    alive = [process.pid for process in (state.redis, state.worker, state.beat) if process.lives()]
    if not alive:
        return []
    pids = ", ".join(map(str, alive))
    text = f"its supervisor is gone, and left processes behind: {pids}"
    return [doubtful(CHECK, text, "the next start ends them; `nbqueue up` does it now")]


def _key(folder: Path) -> list[Finding]:
    try:
        mode = (folder / "key").stat().st_mode & 0o777
    except OSError:
        return []  # the first start makes it
    if mode & 0o077:
        text = f"its signing key can be read by others (mode {mode:o}): {folder / 'key'}"
        return [bad("key", text, f"chmod 600 {folder / 'key'}; if others were here, delete it")]
    return [good("key", "is the private cluster's, and nobody else can read it")]


def _logs(folder: Path) -> list[Finding]:
    found = []
    for name in LOGS:
        lines = _errors(tail(folder / name, lines=_LINES).splitlines())
        if lines:
            last = lines[-1].strip()[:_CHARACTERS]
            many = "1 error" if len(lines) == 1 else f"{len(lines)} errors"
            text = f"{name} has {many} in its last {_LINES} lines; the latest: {last}"
            found.append(doubtful(CHECK, text, f"see {folder / name}"))
    return found


def _errors(lines: list[str]) -> list[str]:
    """Give the lines that are errors, but for those of items that ended their own process.

    Each such end is two: that a process exited, and that an item was lost with it.
    """
    errors = [line for line in lines if _ERROR.search(line)]
    of_items = [line for line in errors if _ITEM_LOST in line]
    of_items += [line for line in errors if _EXITED.search(line)][: len(of_items)]
    return [line for line in errors if line not in of_items]


def _disk(folder: Path) -> list[Finding]:
    try:
        free = shutil.disk_usage(folder).free
    except OSError as exc:
        return [bad(CHECK, f"its folder cannot be used: {exc.strerror}", "set $NBQUEUE_HOME")]
    return judging.disk(CHECK, {"path": str(folder), "free": free, "trouble": ""})
