"""The command line, ``nbqueue …``: a thin parser over what the rooms do.

Owns the words and the exit status of each command, and nothing else: a command is a few calls into
`cluster`, `client` or `worker`, and what it prints is made by `terminal` (pure). Rooms are imported
inside the commands, so that ``nbqueue --help`` and ``nbqueue status`` answer at once.

    exit   0 done · 1 an `NbqueueError`, told in a line · 2 wrong usage · 130 interrupted
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NoReturn

from nbqueue._version import __version__
from nbqueue.core.errors import BrokerUnreachable, NbqueueError

if TYPE_CHECKING:
    from celery import Celery

    from nbqueue.worker.workplace import Wiring

Command = Callable[[argparse.Namespace], int]

INTERRUPTED = 130
"""What a shell gives for a program that Ctrl-C ended (128 + SIGINT)."""

_REDIS = ("redis://", "rediss://", "redis+socket://", "unix://")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status; wrong usage raises argparse's ``SystemExit(2)``."""
    parser = make_parser()
    options, rest = parser.parse_known_args(argv)
    if "command" not in options:
        parser.print_help()
        return 2
    if rest and not options.passes_on:
        _misused(options, f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
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


# -- commands --------------------------------------------------------------------------------------


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


def keygen(options: argparse.Namespace) -> int:
    """Print a new signing key."""
    from nbqueue.store.signing import generate

    print(generate())
    return 0


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


def worker(options: argparse.Namespace) -> int:
    """Run a Celery worker, by Celery's own command line, until it is told to stop."""
    from nbqueue.store.connection import redact, store_url
    from nbqueue.store.signing import Keyring
    from nbqueue.worker.app import make_worker_app
    from nbqueue.worker.workplace import Wiring

    broker_url: str | None = options.broker or os.environ.get("NBQUEUE_BROKER")
    if not broker_url:
        _misused(options, "which broker? Give --broker redis://… or set $NBQUEUE_BROKER")
    backend_url: str | None = options.backend or os.environ.get("NBQUEUE_BACKEND")
    if not backend_url and not broker_url.startswith(_REDIS):
        _misused(
            options,
            f"the broker {redact(broker_url)} cannot keep jobs: give --backend redis://… too, or "
            "set $NBQUEUE_BACKEND",
        )
    wiring = Wiring(
        broker_url=broker_url,
        store_url=store_url(backend_url or broker_url),
        keyring=Keyring.from_environment(),
    )
    app = make_worker_app(wiring)
    _reach(wiring, app)
    return _celery_worker(app, options.rest)


def demo(options: argparse.Namespace) -> int:
    """Run the demonstration."""
    from nbqueue import demo

    return demo.main()


def _misused(options: argparse.Namespace, message: str) -> NoReturn:
    options.parser.error(message)
    raise AssertionError("argparse exits")


def _reach(wiring: Wiring, app: Celery) -> None:
    """Speak to the store and the broker once.

    Celery would go on trying a broker that is not there, and a worker without a store would find
    out with its first message; whoever typed the command wants to know now.
    """
    from nbqueue.store import broker, connection

    with connection.translated(wiring.store_url):
        connection.connect(wiring.store_url).ping()
    try:
        broker.ping(app, wiring.broker_url)
    except NbqueueError:
        raise
    except Exception as exc:  # each of Celery's transports has errors of its own
        raise BrokerUnreachable(
            f"the broker {connection.redact(wiring.broker_url)} cannot be used: "
            f"{type(exc).__name__}: {exc}"
        ) from exc


def _celery_worker(app: Celery, argv: Sequence[str]) -> int:
    """Give what `celery worker` would have exited with (`worker_main` itself gives nothing)."""
    from celery.signals import celeryd_after_setup
    from click import ClickException

    started: list[Any] = []

    def note(instance: Any, **_: Any) -> None:
        started.append(instance)

    celeryd_after_setup.connect(note, weak=False)
    try:
        app.worker_main(["worker", *argv])
    except ClickException as exc:
        exc.show()
        return exc.exit_code
    return int(started[0].exitcode or 0) if started else 0


# -- the parser ------------------------------------------------------------------------------------

_KEEP_ALIVE_S = 600.0

_EPILOG = """\
examples:
  nbqueue demo                      a parameter search on this machine, from here
  nbqueue jobs                      what ran and what runs
  nbqueue jobs grid                 one job: counts, times, errors

on a cluster:
  export NBQUEUE_KEY=$(nbqueue keygen)          the same key for notebooks and workers
  export NBQUEUE_BROKER=redis://queue-host:6379/0
  nbqueue worker -c 8                           on each machine that works
"""

_WORKER_EPILOG = """\
Everything else is handed to Celery's own worker command, which `celery worker --help` describes:
  -Q a,b  queues           -c N  processes          -n NAME  node name
  -l info how much to log  -P prefork|threads|solo  --max-tasks-per-child N …

environment:
  NBQUEUE_KEY      the signing key, the same as the notebooks' (`nbqueue keygen`); required.
                   There is no option for it: other users of the machine can read command lines
  NBQUEUE_BROKER   the broker, when --broker is not given
  NBQUEUE_BACKEND  the store, when --backend is not given

examples:
  nbqueue worker --broker redis://queue-host:6379/0 -c 8
  nbqueue worker --broker rediss://:password@queue-host:6380/0?ssl_cert_reqs=required -Q gpu -c 1
  nbqueue worker --broker amqp://user:password@rabbit// --backend redis://store:6379/0 -l info
"""


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of all commands; each one's function is its ``command``."""
    parser = argparse.ArgumentParser(
        prog="nbqueue",
        description="The task queue that lives in a notebook: clusters, workers and jobs.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"nbqueue {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_cluster(commands)
    _add_jobs(commands)
    _add_worker(commands)
    return parser


def _add_cluster(commands: Any) -> None:
    sub = _add(commands, "up", up, "start the private cluster of this Python environment")
    sub.add_argument("--workers", type=_count, metavar="N", help="processes (default: one a core)")
    sub.add_argument(
        "--keep-alive",
        type=_seconds,
        default=_KEEP_ALIVE_S,
        metavar="S",
        help="seconds that it goes on without clients and without jobs, or `never` to end "
        "(default: %(default)g)",
    )
    _add(commands, "down", down, "end it; jobs and results stay on disk")
    sub = _add(commands, "status", status, "show it: workers, clients, what last went wrong")
    sub.add_argument("--json", action="store_true", help="for programs")


def _add_jobs(commands: Any) -> None:
    sub = _add(commands, "jobs", jobs, "list all jobs, or show one")
    sub.add_argument("name", nargs="?", metavar="NAME", help="a job's name or id")
    sub.add_argument(
        "--limit", type=_count, default=20, metavar="N", help="the latest N (default: %(default)s)"
    )
    _add_urls(sub, "default: $NBQUEUE_BROKER, else the private cluster")
    _add(commands, "demo", demo, "a parameter search on scikit-learn's digits, in 15 seconds or so")


def _add_worker(commands: Any) -> None:
    sub = _add(
        commands,
        "worker",
        worker,
        "work for notebooks elsewhere: a Celery worker, with all of its options",
        usage="nbqueue worker [--broker URL] [--backend URL] [any option of `celery worker`]",
        epilog=_WORKER_EPILOG,
    )
    sub.set_defaults(passes_on=True)
    _add_urls(sub, "any broker that Celery takes; default: $NBQUEUE_BROKER")
    _add(commands, "keygen", keygen, "print a new signing key, for $NBQUEUE_KEY")


def _add(
    commands: Any, name: str, command: Command, text: str, **options: Any
) -> argparse.ArgumentParser:
    sub: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        **options,
    )
    sub.set_defaults(command=command, parser=sub, passes_on=False)
    return sub


def _add_urls(sub: argparse.ArgumentParser, broker_help: str) -> None:
    sub.add_argument("--broker", metavar="URL", help=broker_help)
    sub.add_argument(
        "--backend",
        metavar="URL",
        help="the Redis that keeps jobs; default: $NBQUEUE_BACKEND, else the broker if it is Redis",
    )


def _count(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"a whole number of 1 or more is needed, not {text!r}")
    return number


def _seconds(text: str) -> float | None:
    if text == "never":
        return None
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not number >= 0:
        raise argparse.ArgumentTypeError(f"seconds (0 or more) or 'never' are needed, not {text!r}")
    return number
