"""The cluster's folder: where it is, who may read it, its key, socket, locks and logs.

Owns every path below the folder and the rules of permission; every other file of this room asks
here. It starts no process and speaks to no Redis.

    <folder>/            0700, owned by this user
    ├── key              0600, 32 random bytes in hex: signs all that is unpickled
    ├── lock             flock: held by whoever is starting or ending the cluster; its time is
    │                    that of the last client's arrival
    ├── alive            flock: held by the supervisor (and its guard) for its whole life
    ├── state.json       0600, see state.py
    ├── redis.sock       elsewhere when the path is too long for the kernel, see `socket_path`
    ├── appendonlydir/   Redis's data (one file ``appendonly.aof`` before Redis 7)
    ├── blobs/           large values
    └── supervisor.log, redis.log, worker.log, beat.log

Order of the two locks: ``lock`` first, then ``alive``. ``lock`` is held for as long as it takes
to start, to end, or to attach one client; ``alive`` is only ever probed or held to the end.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

from nbqueue.core.errors import ClusterError

LOGS = ("supervisor.log", "redis.log", "worker.log", "beat.log")

# sun_path holds 104 bytes on macOS and 108 on Linux, with a terminating zero. Raised above 103,
# Redis would start on macOS and listen on a truncated name.
MAX_SOCKET_BYTES = 100

# A log above the first size is cut back to its last part. Lower loses the reason of a crash that
# was followed by much chatter; higher fills home folders with a quota.
MAX_LOG_BYTES = 5 * 1024 * 1024
KEPT_LOG_BYTES = 1024 * 1024

# How often a lock that is taken is tried again: on the start path, so it must stay short.
_POLL_S = 0.005


def default_folder() -> Path:
    """The folder of this user and this Python environment (it need not exist yet).

    Below ``$NBQUEUE_HOME``, or the user's data folder (XDG; Application Support on macOS).
    """
    import hashlib  # only clients need it: 5 ms that the supervisor saves

    home = os.environ.get("NBQUEUE_HOME")
    if home:
        base = Path(home).expanduser()
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support" / "nbqueue"
    else:
        # The XDG specification says to ignore a relative path.
        data = os.environ.get("XDG_DATA_HOME", "")
        base = (
            Path(data) if Path(data).is_absolute() else Path.home() / ".local/share"
        ) / "nbqueue"
    prefix = os.path.realpath(sys.prefix).encode("utf-8", "surrogateescape")
    return base.absolute() / hashlib.sha256(prefix).hexdigest()[:12]


def prepare(folder: Path) -> None:
    """Make ``folder`` exist, be ours and be closed to everybody else, or raise ClusterError."""
    try:
        _make_above(folder)
        _private_folder(folder)
        _private_folder(folder / "blobs")
    except OSError as error:
        raise unusable(folder, error) from error


def _make_above(folder: Path) -> None:
    """Make the folders above that are missing, closed to others whatever the umask.

    In one that others may write to, they could put a cluster of theirs in this one's place.
    """
    missing = []
    above = folder.parent
    while not above.exists():
        missing.append(above)
        above = above.parent
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)


def unusable(folder: Path, error: OSError) -> ClusterError:
    """The ClusterError that stands for an operating-system error below ``folder``."""
    return ClusterError(
        f"the embedded cluster cannot use its folder {folder}: {error}. Free or mount the disk, "
        f"or set NBQUEUE_HOME to a folder on a local, writable disk with room."
    )


def _private_folder(path: Path) -> None:
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    _check_private(path, folder=True)


def _check_private(path: Path, *, folder: bool) -> None:
    """Raise ClusterError unless ``path`` is ours; take away what others may do with it.

    A symbolic link is refused at the leaf (in a shared temp folder somebody else could have put
    it there) and followed above it, so that a home on another disk works.
    """
    info = path.lstat()
    kind = stat.S_ISDIR if folder else stat.S_ISREG
    if not kind(info.st_mode):
        raise ClusterError(
            f"{path} should be a plain {'folder' if folder else 'file'} made by nbqueue and is "
            f"something else. Move it away, or set NBQUEUE_HOME to another folder."
        )
    if info.st_uid != os.geteuid():
        raise ClusterError(
            f"{path} belongs to user id {info.st_uid}, and this process runs as {os.geteuid()}: "
            f"its contents cannot be trusted. Set NBQUEUE_HOME to a folder of your own (after "
            f"sudo: 'sudo chown -R' it back)."
        )
    if not info.st_mode & 0o077:
        return
    path.chmod(0o700 if folder else 0o600)
    if path.lstat().st_mode & 0o077:
        raise ClusterError(
            f"{path} can be read by other users (mode {info.st_mode & 0o777:o}) and its file "
            f"system does not let that be changed. Set NBQUEUE_HOME to a folder on a local disk."
        )


def read_key(folder: Path) -> str:
    """The cluster's key in hex, made at the first call. Call it with the start lock held."""
    path = folder / "key"
    try:
        if not path.exists():
            write_private(path, os.urandom(32).hex() + "\n", sync=True)
        _check_private(path, folder=False)
        key = path.read_text("ascii", "replace").strip()
    except OSError as error:
        raise unusable(folder, error) from error
    if len(key) != 64 or set(key) - set("0123456789abcdef"):
        raise ClusterError(
            f"{path} does not hold a key of 64 hex digits ({len(key)} characters found). Put the "
            f"old file back; or remove it for a new key, which makes older jobs unreadable."
        )
    return key


