"""The command line, ``nbqueue …``: a thin parser over what the rooms do.

Owns the words and the exit status of each command, and nothing else: a command is a few calls into
`cluster`, `client` or `worker`, and what it prints is made by `terminal` (pure). A module here has
the commands of one idea. Rooms are imported inside the commands, so that ``nbqueue --help`` and
``nbqueue status`` answer at once.

    exit   0 done · 1 an `NbqueueError`, told in a line · 2 wrong usage · 130 interrupted
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from nbqueue._version import __version__
from nbqueue.cli import beat, cache, cluster, doctor, jobs, lab, monitoring, run, workers
from nbqueue.cli.parsing import Command, advise, misused
from nbqueue.core.errors import NbqueueError

INTERRUPTED = 130
"""What a shell gives for a program that Ctrl-C ended (128 + SIGINT)."""

GROUPS = {
    "to begin with": ("demo", "lab", "doctor"),
    "jobs and notebooks": ("jobs", "run", "cache"),
    "the private cluster of this machine": ("up", "down", "status"),
    "a cluster of several machines": ("keygen", "worker", "multi", "beat"),
    "a look at workers, and a word to them (Celery's)": (
        "inspect",
        "control",
        "events",
        "flower",
        "report",
    ),
    "a look at the broker (Celery's)": ("list", "amqp", "purge"),
}
"""All commands, by what they are for."""

_OPTIONS = """\
options:
  -h, --help  this text; `nbqueue COMMAND --help` tells of a command
  --version   the version"""

_EPILOG = """\
examples:
  nbqueue demo                      a parameter search on this machine, from here
  nbqueue lab                       the notebooks to learn from, in JupyterLab
  nbqueue jobs                      what ran and what runs
  nbqueue jobs grid                 one job: counts, times, errors
  nbqueue jobs why grid             why it is not done yet
  nbqueue doctor                    what does not work, and what mends it

on a cluster:
  export NBQUEUE_KEY=$(nbqueue keygen)          the same key for notebooks and workers
  export NBQUEUE_BROKER=redis://queue-host:6379/0
  nbqueue worker -c 8                           on each machine that works
  nbqueue beat                                  on one of them, for what is scheduled
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status; wrong usage raises argparse's ``SystemExit(2)``."""
    parser = make_parser()
    given = sys.argv[1:] if argv is None else argv
    options, rest = parser.parse_known_args(jobs.worded(given))
    if "command" not in options:
        parser.print_help()
        return 2
    if rest and not options.passes_on:
        misused(options, f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
    advise(options)
    command: Command = options.command
    try:
        return command(options)
    except NbqueueError as exc:
        print(f"nbqueue: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("nbqueue: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `nbqueue jobs | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


class _Parser(argparse.ArgumentParser):
    """Tells of the commands by what they are for, which argparse cannot."""

    commands: argparse._SubParsersAction[argparse.ArgumentParser]

    def format_help(self) -> str:
        parts = [self.format_usage(), f"{self.description}\n", *map(self._group, GROUPS.items())]
        return "\n".join([*parts, f"{_OPTIONS}\n", str(self.epilog)])

    def _group(self, group: tuple[str, tuple[str, ...]]) -> str:
        title, names = group
        about = {name: self.commands.choices[name].get_default("about") for name in names}
        return "\n".join([f"{title}:", *(f"  {n:<8}  {text}" for n, text in about.items()), ""])


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of all commands; each one's function is its ``command``."""
    parser = _Parser(
        prog="nbqueue",
        description="The task queue that lives in a notebook: clusters, workers and jobs.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"nbqueue {__version__}")
    parser.commands = commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", parser_class=argparse.ArgumentParser
    )
    for module in (cluster, doctor, jobs, run, lab, cache, workers, beat, monitoring):
        module.add(commands)
    return parser
