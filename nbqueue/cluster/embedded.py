"""What clients call: find or start the embedded cluster, end it, and look at it.

Owns the start path: who may start, what is cleaned up first, and what is said when it fails. It
works in the caller's process (a kernel, a script) and may be called from any thread. It must
not keep a client waiting without a limit, and imports redis-py only once the cluster is coming up.

    ensure():  lock ─► alive held and Redis answers? ──yes──► open a named connection ─► unlock
                         └─no─► clean up what a crash left ─► spawn the supervisor ──┘
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from nbqueue.cluster import launch as launching
from nbqueue.cluster import state as state_file
from nbqueue.cluster.binaries import find_server, remember
from nbqueue.cluster.folder import (
    LOGS,
    FileLock,
    cap_logs,
    default_folder,
    held,
    prepare,
    read_key,
    socket_path,
    tail,
    unusable,
    wait_until,
)
from nbqueue.cluster.leftovers import clean
from nbqueue.cluster.processors import processors
from nbqueue.cluster.redis_server import CLIENT_NAME, ping
from nbqueue.cluster.status import Status, status
from nbqueue.core.errors import ClusterError, UsageError

if TYPE_CHECKING:
    import redis

__all__ = ["Address", "Status", "default_folder", "ensure", "status", "stop"]

# A supervisor and Redis are up in 0.1 s; a machine that swaps may need seconds.
START_TIMEOUT_S = 10.0
# Reading a large append-only file back is progress and not a hang.
LOADING_TIMEOUT_S = 120.0
# Whoever holds the start lock is starting (10 s) or ending (up to 15 s).
LOCK_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Address:
    """Where the cluster is and what opens it; `keepalive` holds it open while it is kept."""

    folder: Path
    socket: Path
    key: str = field(repr=False)
    # One open connection with a client's name. Close it (`keepalive.close()`) when done.
    keepalive: redis.Redis | None = field(default=None, repr=False, compare=False)
    # What everybody who connects should know; most often nothing.
    notice: str = field(default="", repr=False, compare=False)

    @property
    def broker_url(self) -> str:
        """The URL in Celery's form."""
        return "redis+socket://" + quote(str(self.socket))

    @property
    def store_url(self) -> str:
        """The URL in redis-py's form."""
        return "unix://" + quote(str(self.socket))


def ensure(
    folder: Path | None = None,
    *,
    workers: int | None = None,
    threads: int | None = None,
    keep_alive_s: float | None = 600.0,
    worker_options: tuple[str, ...] = (),
) -> Address:
    """The running cluster of ``folder`` (by default: of this environment), started if need be.

    Back as soon as Redis answers; the worker follows in a second or two and messages wait for it.
    ``workers`` processes (default: the processors this process may use), or ``threads`` threads
    in one process. It ends ``keep_alive_s`` after the last client, the last unfinished job
    and the last enabled schedule; 0 means at once, None never; ``worker_options`` are further ones
    of the worker's launcher. All of these matter only to the call that starts it. Raises
    ClusterError, with the reason and what to do, within seconds.
    """
    return attach(
        folder,
        workers=workers,
        threads=threads,
        keep_alive_s=keep_alive_s,
        worker_options=worker_options,
    )


def attach(
    folder: Path | None,
    *,
    workers: int | None = None,
    threads: int | None = None,
    keep_alive_s: float | None = 600.0,
    worker_options: tuple[str, ...] = (),
    worker_command: tuple[str, ...] = (),
    first_client_s: float = 60.0,
) -> Address:
    """`ensure`, with the two things that only tests choose."""
    _check(workers, threads, keep_alive_s)
    home = (folder or default_folder()).absolute()

    def begin() -> launching.Launch:
        return launching.plan(
            home,
            socket_path(home),
            find_server(home),
            concurrency=threads or workers or processors(),
            threads=threads is not None,
            keep_alive_s=keep_alive_s,
            worker_options=worker_options,
            worker_command=worker_command,
            first_client_s=first_client_s,
        )

    prepare(home)
    lock = FileLock(home / "lock")
    _take(lock, LOCK_TIMEOUT_S)
    try:
        key = read_key(home)
        socket = _await_redis(home) or _start(home, begin)
        # With the lock still held: a supervisor about to end looks for this connection.
        try:
            keepalive = _connect(socket)
        except ClusterError:  # it died between the two lines: now that is known
            socket = _await_redis(home) or _start(home, begin)
            keepalive = _connect(socket)
        lock.touch()  # a client that leaves before it is looked for has been here all the same
        state = state_file.read(home)
        return Address(home, socket, key, keepalive, state.notice if state else "")
    finally:
        lock.release()


def runs(folder: Path) -> bool:
    """Whether ``folder`` has a cluster that runs or is being started; one that ends does not."""
    if not folder.is_dir():
        return False
    state = state_file.read(folder)
    return held(folder) and (state is None or state.phase in ("starting", "running"))


def revive(folder: Path) -> Address | None:
    """The cluster of ``folder``, started again as it was, if its supervisor was killed.

    None when there is nothing to do: it runs, or it was ended in order, or it is gone for good. Its
    Redis has all that was recorded, and its worker runs again what the killed one held.
    """
    state = state_file.read(folder)
    if state is None or state.phase not in ("starting", "running") or held(folder):
        return None
    return attach(
        folder,
        workers=None if state.threads else state.workers,
        threads=state.workers if state.threads else None,
        keep_alive_s=state.keep_alive_s,
        worker_command=state.worker_command,
    )


