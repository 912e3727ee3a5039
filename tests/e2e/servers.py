"""Servers and workers that tests start, and the waits for them.

What a test starts here has its output in a log beside it and ends with whoever made the `Servers`;
`processes_of` shows what is left. Nothing here sleeps for a guessed time: `until` waits for a
condition, and fails with what it last saw.
"""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import redis

from nbqueue.cluster import binaries

LIMIT_S = 60.0
ROOT = Path(__file__).resolve().parents[2]


def processes_of(folder):
    """The command lines that name a folder or run in it (Linux; elsewhere none are found)."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            where = str((path / "cwd").readlink())
            if int(path.name) != os.getpid() and (str(folder) in words or where == str(folder)):
                found[int(path.name)] = words
    return found


def until(condition, timeout_s=LIMIT_S, poll_s=0.01):
    """The first truthy value of ``condition()``; fails when there is none in time."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"still {found!r} after {timeout_s:g} s"
        time.sleep(poll_s)
    return found


def free_port():
    """A port at which nobody listens, and which the system gives to no connection meanwhile."""
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class RedisServer:
    """A Redis on TCP with a password, which can be killed and started again where it was."""

    def __init__(self, servers, password, *options, also=()):
        """``also``: addresses at which it listens beside the loopback's."""
        self._servers = servers
        self.port = free_port()
        self.url = f"redis://:{password}@127.0.0.1:{self.port}/0"
        self.folder = servers.folder / f"redis-{self.port}"
        self.folder.mkdir()
        self._command = [
            binaries.find_server(self.folder),
            *("--port", self.port, "--bind", "127.0.0.1", *also, "--dir", self.folder),
            *("--requirepass", password, "--save", "", *options),
        ]
        self._starts = 0
        self.process = None

    def start(self):
        """Start it; back when it answers and has loaded what it had."""
        self._starts += 1
        name = f"redis-{self.port}-{self._starts}"
        self.process, log = self._servers.start(name, [*map(str, self._command)])

        def answers():
            assert self.process.poll() is None, log.read_text()
            with contextlib.suppress(redis.RedisError), redis.Redis.from_url(self.url) as client:
                return client.ping()

        until(answers)

    def kill(self):
        """End it as a power cut does."""
        self.process.kill()
        self.process.wait()


class Servers:
    """Servers and workers that a module starts; all of them end with it."""

    def __init__(self, folder):
        self.folder = folder
        self._processes = []

    def start(self, name, command, **options):
        """Start a process, with its output in a log; gives the process and the log."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **{"cwd": self.folder, **options},
            )
        self._processes.append(process)
        return process, log

    def redis(self, password):
        """A Redis on TCP with a password; gives its URL."""
        server = RedisServer(self, password)
        server.start()
        return server.url

    def worker(
        self,
        broker_url,
        key,
        *options,
        backend=None,
        ready=True,
        name="worker",
        folder=None,
        prefix=(),
    ):
        """A worker by `nbqueue worker`; back when it takes messages.

        ``prefix`` are the words that start a command elsewhere: in a namespace, say.
        """
        env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "NBQUEUE_KEY": key,
            "NBQUEUE_BROKER": broker_url,
        }
        if backend is not None:
            env["NBQUEUE_BACKEND"] = backend
        code = "import sys; from nbqueue.cli import main; sys.exit(main())"
        name = f"{name}-{len(self._processes)}"
        words = ["worker", "-l", "info", "-n", f"{name}@%h", *options]
        command = [*prefix, sys.executable, "-c", code, *words]
        process, log = self.start(name, command, env=env, cwd=folder or self.folder)
        if ready:
            until(lambda: "ready." in log.read_text() or process.poll() is not None, 90)
            assert process.poll() is None, log.read_text()
        return process, log

    def beat(self, *options, ready="beat: Acquired lock", folder=None):
        """A beat by `nbqueue beat`, without a signing key; back when it says ``ready``."""
        env = {name: value for name, value in os.environ.items() if name != "NBQUEUE_KEY"}
        env["PYTHONPATH"] = os.pathsep.join(map(str, filter(None, [folder, ROOT])))
        code = "import sys; from nbqueue.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", code, "beat", "-l", "info", *options]
        process, log = self.start(f"beat-{len(self._processes)}", command, env=env)
        until(lambda: ready in log.read_text() or process.poll() is not None, 90)
        assert process.poll() is None, log.read_text()
        return process, log

    def close(self):
        """End everything, the latest first, and what it had started."""
        for process in reversed(self._processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(8)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
