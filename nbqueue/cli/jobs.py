"""``nbqueue jobs`` and ``demo``."""

from __future__ import annotations

import argparse
import os
from typing import Any

from nbqueue.cli import parsing


def add(commands: Any) -> None:
    """Add the commands."""
    sub = parsing.add(commands, "jobs", jobs, "list all jobs, or show one")
    sub.add_argument("name", nargs="?", metavar="NAME", help="a job's name or id")
    sub.add_argument(
        "--limit",
        type=parsing.count,
        default=20,
        metavar="N",
        help="the latest N (default: %(default)s)",
    )
    parsing.add_urls(sub, "default: $NBQUEUE_BROKER, else the private cluster")
    parsing.add(
        commands, "demo", demo, "a parameter search on scikit-learn's digits, in 15 seconds or so"
    )


def jobs(options: argparse.Namespace) -> int:
    """List all jobs, or show one."""
    from nbqueue import terminal
    from nbqueue.client.client import connect
    from nbqueue.cluster.status import status

    embedded = not (options.broker or os.environ.get("NBQUEUE_BROKER"))
    if embedded and not status().folder.exists():  # nothing ever ran: nothing to be started for
        print(terminal.NO_JOBS)
        return 0
    with connect(options.broker, backend=options.backend) as client:
        if options.name is None:
            print(terminal.jobs_table(client.jobs(), limit=options.limit))
            return 0
        print(terminal.job_page(client.job(options.name)))
        for job in client.follower.unfinished():  # only looked at: `close` need not say it goes on
            client.follower.unfollow(job)
    return 0


def demo(options: argparse.Namespace) -> int:
    """Run the demonstration."""
    from nbqueue import demo

    return demo.main()
