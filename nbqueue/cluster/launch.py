"""Starting the supervisor: what it is told, and how it comes to stand on its own.

Owns the `Launch` record and the spawn. The supervisor is started by a line of Python that puts
an empty ``nbqueue`` package in place, because the real one's ``__init__`` sees everything and
would cost it a second and 100 MB; and without ``site``, as it needs no installed package.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from nbqueue.cluster.folder import wait_until
from nbqueue.core.errors import ClusterError

_BOOT = (
    "import sys, types; package = types.ModuleType('nbqueue'); package.__path__ = [sys.argv[1]]; "
    "sys.modules['nbqueue'] = package; sys.path[:] = [p for p in sys.path if p]; "
    "from nbqueue.cluster.supervisor import main; main(sys.argv[2])"
)
_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything a supervisor is told at its start (as JSON in its arguments: no secrets)."""

    folder: str
    socket: str
    server: str
    workers: int
    threads: bool
    keep_alive_s: float | None
    worker_command: tuple[str, ...]
    beat_command: tuple[str, ...]
    python: str
    version: str = ""
    # Nobody may come at all: the client that started the cluster can die before it connects.
    first_client_s: float = 60.0
    # A folder of packages the worker needs on its path; empty when nbqueue is installed.
    package_path: str = ""

    def dump(self) -> str:
        """As the text that `load` reads."""
        return json.dumps(asdict(self))

    @staticmethod
    def load(text: str) -> Launch:
        """The launch that `dump` wrote."""
        found = json.loads(text)
        for name in ("worker_command", "beat_command"):
            found[name] = tuple(found[name])
        return Launch(**found)


def plan(
    folder: Path,
    socket: Path,
    server: str,
    *,
    concurrency: int,
    threads: bool,
    keep_alive_s: float | None,
    worker_options: tuple[str, ...] = (),
    worker_command: tuple[str, ...] = (),
    first_client_s: float = 60.0,
) -> Launch:
    """The launch of a cluster with nbqueue's worker, or with a stand-in ``worker_command``."""
    python = sys.executable
    if not python:
        raise ClusterError(
            "this Python does not know its own executable (sys.executable is empty), so it cannot "
            "start workers. Start them yourself (nbqueue worker) and use nq.connect('redis://…')."
        )
    words = [python, "-m", "nbqueue.worker", "--folder", str(folder), "--socket", str(socket)]
    words += ["--concurrency", str(concurrency), *(["--threads"] if threads else [])]
    words += worker_options
    # From a checkout that is not installed, the worker would look for nbqueue in vain.
    root = _PACKAGE.parent
    installed = root.name in ("site-packages", "dist-packages")
    return Launch(
        folder=str(folder),
        socket=str(socket),
        server=server,
        workers=concurrency,
        threads=threads,
        keep_alive_s=keep_alive_s,
        worker_command=worker_command or tuple(words),
        beat_command=(python, "-m", "nbqueue.worker.beat", "--socket", str(socket)),
        python=python,
        version=str(getattr(sys.modules.get("nbqueue"), "__version__", "")),
        first_client_s=first_client_s,
        package_path="" if installed else str(root),
    )


def spawn(launch: Launch, *, timeout_s: float) -> None:
    """Start a supervisor, detached; back as soon as it holds ``alive`` or has failed to.

    What it has to say about a failure is in ``supervisor.log``.
    """
    folder = Path(launch.folder)
    log = os.open(folder / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        # It forks once it holds the lock and its first process ends: that end is what is awaited
        # here, and no zombie is left in a kernel that lives for days.
        process = subprocess.Popen(
            [launch.python, "-s", "-S", "-c", _BOOT, str(_PACKAGE), launch.dump()],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    except OSError as error:
        raise ClusterError(
            f"the embedded cluster's supervisor could not be started: {error}. Check the limits "
            f"on processes and memory, and that {launch.python} runs."
        ) from error
    finally:
        os.close(log)
    if not wait_until(lambda: process.poll() is not None, timeout_s, poll_s=0.002):
        process.kill()
        process.wait()
