"""``nbqueue up``, ``down`` and ``status``: the private cluster of this machine."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from nbqueue.cli import parsing

_KEEP_ALIVE_S = 600.0


def add(commands: Any) -> None:
    """Add the commands."""
    sub = parsing.add(commands, "up", up, "start the private cluster of this Python environment")
    sub.add_argument(
        "--workers", type=parsing.count, metavar="N", help="processes (default: one a core)"
    )
    sub.add_argument(
        "--keep-alive",
        type=parsing.seconds,
        default=_KEEP_ALIVE_S,
        metavar="S",
        help="seconds that it goes on without clients, jobs and schedules, or `never` to end "
        "(default: %(default)g)",
    )
    parsing.add(commands, "down", down, "end the private cluster; jobs and results stay on disk")
    sub = parsing.add(
        commands, "status", status, "show the private cluster: workers, clients, the latest errors"
    )
    sub.add_argument("--json", action="store_true", help="for programs")


def up(options: argparse.Namespace) -> int:
    """Start the embedded cluster, or find it running."""
    from nbqueue import terminal
    from nbqueue.cluster import embedded

    ran = embedded.status().running
    address = embedded.ensure(workers=options.workers, keep_alive_s=options.keep_alive)
    found = embedded.status()
    if ran and (options.workers is not None or options.keep_alive != _KEEP_ALIVE_S):
        print("it ran already and stays as it is: `nbqueue down` first, to start it otherwise")
    print(terminal.status_page(found))
    if address.keepalive is not None:
        address.keepalive.close()
    return 0


def down(options: argparse.Namespace) -> int:
    """End the embedded cluster; what it knows stays on disk."""
    from nbqueue.cluster import embedded

    before = embedded.status()
    if not embedded.stop():
        print(f"no cluster runs in {before.folder}")
        return 0
    print(f"ended; its jobs and results stay in {before.folder}")
    if before.active_jobs:
        print(f"{before.active_jobs} unfinished job(s) go on when it is next started")
    return 0


def status(options: argparse.Namespace) -> int:
    """Show the embedded cluster; starts nothing."""
    from nbqueue import terminal
    from nbqueue.cluster.status import status

    found = status()
    if options.json:
        print(json.dumps(asdict(found), indent=2, default=str))
    else:
        print(terminal.status_page(found))
    return 0
