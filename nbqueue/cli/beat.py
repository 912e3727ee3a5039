"""``nbqueue beat``: sends what schedules are due, by Celery's own beat and RedBeat."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from nbqueue.cli import parsing

if TYPE_CHECKING:
    from celery import Celery

_EPILOG = """\
One beat is enough for a broker and a store; of several, one sends and another takes over within
seconds of its death. It needs no signing key: workers check what they run.
The private cluster of a notebook runs its own, while there are schedules.

Everything else is handed to Celery's own command, which `celery beat --help` describes:
  -l info  how much to log     --pidfile FILE  --logfile FILE  --detach
  --max-interval N  seconds between two looks at the schedules (by default half a second)

examples:
  nbqueue beat --broker redis://queue-host:6379/0
  nbqueue beat --broker amqp://user:password@rabbit// --backend redis://store:6379/0
  nbqueue beat --app proj.celery:app --backend redis://store:6379/0    with its beat_schedule
"""


def add(commands: Any) -> None:
    """Add the command."""
    sub = parsing.add(
        commands,
        "beat",
        beat,
        "send what schedules are due (task.every, task.cron, task.at), for workers elsewhere",
        passes_on=True,
        usage="nbqueue beat [--broker URL] [--backend URL] [--config MODULE] "
        "[--app MODULE] [any option of `celery beat`]",
        epilog=_EPILOG,
    )
    parsing.add_urls(sub, "the workers' broker; default: $NBQUEUE_BROKER")
    parsing.add_config(sub)
    sub.add_argument(
        "--app",
        "-A",
        metavar="MODULE",
        help="a Celery app whose broker is used and whose beat_schedule is sent as well",
    )


def beat(options: argparse.Namespace) -> int:
    """Run a beat, by Celery's own command line, until it is told to stop."""
    from nbqueue.worker.process.environment import NotSaid

    try:
        app = _project(options) if options.app else _own(options)
    except NotSaid as exc:
        parsing.misused(options, str(exc))
    return _celery_beat(app, options.rest)


def _own(options: argparse.Namespace) -> Celery:
    from nbqueue.store.broker import broker, routing
    from nbqueue.store.connection.connection import probe
    from nbqueue.worker.beat import make_beat_app
    from nbqueue.worker.process.environment import urls

    broker_url, store_url = urls(options.broker, options.backend)
    settings = routing.settings_of(options.config or os.environ.get("NBQUEUE_CONFIG"))
    app = make_beat_app(broker_url, store_url, settings)
    probe(store_url)
    broker.ping(app, broker_url)
    return app


def _project(options: argparse.Namespace) -> Celery:
    from celery.app.utils import find_app

    from nbqueue.core.errors import UsageError
    from nbqueue.store.connection.connection import probe
    from nbqueue.store.schedules import beatsettings
    from nbqueue.worker.process.environment import urls

    try:
        app: Celery = find_app(options.app)
    except (ImportError, AttributeError) as exc:
        raise UsageError(f"there is no Celery app at {options.app!r}: {exc}") from exc
    app.finalize()
    _, store_url = urls(options.broker or app.conf.broker_url, options.backend)
    beatsettings.configure(app, store_url)
    probe(store_url)
    return app


def _celery_beat(app: Celery, argv: list[str]) -> int:
    """Give what `celery beat` exits with."""
    from click import ClickException

    try:
        return int(app.start(["beat", *argv]) or 0)
    except ClickException as exc:
        exc.show()
        return exc.exit_code
