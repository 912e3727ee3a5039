"""``nbqueue worker`` and ``keygen``: workers for notebooks elsewhere, by Celery's own command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nbqueue.cli import parsing
from nbqueue.core.errors import BrokerUnreachable, NbqueueError, UsageError

if TYPE_CHECKING:
    from celery import Celery

    from nbqueue.store.wiring import Wiring

AS_CELERY = ("-A", "nbqueue")
"""How Celery's own command line finds the app (`nbqueue.celery`)."""

_EPILOG = """\
Everything else is handed to Celery's own worker command, which `celery worker --help` describes:
  -Q a,b     queues             -c N, --autoscale MAX,MIN  processes
  -n NAME    node name (%h %n)  -P prefork|threads|gevent|solo
  -l info    how much to log    -f FILE, --pidfile FILE    (%n, and %I for a file a process)
  -E         tell Flower        --max-tasks-per-child N, --max-memory-per-child KIB
  -D         in the background  worker_soft_shutdown_timeout=10, and other settings

signals:
  TERM  end what runs, hand on the rest, and go       QUIT  give back what runs, and go
  HUP   end like TERM and start the same command      USR1  show what all threads do

environment:
  NBQUEUE_KEY      the signing key, the same as the notebooks' (`nbqueue keygen`); required.
                   There is no option for it: other users of the machine can read command lines
  NBQUEUE_BROKER   the broker, when --broker is not given
  NBQUEUE_BACKEND  the store, when --backend is not given
  NBQUEUE_CONFIG   a module with Celery settings about queues, when --config is not given
  NBQUEUE_LEASE    seconds, when --lease is not given
  NBQUEUE_MEMORY   MiB, when --memory is not given

examples:
  nbqueue worker --broker redis://queue-host:6379/0 -c 8
  nbqueue worker --broker rediss://:password@queue-host:6380/0?ssl_cert_reqs=required -Q gpu -c 1
  nbqueue worker --broker amqp://user:password@rabbit// --backend redis://store:6379/0 -l info
"""

_MULTI_EPILOG = """\
NODES are names, or one number. Pid and log files are in /var/run/celery and /var/log/celery unless
--pidfile and --logfile say otherwise; `stop` and `restart` find workers by the same --pidfile. The
signing key is taken from $NBQUEUE_KEY and nowhere else.

examples:
  nbqueue multi start 2 -c 4 --pidfile=run/%n.pid --logfile=log/%n%I.log
  nbqueue multi start cpu gpu -c 8 -c:gpu 1 -Q:gpu gpu --pidfile=run/%n.pid --logfile=log/%n%I.log
  nbqueue multi restart cpu gpu -c 8 --pidfile=run/%n.pid --logfile=log/%n%I.log
  nbqueue multi stopwait cpu gpu --pidfile=run/%n.pid
"""


_KEYGEN_EPILOG = """\
Whoever has the key runs code on your workers: treat it like an SSH key. Clients and workers need
the same one, in $NBQUEUE_KEY (or nq.connect(key=...)):

  export NBQUEUE_KEY=$(nbqueue keygen)

Several are separated by commas: the first signs, all of them verify. So a key is changed without
losing a message, one process after the other, in three rounds:

  1. everybody:  NBQUEUE_KEY=OLD,NEW    signs as before, and understands what is to come
  2. everybody:  NBQUEUE_KEY=NEW,OLD    when all have it
  3. everybody:  NBQUEUE_KEY=NEW        when nothing is left that OLD has signed: jobs are kept for
                                        a week from their end; schedules are to be made anew

The private cluster has a key of its own.
"""


