"""``nbqueue cache``: how much is cached, and ``nbqueue cache clear``."""

from __future__ import annotations

import argparse
from typing import Any

from nbqueue.cli import parsing
from nbqueue.cli.jobwork import client_of

_EPILOG = """\
What is cached: results of tasks with cache=True, of cells with --cache, of `nbqueue run --cache`,
each for a week from its last use. An edit of the function or of what it uses is another entry;
cache="refresh" or --no-cache runs it again and keeps what comes out instead.

examples:
  nbqueue cache
  nbqueue cache clear
"""


def add(commands: Any) -> None:
    """Add the command."""
    sub = parsing.add(
        commands, "cache", run, "say how many results are cached, or forget them", epilog=_EPILOG
    )
    sub.add_argument(
        "clear", nargs="?", choices=["clear"], metavar="clear", help="forget all of them"
    )
    parsing.add_urls(sub, "default: $NBQUEUE_BROKER, else the private cluster")


def run(options: argparse.Namespace) -> int:
    """Count what is cached, or clear it."""
    with client_of(options) as client:
        if options.clear:
            print(_counted(client.clear_cache()), "forgotten")
        else:
            print(_counted(client.cache.count()), "cached")
    return 0


def _counted(n: int) -> str:
    return f"{n:,} result{'' if n == 1 else 's'}"
