"""What a supervisor that was killed may leave behind: its end, before another one starts.

Called with both locks free and the start lock held. It ends only what it can prove to be ours:
processes that still carry the mark written down for them, and whoever answers at a socket in a
folder that nobody else can write to.
"""

from __future__ import annotations

import signal
from pathlib import Path

from nbqueue.cluster import state as state_file
from nbqueue.cluster.folder import unusable, wait_until
from nbqueue.cluster.redis_server import Wire, WireError, listens
from nbqueue.core.errors import ClusterError


def clean(folder: Path) -> None:
    """End and remove what is left; ClusterError if a Redis there does not end."""
    state = state_file.read(folder)
    sockets = {folder / "redis.sock"}
    if state is not None:
        sockets.add(Path(state.socket))
        state.worker.kill(group=True)
        state.beat.kill(group=True)
        # Two servers on one append-only file would ruin it: the old one has to be gone first.
        state.redis.signal(signal.SIGTERM)
        if not wait_until(lambda: not state.redis.lives(), 3.0):
            state.redis.kill()
            wait_until(lambda: not state.redis.lives(), 3.0)
    for path in sockets:
        if path.exists():
            _end_stray(path)
    try:
        for path in sockets:
            path.unlink(missing_ok=True)
        state_file.remove(folder)
    except OSError as error:
        raise unusable(folder, error) from error


def _end_stray(path: Path) -> None:
    """End a Redis that nobody's state names: it is known by the socket, which is ours alone."""
    try:
        with Wire(path) as wire:
            wire.call("SHUTDOWN")
    except WireError:
        pass  # nobody listens, or it closed the connection on its way out
    if not wait_until(lambda: not listens(path), 5.0):
        raise ClusterError(
            f"a Redis left over from an earlier cluster listens at {path} and does not end. Find "
            f"its process (fuser {path}) and end it, then try again."
        )