def add(commands: Any) -> None:
    """Add the commands."""
    sub = parsing.add(
        commands,
        "worker",
        worker,
        "work for notebooks elsewhere: a Celery worker, with all of its options",
        passes_on=True,
        usage="nbqueue worker [--broker URL] [--backend URL] [any option of `celery worker`]",
        epilog=_EPILOG,
    )
    parsing.add_urls(sub, "any broker that Celery takes; default: $NBQUEUE_BROKER")
    parsing.add_config(sub)
    parsing.add_keeping(sub)
    sub.add_argument(
        "--reload",
        action="store_true",
        help="start anew when Python files here are edited (for developers; needs watchfiles)",
    )
    sub.add_argument(
        "--reload-dir",
        action="append",
        default=[],
        metavar="DIR",
        help="look for edits there instead; can be given more than once",
    )
    sub = parsing.add(
        commands,
        "multi",
        multi,
        "start, stop and restart several workers in the background (Celery's multi)",
        passes_on=True,
        usage="nbqueue multi [--broker URL] [--backend URL] "
        "start|stop|stopwait|restart|kill|show|names NODES [options of the workers]",
        epilog=_MULTI_EPILOG,
    )
    parsing.add_urls(sub, "any broker that Celery takes; default: $NBQUEUE_BROKER")
    parsing.add_config(sub)
    parsing.add_keeping(sub)
    parsing.add(
        commands,
        "keygen",
        keygen,
        "print a new signing key, for $NBQUEUE_KEY",
        epilog=_KEYGEN_EPILOG,
    )


def keygen(options: argparse.Namespace) -> int:
    """Print a new signing key."""
    from nbqueue.store.signing import generate

    print(generate())
    return 0


def worker(options: argparse.Namespace) -> int:
    """Run a Celery worker, by Celery's own command line, until it is told to stop."""
    if options.reload:
        from nbqueue.cli import reloading

        _hand_down(options)
        return reloading.supervise(options.rest, options.reload_dir)
    _hand_down(options)
    from celery import maybe_patch_concurrency

    # First of all: gevent replaces what other modules take from the standard library.
    maybe_patch_concurrency(["worker", *options.rest])
    wiring = wired(options)
    from nbqueue.worker.app import make_worker_app

    app = make_worker_app(wiring)
    reach(wiring, app)
    _hand_down(options)
    # `--detach` executes `python -m celery` with these.
    sys.argv = ["nbqueue", *AS_CELERY, "worker", *options.rest]
    return _celery_worker(app, options.rest)


def multi(options: argparse.Namespace) -> int:
    """Start, stop and restart several workers in the background, by Celery's own ``multi``."""
    from celery.bin.multi import MultiTool

    if {"start", "restart"} & set(options.rest[:1]):
        from nbqueue.store.broker.broker import make_app

        wiring = wired(options)
        reach(wiring, make_app(wiring.broker_url))
    _hand_down(options)
    tool = MultiTool(cmd=" ".join(["-m", "celery", *AS_CELERY, "worker", "--detach"]))
    try:
        status: int = tool.execute_from_commandline(["nbqueue multi", *options.rest])
    except OSError as exc:  # its folders are made before anything is started
        raise UsageError(
            f"{exc}: give --pidfile=FOLDER/%n.pid and --logfile=FOLDER/%n%I.log, with a folder "
            "that you may write to"
        ) from None
    return status


def _hand_down(options: argparse.Namespace) -> None:
    """Have the workers that Celery starts from here find their broker (a key has no option)."""
    for name, value in (
        ("NBQUEUE_BROKER", options.broker),
        ("NBQUEUE_BACKEND", options.backend),
        ("NBQUEUE_CONFIG", options.config),
        ("NBQUEUE_LEASE", options.lease),
        ("NBQUEUE_MEMORY", options.memory),
    ):
        if value:
            os.environ[name] = value


def wired(options: argparse.Namespace) -> Wiring:
    """Give where a worker belongs, by the options and the environment."""
    from nbqueue.worker.process.environment import NotSaid, wiring

    try:
        return wiring(options.broker, options.backend, options.config)
    except NotSaid as exc:
        parsing.misused(options, str(exc))


def reach(wiring: Wiring, app: Celery) -> None:
    """Speak to the store and the broker once.

    Celery would go on trying a broker that is not there, and a worker without a store would find
    out with its first message; whoever typed the command wants to know now.
    """
    from nbqueue.store.broker import broker
    from nbqueue.store.connection import connection

    with connection.translated(wiring.store_url):
        store = connection.connect(wiring.store_url)
        store.ping()
        if warning := connection.eviction(store):
            sys.stderr.write(f"nbqueue: {warning}\n")
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