def _check(workers: int | None, threads: int | None, keep_alive_s: float | None) -> None:
    for name, number in (("workers", workers), ("threads", threads)):
        if number is not None and number < 1:
            raise UsageError(f"{name} must be 1 or more, not {number!r}")
    if workers is not None and threads is not None:
        raise UsageError(f"give workers ({workers}) or threads ({threads}), not both")
    if keep_alive_s is not None and not keep_alive_s >= 0:
        raise UsageError(f"keep_alive_s must be 0 or more, or None, not {keep_alive_s!r}")


def _take(lock: FileLock, timeout_s: float) -> None:
    if not lock.acquire(timeout_s):
        raise ClusterError(
            f"another process has been starting or ending the cluster in {lock.path.parent} for "
            f"{timeout_s:g} s. Try again; if it stays so, find who holds {lock.path} (fuser, lsof)."
        )


def _await_redis(folder: Path) -> Path | None:
    """The socket once Redis answers there; None when there is no supervisor (any more)."""
    began = time.monotonic()
    timeout_s = START_TIMEOUT_S
    while held(folder):
        state = state_file.read(folder)
        if state is not None and state.phase in ("starting", "running"):
            answer = ping(state.socket)
            # A Redis whose supervisor was killed this millisecond answers for one more.
            if answer == "PONG" and state.supervisor.lives():
                return Path(state.socket)
            if answer == "LOADING":
                timeout_s = LOADING_TIMEOUT_S
        if time.monotonic() - began > timeout_s:
            raise _no_answer(folder, state, timeout_s)
        time.sleep(0.004)
    return None


def _no_answer(folder: Path, state: state_file.State | None, timeout_s: float) -> ClusterError:
    host = os.uname().nodename
    if state is not None and state.host != host:
        return ClusterError(
            f"the cluster in {folder} runs on another machine ({state.host}; this is {host}) that "
            f"shares this folder. Set NBQUEUE_HOME to a folder on this machine's own disk."
        )
    return ClusterError(
        f"the cluster in {folder} runs, but its Redis did not answer for {timeout_s:g} s. "
        f"'nbqueue down' ends it (nothing that was saved is lost); then try again.\n{_logs(folder)}"
    )


def _start(folder: Path, begin: Callable[[], launching.Launch]) -> Path:
    clean(folder)
    launch = begin()
    cap_logs(folder)
    marks = {name: _size(folder / name) for name in LOGS}
    try:
        launching.spawn(launch, timeout_s=START_TIMEOUT_S)
    except OSError as error:
        raise unusable(folder, error) from error
    socket = _await_redis(folder)
    if socket is None:
        raise ClusterError(
            f"the embedded cluster did not start in {folder} with {launch.server}. The reason "
            f"should be in the last lines of its logs, below; most often the disk is full, or its "
            f"file system has no Unix sockets (then set NBQUEUE_HOME to a folder on a local disk)."
            f"\n{_logs(folder, marks)}"
        )
    try:
        remember(folder, launch.server)
    except OSError as error:
        raise unusable(folder, error) from error
    return socket


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _logs(folder: Path, marks: dict[str, int] | None = None) -> str:
    parts = []
    for name in ("supervisor.log", "redis.log"):
        text = tail(folder / name, since_bytes=(marks or {}).get(name, 0))
        parts.append(f"--- {name}\n{text or '(nothing)'}")
    return "\n".join(parts)


def _connect(socket: Path) -> redis.Redis:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    client = redis.Redis(
        unix_socket_path=str(socket),
        client_name=f"{CLIENT_NAME}-{os.getpid()}",
        # redis-py would try a Redis that has just died for 3 s; here that is looked into at once.
        retry=Retry(NoBackoff(), 0),
    )
    try:
        client.ping()
    except redis.RedisError as error:
        client.close()
        raise ClusterError(
            f"the cluster's Redis at {socket} was up and then did not answer: {error}. Try again; "
            f"'nbqueue status' shows its state."
        ) from error
    return client


def stop(folder: Path | None = None, *, timeout_s: float = 20.0) -> bool:
    """End the cluster: workers finish their item (10 s at most), jobs and results stay on disk.

    False when none ran. After ``timeout_s`` it is killed, which loses nothing that was recorded.
    """
    home = (folder or default_folder()).absolute()
    if not home.is_dir():
        return False
    lock = FileLock(home / "lock")
    _take(lock, max(timeout_s, LOCK_TIMEOUT_S))
    try:
        ran = held(home)
        if ran:
            _end_supervisor(home, timeout_s)
        clean(home)
        return ran
    finally:
        lock.release()


def _end_supervisor(folder: Path, timeout_s: float) -> None:
    def asked() -> bool:  # one that has just started writes its state a moment later
        state = state_file.read(folder)
        return not held(folder) or bool(state and state.supervisor.signal(signal.SIGTERM))

    if wait_until(asked, 3.0) and wait_until(lambda: not held(folder), timeout_s):
        return
    state = state_file.read(folder)
    if state is not None:
        state.supervisor.kill()  # the guard sees to the rest
    if not wait_until(lambda: not held(folder), 5.0):
        raise ClusterError(
            f"the cluster in {folder} does not end. Find who holds {folder / 'alive'} (fuser, "
            f"lsof) and end that process.\n{_logs(folder)}"
        )
