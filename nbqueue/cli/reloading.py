"""``nbqueue worker --reload``: a worker that is started anew when its source files are edited.

For developers, whose tasks import modules that lie beside them. The worker is a child of this
process. An edit ends it warmly; what still runs after a few seconds goes back to its queue, and is
run by the new one, with the new code.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from nbqueue.core.errors import UsageError

_WARM_S = 5.0
"""How long a worker may take to end what it runs. Longer: an edit is picked up later."""

_COLD_S = 10.0
_LOOK_MS = 500
"""How often it is looked whether the worker has ended by itself."""


def supervise(argv: Sequence[str], folders: Sequence[str]) -> int:
    """Run workers by a command line until one ends by itself or this process is told to end.

    Raises:
        UsageError: watchfiles is not installed, or a folder is none.
    """
    try:
        from watchfiles import PythonFilter, watch
    except ImportError:
        raise UsageError(
            "--reload needs watchfiles, which is not installed: pip install 'nbqueue[reload]'"
        ) from None
    watched = [Path(folder).resolve() for folder in folders or (".",)]
    for folder in watched:
        if not folder.is_dir():
            raise UsageError(f"--reload-dir: there is no folder {folder}")
    ending = threading.Event()

    def end(signum: int, frame: FrameType | None) -> None:
        ending.set()

    signal.signal(signal.SIGTERM, end)
    _say(f"looking for edits in {', '.join(map(str, watched))}")
    worker = _start(argv)
    try:
        for edits in watch(
            *watched,
            watch_filter=PythonFilter(),
            stop_event=ending,
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
            raise_interrupt=False,
        ):
            if edits:
                names = sorted({Path(path).name for _, path in edits})
                _say(f"{', '.join(names)} changed: starting anew")
                _end(worker)
                worker = _start(argv)
            elif worker.poll() == 0:
                return 0
    finally:
        _end(worker)
    return worker.returncode


def _start(argv: Sequence[str]) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C is this process's to pass on, once.
    return subprocess.Popen(
        [sys.executable, "-m", "nbqueue", "worker", *argv], start_new_session=True
    )


def _end(worker: subprocess.Popen[bytes]) -> None:
    """End a worker: warmly, then coldly, then for certain. A mistake in a module has ended it."""
    for told, patience_s in ((signal.SIGTERM, _WARM_S), (signal.SIGQUIT, _COLD_S)):
        if worker.poll() is not None:
            return
        worker.send_signal(told)
        try:
            worker.wait(patience_s)
        except subprocess.TimeoutExpired:
            continue
    worker.kill()
    worker.wait()


def _say(text: str) -> None:
    print(f"nbqueue: {text}", file=sys.stderr, flush=True)
