"""Blobs: values too large for a message, stored once under their own signature.

    here     a folder of files, memory-mapped; shared by all processes of one machine that use it
    remote   a list of chunks in Redis, for workers elsewhere   (not used by the embedded cluster,
             whose client and workers share the folder)

A file that nobody has used for as long as blobs are kept is deleted (`sweep`), as Redis does with a
list; a machine fetches it again if it was a copy. What jobs need that run for longer is renewed
(`keeping`).

``put`` of the same bytes twice sends them once. ``get`` maps the file copy-on-write: an array in
it costs no memory until it is changed, and a change is seen by whoever made it and nobody else.
"""

from __future__ import annotations

import logging
import mmap
import os
import platform
import re
import tempfile
import threading
import time
import weakref
from collections import OrderedDict
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import cast

import redis

from nbqueue.core.errors import BadSignature, Expired, InfrastructureError
from nbqueue.core.settings import KEEP_EXTRA_S, RESULT_EXPIRES_S
from nbqueue.store import keys
from nbqueue.store.signing import Keyring

log = logging.getLogger("nbqueue.store")

_CHUNK = 8 * 1024 * 1024
_TTL_S = RESULT_EXPIRES_S + KEEP_EXTRA_S
_KEPT = 16
"""Verified files kept open. Fewer: large blobs are hashed again; more: file descriptors."""
_USE_S = 3600.0
"""That a blob is used is written down this often. Less often, and it goes sooner than is said."""
_MAPPED = 256
"""Most mappings at a time: each holds a file descriptor, of which a process often has 1,024. What
comes on top is read into memory."""

_OURS = re.compile(r"[0-9a-f]{64}(\.\d+\.\d+)?")
"""Names of files here, and of what becomes one or has stayed behind half written."""

Buffer = bytes | memoryview


