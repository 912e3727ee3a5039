"""A look at the embedded cluster from outside: what runs, since when, and what last went wrong.

Reads ``state.json`` and asks Redis two questions. It starts nothing, ends nothing, and its
connection has no client's name, so looking does not keep the cluster alive.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from nbqueue.cluster import state as state_file
from nbqueue.cluster.folder import default_folder, held
from nbqueue.cluster.redis_server import Wire, WireError


@dataclass(frozen=True)
class Status:
    """The cluster at one moment; of one that does not run, what is known of its end."""

    running: bool
    folder: Path
    phase: str = "stopped"  # stopped | starting | running | stopping | failed
    pid: int | None = None
    socket: Path | None = None
    workers: int = 0
    threads: bool = False
    clients: int = 0
    active_jobs: int = 0
    uptime_s: float = 0.0
    keep_alive_s: float | None = None
    worker_pid: int | None = None
    worker_restarts: int = 0
    worker_message: str = ""  # how the worker last ended; empty if it never did
    redis_pid: int | None = None
    redis_restarts: int = 0
    redis_message: str = ""
    rejected: int = 0  # what was not signed with the cluster's key, since it was first started
    schedules: int = 0
    beat_pid: int | None = None
    beat_restarts: int = 0
    beat_message: str = ""
    redis_server: str = ""
    version: str = ""
    python: str = ""


def status(folder: Path | None = None) -> Status:
    """The cluster now; it neither starts anything nor counts as a client."""
    home = (folder or default_folder()).absolute()
    if not home.is_dir():
        return Status(running=False, folder=home)
    state = state_file.read(home)
    running = (home / "alive").exists() and held(home)
    if state is None:
        return Status(running=running, folder=home, phase="starting" if running else "stopped")
    clients = active = schedules = rejected = 0
    if running:
        try:
            with Wire(state.socket) as wire:
                clients, active = wire.clients(), wire.active_jobs()
                schedules, rejected = wire.schedules(), wire.rejected()
        except WireError:
            pass  # starting, ending or being restarted: the messages say so
    return Status(
        running=running,
        folder=home,
        phase=state.phase if running or state.phase == "failed" else "stopped",
        pid=state.supervisor.pid if running else None,
        socket=Path(state.socket) if running else None,
        workers=state.workers,
        threads=state.threads,
        clients=clients,
        active_jobs=active,
        uptime_s=max(0.0, time.time() - state.started_at) if running else 0.0,
        keep_alive_s=state.keep_alive_s,
        worker_pid=(state.worker.pid or None) if running else None,
        worker_restarts=state.worker_restarts,
        worker_message=state.worker_message,
        redis_pid=(state.redis.pid or None) if running else None,
        redis_restarts=state.redis_restarts,
        redis_message=state.redis_message,
        rejected=rejected,
        schedules=schedules,
        beat_pid=(state.beat.pid or None) if running else None,
        beat_restarts=state.beat_restarts,
        beat_message=state.beat_message,
        redis_server=state.redis_server,
        version=state.version,
        python=state.python,
    )
