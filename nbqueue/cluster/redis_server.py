"""The private Redis: which options, and the few commands said to it by hand.

The supervisor and the start path of a client need PING, CLIENT LIST, ZCARD, ZCOUNT and SHUTDOWN
and nothing else; importing redis-py for that costs more than starting Redis. Everybody else uses
redis-py. This file starts nothing.
"""

from __future__ import annotations

import socket
from pathlib import Path

# Schema shared with the store and the clients.
ACTIVE_JOBS = "nbq:active"
REJECTED = "nbq:rejected"
ENTRIES = "nbq:beat::schedule"  # RedBeat's, by when they are due; below zero: never again
CLIENT_NAME = "nbqueue-client"


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


def listens(path: Path | str) -> bool:
    """Whether somebody listens at a socket; one that stands still does, and answers nothing."""
    try:
        Wire(path).close()
    except WireError:
        return False
    return True


def ping(path: Path | str) -> str:
    """``PONG`` when Redis serves, ``LOADING`` while it reads its data, else an empty string."""
    try:
        with Wire(path, timeout_s=1.0) as wire:
            return str(wire.call("PING"))
    except WireError as error:
        return "LOADING" if str(error).startswith("LOADING") else ""