def write_private(path: Path, text: str, *, sync: bool = False) -> None:
    """Give a file, which only this user may read, another content, in one step.

    Written aside and then named: a full disk or a crash must not leave half of it, which would be
    found by everybody who comes later. With ``sync`` it is on the disk before it has its name.
    """
    aside = path.with_name(f"{path.name}.new")
    aside.unlink(missing_ok=True)
    number = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(number, "w", encoding="utf-8") as file:
        file.write(text)
        if sync:
            file.flush()
            os.fsync(number)
    aside.rename(path)


def socket_path(folder: Path) -> Path:
    """Where Redis listens: in ``folder``, or in a private temp folder if that is too long.

    The temp folder depends on ``$TMPDIR``, so of a running cluster ask ``state.json`` instead.
    """
    path = folder / "redis.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_BYTES:
        return path
    import hashlib
    import tempfile

    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    for base in (tempfile.gettempdir(), "/tmp"):
        room = Path(base) / f"nbq-{os.geteuid()}-{digest}"
        if len(os.fsencode(room / "redis.sock")) <= MAX_SOCKET_BYTES:
            break
    try:
        _private_folder(room)
    except OSError as error:
        raise unusable(room, error) from error
    return room / "redis.sock"


class FileLock:
    """An ``flock`` on a file of the folder: free again when its holder dies, however it dies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = -1

    def try_acquire(self, *, shared: bool = False) -> bool:
        """Take the lock if it is free now.

        Raises ClusterError where the file system has no locks.
        """
        if self.number < 0:
            try:
                self.number = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise unusable(self.path.parent, error) from error
        try:
            fcntl.flock(self.number, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:  # ENOLCK: NFS without a lock service
            self.release()
            raise unusable(self.path.parent, error) from error
        return True

    def acquire(self, timeout_s: float) -> bool:
        """Take the lock; False when it was not free for ``timeout_s``."""
        return wait_until(self.try_acquire, timeout_s)

    def release(self) -> None:
        """Give the lock back; nothing happens if it was not held."""
        if self.number < 0:
            return
        number, self.number = self.number, -1
        # Unlocked by name and not by closing alone: a fork of this process made meanwhile
        # (another thread, multiprocessing) holds a copy of the number and would keep it.
        with contextlib.suppress(OSError):
            fcntl.flock(number, fcntl.LOCK_UN)
        os.close(number)

    def touch(self) -> None:
        """Mark the file as used now; `touched_at_ns` tells others."""
        os.utime(self.path)

    def touched_at_ns(self) -> int:
        """When the file was last marked (or made); 0 if it is missing."""
        try:
            return self.path.stat().st_mtime_ns
        except OSError:
            return 0

    def still_in_folder(self) -> bool:
        """False when the file was removed or replaced: the folder is no longer this holder's."""
        try:
            found, mine = self.path.stat(), os.fstat(self.number)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)


def held(folder: Path) -> bool:
    """Whether a supervisor (or its guard, still cleaning up) holds the folder."""
    probe = FileLock(folder / "alive")
    free = probe.try_acquire(shared=True)
    probe.release()
    return not free


def wait_until(condition: Callable[[], bool], timeout_s: float, *, poll_s: float = _POLL_S) -> bool:
    """Whether ``condition`` came true within ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(poll_s)
    return True


def cap_logs(folder: Path) -> None:
    """Cut each log that has grown too large back to its end, in place.

    Its writers hold it open for appending, so they go on at the new end.
    """
    for name in LOGS:
        path = folder / name
        try:
            if path.stat().st_size <= MAX_LOG_BYTES:
                continue
            with path.open("rb+") as file:
                file.seek(-KEPT_LOG_BYTES, os.SEEK_END)
                end = file.read()
                file.seek(0)
                file.write(b"[older lines were cut]\n" + end)
                file.truncate()
        except OSError:
            continue  # a log is not worth a failure


def tail(path: Path, *, lines: int = 12, since_bytes: int = 0) -> str:
    """The last lines of a log, those before ``since_bytes`` left out; empty if there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            # A log shorter than the mark was cut since then.
            start = since_bytes if since_bytes <= size else 0
            file.seek(max(start, size - 8192))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.strip().splitlines()[-lines:])