class _File:
    """A file that is open for as long as somebody refers to it."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self.fd).st_size
        self._used_at = -inf
        self.use()

    def use(self) -> bool:
        """Count it as used now, which is written down once an hour; say whether it was."""
        now = time.monotonic()
        if now - self._used_at < _USE_S:
            return False
        self._used_at = now
        os.utime(self.fd)
        return True

    def __del__(self) -> None:
        if hasattr(self, "fd"):
            os.close(self.fd)

    def read(self) -> bytearray:
        """Read it from start to end."""
        content = bytearray(self.size)
        with open(self.fd, "rb", buffering=0, closefd=False) as file:
            file.seek(0)
            view, done = memoryview(content), 0
            while count := file.readinto(view[done:]):
                done += count
        return content


class Blobs:
    """The blobs of one store, as seen from one process."""

    def __init__(self, store: redis.Redis, keyring: Keyring, folder: Path, *, remote: bool) -> None:
        self._store = store
        self._keyring = keyring
        self._folder = folder
        self._remote = remote
        self._verified: OrderedDict[str, _File] = OrderedDict()
        """Files whose bytes are known to be right, kept open so that they stay those bytes."""
        self._mapped: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
        self._lock = threading.Lock()

    @property
    def folder(self) -> Path:
        """Where this process has its files."""
        return self._folder

    @property
    def are_copies(self) -> bool:
        """Whether files may go: what is in them is in the store, too."""
        return self._remote

    def put(self, value: Buffer) -> str:
        """Store bytes and give their address; nothing is sent when they are there already."""
        address = self._keyring.address(value, "blob")
        if self._remote:
            self._upload(address, value)
        else:
            self._write(address, value)
        return address

    def get(self, address: str) -> memoryview:
        """Give the bytes behind an address, verified, as writable private memory.

        Each call gives its own: what one task writes into an array, the next does not see.

        Raises:
            Expired: they are not in the store any more.
            BadSignature: what is stored there is not what was put there.
        """
        with self._lock:
            if address not in self._verified:
                self._verified[address] = self._fetch(address)
                self._trim(_KEPT)
            self._verified.move_to_end(address)
            file = self._verified[address]
            if file.use() and self._remote:
                # Should the store be away, there is the copy; and it is used for more than an hour.
                with suppress(redis.RedisError):
                    self._store.expire(keys.blob(address), _TTL_S)
            return self._private(file)

    def renew(self, address: str) -> bytes | None:
        """Keep a blob for its time from now on; give its beginning, if it is there."""
        if self._remote:
            key = keys.blob(address)
            found = self._store.expire(key, _TTL_S)
            return cast("bytes | None", self._store.lindex(key, 0)) if found else None
        file = self._open(address)
        return None if file is None else os.pread(file.fd, _CHUNK, 0)

    def sweep(self) -> int:
        """Delete files that were not used for as long as blobs are kept; give how many those were.

        Files that jobs need must have been renewed before; copies of what is in the store need not.
        """
        return sum(self._swept(path) for path in self._folder.iterdir())

    def _swept(self, path: Path) -> bool:
        before = time.time() - _TTL_S
        aside = path.with_name(f"{path.name[:64]}.{os.getpid()}.{threading.get_ident()}")
        try:
            if not _OURS.fullmatch(path.name) or path.stat().st_mtime >= before:
                return False
            path.replace(aside)  # who puts it from now on finds none, and writes it
            if aside.stat().st_mtime >= before:  # and who did just now has it back
                aside.replace(path)
                return False
            aside.unlink()
        except OSError as exc:
            if not isinstance(exc, FileNotFoundError):  # else another process has done it
                log.warning("%s was not used for long and cannot be deleted: %s", path, exc)
            return False
        return True

    def release(self, keep: int = 8) -> None:
        """Let go of all but the latest files (mappings in use stay until they are not)."""
        with self._lock:
            self._trim(keep)

    def _trim(self, keep: int) -> None:
        while len(self._verified) > keep:
            self._verified.popitem(last=False)

    def _path(self, address: str) -> Path:
        return self._folder / address

    def _fetch(self, address: str) -> _File:
        """Open a blob's file, downloading it first if need be, and verify it.

        What is not right is deleted: else whoever sends the value again would find it there.
        """
        file = self._open(address)
        if file is not None:
            try:
                return self._checked(address, file)
            except BadSignature:
                self._path(address).unlink(missing_ok=True)
                if not self._remote:
                    raise
        self._write(address, self._download(address))
        file = self._open(address)
        if file is None:
            raise Expired(f"blob {address[:12]}… was deleted from {self._folder} just now")
        try:
            return self._checked(address, file)
        except BadSignature:
            self._path(address).unlink(missing_ok=True)
            self._store.delete(keys.blob(address))
            raise

    def _checked(self, address: str, file: _File) -> _File:
        content = mmap.mmap(file.fd, 0, access=mmap.ACCESS_READ) if file.size else b""
        self._keyring.check(address, memoryview(content), "blob", "send the value again")
        return file

    def _open(self, address: str) -> _File | None:
        try:
            return _File(self._path(address))
        except FileNotFoundError:
            return None

    def _private(self, file: _File) -> memoryview:
        if file.size and len(self._mapped) < _MAPPED:
            mapped = mmap.mmap(file.fd, 0, access=mmap.ACCESS_COPY)
            self._mapped.add(mapped)
            return memoryview(mapped)
        return memoryview(file.read())

    def _write(self, address: str, value: Buffer) -> None:
        path = self._path(address)
        part = path.with_name(f"{address}.{os.getpid()}.{threading.get_ident()}")
        try:
            if _is_there(path, len(value)):
                return
            # The name appears only when the bytes are whole: readers never see half a blob.
            part.touch(mode=0o600)  # before there is anything in it that others could read
            with part.open("wb") as file:
                file.write(value)
            part.replace(path)
        except OSError as exc:
            part.unlink(missing_ok=True)
            raise InfrastructureError(
                f"cannot write a value of {len(value):,} bytes to {self._folder} on "
                f"{platform.node()}: {exc.strerror}; free some space there, or point $NBQUEUE_HOME "
                "elsewhere"
            ) from exc

    def _upload(self, address: str, value: Buffer) -> None:
        key = keys.blob(address)
        if self._store.expire(key, _TTL_S):
            return
        # Built under another name and renamed, so that nobody ever reads half a blob.
        part = f"{key}:{os.getpid()}:{id(value)}"
        view = memoryview(value)
        for start in range(0, len(view), _CHUNK):
            self._store.rpush(part, bytes(view[start : start + _CHUNK]))
            self._store.expire(part, 600)
        pipe = self._store.pipeline()
        pipe.rename(part, key)
        pipe.expire(key, _TTL_S)
        pipe.execute()

    def _download(self, address: str) -> bytes:
        chunks = cast("list[bytes]", self._store.lrange(keys.blob(address), 0, -1))
        if not chunks:
            raise Expired(
                f"blob {address[:12]}… is not in the store any more (blobs are kept for "
                f"{_TTL_S // 86400} days after their last use): send the value again"
            )
        return b"".join(chunks)


def _is_there(path: Path, size: int) -> bool:
    """Say whether a file is there, and keep it for its time from now on."""
    try:
        os.utime(path)
        # A size that is wrong is a file that a crash of the machine left behind.
        return path.stat().st_size == size
    except FileNotFoundError:
        return False


def private_folder(path: Path) -> Path:
    """Make a folder that only this user can enter, and give it back.

    Folders above it that are not there either are made as private: in one that others may write to,
    they could put another in its place.
    """
    missing = [path]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
    if path.stat().st_uid != os.getuid():
        raise InfrastructureError(
            f"{path} belongs to another user; set $NBQUEUE_HOME to a folder of yours"
        )
    path.chmod(0o700)
    return path


def cache_folder() -> Path:
    """Folder for blobs of clusters that have no folder of their own."""
    home = os.environ.get("NBQUEUE_HOME")
    if home:
        return private_folder(Path(home) / "blobs")
    root = Path(tempfile.gettempdir()) / f"nbqueue-{os.getuid()}"
    if root.is_symlink():  # in a folder that everybody writes to, somebody else may have made it
        raise InfrastructureError(f"{root} is a link; remove it, or set $NBQUEUE_HOME")
    private_folder(root)
    return private_folder(root / "blobs")
