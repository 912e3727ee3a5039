"""What the commands' parsers have in common: how a command is added, and options of several.

A command that passes on (``passes_on=True``) gets what the parser does not know as
``options.rest``; elsewhere that is wrong usage.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from nbqueue.core.redaction import redact
from nbqueue.core.settings import LEASE_S

Command = Callable[[argparse.Namespace], int]

JOB = "a job's id, or a name: the latest job of that name is meant"


def add(
    commands: Any,
    name: str,
    command: Command,
    text: str,
    *,
    passes_on: bool = False,
    **options: Any,
) -> argparse.ArgumentParser:
    """Add a command whose help begins with a text; gives its parser."""
    options.setdefault("description", text[0].upper() + text[1:] + ".")
    sub: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        **options,
    )
    sub.set_defaults(command=command, parser=sub, passes_on=passes_on, about=text)
    return sub


def add_urls(sub: argparse.ArgumentParser, broker_help: str) -> None:
    """Add ``--broker`` and ``--backend``."""
    sub.add_argument("--broker", metavar="URL", help=broker_help)
    sub.add_argument(
        "--backend",
        metavar="URL",
        help="the Redis that keeps jobs; default: $NBQUEUE_BACKEND, else the broker if it is Redis",
    )


def add_config(sub: argparse.ArgumentParser) -> None:
    """Add ``--config``."""
    sub.add_argument(
        "--config",
        metavar="MODULE",
        help="Celery settings, of which those about queues and time zones are heeded; default: "
        "$NBQUEUE_CONFIG",
    )


def add_keeping(sub: argparse.ArgumentParser) -> None:
    """Add ``--lease`` and ``--memory``."""
    sub.add_argument(
        "--memory",
        metavar="MIB",
        help="how much each process may take: an item that wants more fails with MemoryError "
        "(default: $NBQUEUE_MEMORY, else no limit; Linux, and pools of processes)",
    )
    sub.add_argument(
        "--lease",
        metavar="SECONDS",
        help="on Redis: how long after its death what a worker held is another's (default: "
        f"$NBQUEUE_LEASE, else {LEASE_S:g})",
    )


def advise(options: argparse.Namespace) -> None:
    """Say it when a password was given in a command line, which others can read."""
    for name in ("broker", "backend"):
        url = str(getattr(options, name, None) or "")
        if redact(url) != url:
            print(
                f"nbqueue: the password in --{name} can be read in the process list by all users "
                f"of this machine: set $NBQUEUE_{name.upper()} instead",
                file=sys.stderr,
            )


def misused(options: argparse.Namespace, message: str) -> NoReturn:
    """End the command as wrong usage."""
    options.parser.error(message)
    raise AssertionError("argparse exits")


def count(text: str) -> int:
    """Read a whole number of 1 or more."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"a whole number of 1 or more is needed, not {text!r}")
    return number


def seconds(text: str) -> float | None:
    """Read seconds, or ``never`` (``None``)."""
    if text == "never":
        return None
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not number >= 0:
        raise argparse.ArgumentTypeError(f"seconds (0 or more) or 'never' are needed, not {text!r}")
    return number
