"""``nbqueue jobs …`` (what ran and what runs, in one place with `jobwork`) and ``nbqueue demo``.

``nbqueue jobs`` alone lists, and ``nbqueue jobs NAME`` shows: `worded` puts the word in.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from nbqueue.cli import jobwork, parsing
from nbqueue.core import states

if TYPE_CHECKING:
    import pandas as pd

    from nbqueue.client.why.why import JobWhy, Why

_EPILOG = """\
A JOB is a job's id, or the name of the latest job of that name.

examples:
  nbqueue jobs                                 the latest, one a line
  nbqueue jobs --state failure --name 'grid*'  some of them
  nbqueue jobs grid                            one: counts, times, errors
  nbqueue jobs show grid -i 17                 one item of it, and the end of what it printed
  nbqueue jobs why grid 17                     what it waits for, and all that became of it
  nbqueue jobs result grid -o grid.csv         what came of it
  nbqueue jobs cancel grid && nbqueue jobs delete --yes grid
"""

_WORDS = ("list", "show", "why", "cancel", "retry", "delete", "wait", "result")

_LINES = 20
"""Of an item's output, as many lines from its end."""


def add(commands: Any) -> None:
    """Add the commands."""
    sub = parsing.add(
        commands, "jobs", listed, "list jobs, show, wait for, cancel, retry, delete", epilog=_EPILOG
    )
    words = sub.add_subparsers(title="commands", metavar="COMMAND")
    _add_list(words)
    show = parsing.add(words, "show", shown, "show one: counts, times, errors")
    show.add_argument("job", metavar="JOB", help=parsing.JOB)
    show.add_argument(
        "-i", "--item", type=int, metavar="I", help="show this item, and the end of its output"
    )
    show.add_argument(
        "--lines",
        type=parsing.count,
        default=_LINES,
        metavar="N",
        help="of the output, the last N (default: %(default)s)",
    )
    show.add_argument("--json", action="store_true", help="for programs")
    why = parsing.add(words, "why", explained, "say why a job, or an item, is as it is")
    why.add_argument("job", metavar="JOB", help=parsing.JOB)
    why.add_argument(
        "item",
        nargs="?",
        type=int,
        metavar="I",
        help="an item: its life so far, and what it waits for; without one, the whole job",
    )
    why.add_argument("--json", action="store_true", help="for programs")
    jobwork.add(words)
    for verb in words.choices.values():
        parsing.add_urls(verb, "default: $NBQUEUE_BROKER, else the private cluster")
    parsing.add(
        commands, "demo", demo, "a parameter search on scikit-learn's digits, in 15 seconds or so"
    )


def worded(argv: Sequence[str]) -> list[str]:
    """Put in the word that is left out of ``jobs`` and ``jobs NAME``.

    >>> [worded(words.split()) for words in ("jobs", "jobs --limit 3", "jobs grid", "jobs -h")]
    [['jobs', 'list'], ['jobs', 'list', '--limit', '3'], ['jobs', 'show', 'grid'], ['jobs', '-h']]
    """
    head, rest = list(argv[:1]), list(argv[1:])
    first = rest[0] if rest else ""
    if head != ["jobs"] or first in _WORDS or first in ("-h", "--help"):
        return [*head, *rest]
    return [*head, "list" if first.startswith("-") or not first else "show", *rest]


def _add_list(words: Any) -> None:
    sub = parsing.add(words, "list", listed, "list the latest, one a line")
    sub.add_argument("job", nargs="?", metavar="JOB", help="show this one instead")
    sub.add_argument(
        "--state",
        action="append",
        type=str.upper,
        choices=states.NAMES,
        metavar="STATE",
        help=f"only those in this state ({', '.join(map(str.lower, states.NAMES))}); several times "
        "for several",
    )
    sub.add_argument(
        "--name", metavar="PATTERN", help="only those of such a name (* and ? stand for anything)"
    )
    sub.add_argument(
        "--limit",
        type=parsing.count,
        default=20,
        metavar="N",
        help="the latest N (default: %(default)s)",
    )
    sub.add_argument("--json", action="store_true", help="for programs: an object a job")
    sub.set_defaults(item=None, lines=_LINES)


def listed(options: argparse.Namespace) -> int:
    """List jobs, the latest first."""
    from nbqueue import terminal
    from nbqueue.cluster.status import status

    if options.job is not None:
        return shown(options)
    embedded = not (options.broker or os.environ.get("NBQUEUE_BROKER"))
    if embedded and not status().folder.exists():  # nothing ever ran: nothing to be started for
        print("[]" if options.json else terminal.NO_JOBS)
        return 0
    with jobwork.client_of(options) as client:
        every = client.jobs()
    found = _meant(every, options)
    if options.json:
        print(json.dumps(_plain(found.head(options.limit)), indent=2))
    elif found.empty and not every.empty:
        print(f"none of {len(every):,} jobs is meant by --state and --name")
    else:
        print(terminal.jobs_table(found, limit=options.limit))
    return 0


def _meant(jobs: pd.DataFrame, options: argparse.Namespace) -> pd.DataFrame:
    wanted = jobs
    if options.state:
        wanted = wanted[wanted["state"].isin(options.state)]
    if options.name:
        wanted = wanted[[fnmatchcase(name, options.name) for name in wanted["name"]]]
    return wanted


def _plain(jobs: pd.DataFrame) -> list[dict[str, Any]]:
    """Give jobs as JSON has it; times as ISO 8601 in UTC, or null."""
    rows = jobs.reset_index().to_dict("records")
    for row in rows:
        for name in ("submitted", "finished"):
            row[name] = row[name].isoformat() if row[name] == row[name] else None
    return [{str(name): value for name, value in row.items()} for row in rows]


def shown(options: argparse.Namespace) -> int:
    """Show one job, or one item of it."""
    from nbqueue import terminal

    with jobwork.client_of(options) as client:
        job = client.job(options.job)
        i = None if options.item is None else jobwork.index(job, options.item)
        if options.json:
            facts = terminal.job_facts(job) if i is None else terminal.item_facts(job, i)
            print(json.dumps(facts, indent=2))
        elif i is None:
            print(terminal.job_page(job))
        else:
            print(terminal.item_page(job, i, lines=options.lines))
    return 0


def explained(options: argparse.Namespace) -> int:
    """Say why a job or an item is as it is."""
    with jobwork.client_of(options) as client:
        job = client.job(options.job)
        i = None if options.item is None else jobwork.index(job, options.item)
        found: Why | JobWhy = job.why() if i is None else job.why(i)
        print(json.dumps(asdict(found), indent=2) if options.json else found)
    return 0


def demo(options: argparse.Namespace) -> int:
    """Run the demonstration."""
    from nbqueue import demo

    return demo.main()
