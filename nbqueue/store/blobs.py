"""Blobs: values too large for a message, stored once under their own signature.

    here     a folder of files, memory-mapped; shared by all processes of one machine that use it
    remote   a list of chunks in Redis, for workers elsewhere   (not used by the embedded cluster,
             whose client and workers share the folder)

``put`` of the same bytes twice sends them once. ``get`` maps the file copy-on-write: an array in
it costs no memory until it is changed, and a change stays within the process.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from pathlib import Path
from typing import cast

import redis

from nbqueue.core.errors import BadSignature, Expired, InfrastructureError
from nbqueue.core.settings import KEEP_EXTRA_S, RESULT_EXPIRES_S
from nbqueue.store import keys
from nbqueue.store.signing import Keyring

_CHUNK = 8 * 1024 * 1024
_TTL_S = RESULT_EXPIRES_S + KEEP_EXTRA_S

Buffer = bytes | memoryview


class Blobs:
    """The blobs of one store, as seen from one process."""

    def __init__(self, store: redis.Redis, keyring: Keyring, folder: Path, *, remote: bool) -> None:
        self._store = store
        self._keyring = keyring
        self._folder = folder
        self._remote = remote
        self._open: dict[str, memoryview] = {}

    def put(self, value: Buffer) -> str:
        """Store bytes and give their address; nothing is sent when they are there already."""
        address = self._keyring.address(value)
        if self._remote:
            self._upload(address, value)
        else:
            self._write(address, value)
        return address

    def get(self, address: str) -> memoryview:
        """Give the bytes behind an address, verified, as writable private memory.

        Raises:
            Expired: they are not in the store any more.
            BadSignature: what is stored there is not what was put there.
        """
        if address not in self._open:
            view = self._map(address)
            if view is None:
                self._write(address, self._download(address))
                view = self._map(address)
            if view is None or not self._keyring.matches(address, view):
                raise BadSignature(
                    f"blob {address[:12]}… in {self._folder} is damaged or was written with another "
                    "key; delete the file and send the value again"
                )
            self._open[address] = view
        return self._open[address]

    def release(self, keep: int = 8) -> None:
        """Let go of all but the latest mappings (those still in use stay until they are not)."""
        for address in list(self._open)[: -keep or None]:
            del self._open[address]

    def _path(self, address: str) -> Path:
        return self._folder / address

    def _map(self, address: str) -> memoryview | None:
        try:
            with open(self._path(address), "rb") as file:
                os.utime(file.fileno())
                return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        except FileNotFoundError:
            return None

    def _write(self, address: str, value: Buffer) -> None:
        if self._path(address).exists():
            os.utime(self._path(address))
            return
        try:
            # The name appears only when the bytes are whole: readers never see half a blob.
            with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
                file.write(value)
            os.replace(file.name, self._path(address))
        except OSError as exc:
            raise InfrastructureError(
                f"cannot write a value of {len(value):,} bytes to {self._folder}: {exc}; free some "
                "space, or point $NBQUEUE_HOME elsewhere"
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


def private_folder(path: Path) -> Path:
    """Make a folder that only this user can enter, and give it back."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_uid != os.getuid():
        raise InfrastructureError(
            f"{path} belongs to another user; set $NBQUEUE_HOME to a folder of yours"
        )
    path.chmod(0o700)
    return path


def cache_folder() -> Path:
    """Folder for blobs of clusters that have no folder of their own."""
    home = os.environ.get("NBQUEUE_HOME")
    root = Path(home) if home else Path(tempfile.gettempdir()) / f"nbqueue-{os.getuid()}"
    return private_folder(root / "blobs")
