"""What a process says of itself and of the Redis that it uses, to whoever looks for what is wrong.

Clients and workers say the same, so that it can be compared (``nbqueue doctor``). Nothing secret is
in it: that two processes have the same key is shown by a signature over what the asker has chosen.
"""

from __future__ import annotations

import contextlib
import platform
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import redis

from nbqueue._version import __version__
from nbqueue.store.signing import Keyring

QUESTION = "question about a worker's key"
ANSWER = "answer about a worker's key"

_PACKAGES = ("celery", "kombu", "cloudpickle", "redis")
_TRIAL = bytes(4096)


def versions() -> dict[str, str]:
    """Give the versions of all that has to fit together."""
    found = {"nbqueue": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):  # a zip, say: nothing to compare
            found[name] = metadata.version(name)
    return found


def folder(path: Path) -> dict[str, Any]:
    """Say of a folder which it is, what is free in it, and what is wrong with writing to it."""
    trouble = ""
    identity, free = "", 0
    try:
        info = path.stat()
        identity, free = f"{info.st_dev}:{info.st_ino}", shutil.disk_usage(path).free
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(_TRIAL)
            file.flush()
    except OSError as exc:
        trouble = f"{exc.strerror or exc}"
    return {"path": str(path), "id": identity, "free": free, "trouble": trouble}


def mine(store: redis.Redis, keyring: Keyring, blobs: Path, nonce: bytes) -> dict[str, Any]:
    """Say what this process is; ``store`` should be one that soon gives up."""
    said: dict[str, Any] = {
        "versions": versions(),
        "host": socket.gethostname(),
        "signature": keyring.sign(ANSWER, nonce).hex(),
        "blobs": folder(blobs),
        "store": "",
        "offset_s": None,
        "trouble": "",
    }
    try:
        said["store"] = str(store.info("server").get("run_id", ""))
        before = time.time()
        seconds, micros = store.time()
        said["offset_s"] = seconds + micros / 1e6 - (before + time.time()) / 2
    except redis.RedisError as exc:
        said["trouble"] = str(exc).partition("\n")[0]
    return said


@dataclass(frozen=True)
class RedisFacts:
    """What a Redis says of itself."""

    version: str
    run_id: str
    latency_s: float
    role: str = "master"
    used: int = 0
    """Bytes of memory."""
    most: int = 0
    """Bytes that it may use; 0 for no limit."""
    policy: str = "noeviction"
    """What it does when they are used up."""
    appends: bool = True
    """Whether it writes an append-only file."""
    saves: bool | None = None
    """Whether it saves now and then; ``None`` when it does not say."""
    troubles: tuple[str, ...] = ()
    """What it could not write to its disk."""


def redis_facts(store: redis.Redis) -> RedisFacts:
    """Ask a Redis about itself.

    Raises:
        redis.RedisError: it does not answer.
    """
    store.ping()  # which connects
    before = time.perf_counter()
    store.ping()
    latency_s = time.perf_counter() - before
    said = cast("Mapping[str, Any]", store.info())
    saves: bool | None = None
    with contextlib.suppress(redis.ResponseError):  # a hosted one does not tell
        saves = bool(cast("dict[str, str]", store.config_get("save")).get("save", ""))
    return read_info(said, latency_s, saves)


def read_info(said: Mapping[str, Any], latency_s: float, saves: bool | None) -> RedisFacts:
    """Read what ``INFO`` gave."""
    troubles = [
        f"{what}: {said[name]}"
        for name, what in (
            ("aof_last_write_status", "its last write to the append-only file"),
            ("aof_last_bgrewrite_status", "its last rewriting of the append-only file"),
            ("rdb_last_bgsave_status", "its last save"),
        )
        if said.get(name, "ok") != "ok"
    ]
    return RedisFacts(
        version=str(said.get("redis_version", "?")),
        run_id=str(said.get("run_id", "")),
        latency_s=latency_s,
        role=str(said.get("role", "master")),
        used=int(said.get("used_memory", 0)),
        most=int(said.get("maxmemory", 0)),
        policy=str(said.get("maxmemory_policy", "noeviction")),
        appends=bool(int(said.get("aof_enabled", 0))),
        saves=saves,
        troubles=tuple(troubles),
    )
