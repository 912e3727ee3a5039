"""``nbqueue inspect``, ``control``, ``events``, ``flower`` …: Celery's own commands on our workers.

They need the broker and neither the store nor the signing key: who only watches need not be
trusted with it. Without a broker they are about the private cluster of this machine.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from nbqueue.cli import parsing
from nbqueue.core.errors import UsageError

if TYPE_CHECKING:
    from celery import Celery

_COMMANDS = {
    "inspect": "ask workers what they do: active, reserved, stats, ping and more",
    "control": "tell workers what to do: shutdown, pool_grow, rate_limit, enable_events and more",
    "events": "watch what workers tell (`worker -E`): on a screen, or line by line with --dump",
    "flower": "Flower: a web page about workers and tasks, with an HTTP API",
    "purge": "throw away what waits in queues; jobs whose items are lost so are to be cancelled",
    "report": "print versions and settings, for a bug report",
    "list": "list a broker's bindings",
    "amqp": "look at a broker's queues and exchanges by hand",
}

_NOTES = {
    "events": "\nTasks appear under the names of the notebooks' functions. `nbqueue events` is a "
    "screen,\n`nbqueue events --dump` a line an event, `nbqueue events -c CLASS` takes pictures.\n",
    "flower": "\nTasks appear under the names of the notebooks' functions. Flower can stop "
    "workers, so\nit listens on 127.0.0.1 unless --address (or $FLOWER_ADDRESS) says otherwise. "
    "Its HTTP API\nanswers with --basic_auth=USER:PASSWORD, or without when "
    "$FLOWER_UNAUTHENTICATED_API is true.\nIt needs a package: pip install 'nbqueue[flower]'.\n",
}


def add(commands: Any) -> None:
    """Add the commands."""
    for name, text in _COMMANDS.items():
        sub = parsing.add(
            commands,
            name,
            passed_on,
            text,
            passes_on=True,
            usage=f"nbqueue {name} [--broker URL] [any argument of `celery {name}`]",
            epilog=f"{_NOTES.get(name, '')}\nAll arguments: celery {name} --help",
        )
        sub.add_argument(
            "--broker",
            metavar="URL",
            help="any broker that Celery takes; default: $NBQUEUE_BROKER, else the private cluster",
        )
        sub.set_defaults(passed=name)


def passed_on(options: argparse.Namespace) -> int:
    """Run a command of Celery's with an app for the broker."""
    from click import ClickException

    if options.passed == "flower":
        _see_to_flower()
    app = _app(options.broker or os.environ.get("NBQUEUE_BROKER") or _private())
    if options.passed == "events":
        app.events_cls = "nbqueue.cli.receiving:Events"
    argv = [options.passed, *options.rest]
    sys.argv = ["nbqueue", *argv]  # Celery's help and Flower look there
    try:
        return int(app.start(argv) or 0)
    except ClickException as exc:
        exc.show()
        return exc.exit_code


def _see_to_flower() -> None:
    if find_spec("flower") is None:
        raise UsageError("Flower is not installed: pip install 'nbqueue[flower]'")
    os.environ.setdefault("FLOWER_ADDRESS", "127.0.0.1")


def _private() -> str:
    """Give the broker of this machine's cluster.

    Raises:
        UsageError: it does not run.
    """
    from urllib.parse import quote

    from nbqueue.cluster.status import status

    found = status()
    if not found.running or found.socket is None:
        raise UsageError(
            "which broker? Give --broker redis://… or set $NBQUEUE_BROKER; "
            "the private cluster of this machine does not run (`nbqueue up` starts it)"
        )
    return f"redis+socket://{quote(str(found.socket))}"


def _app(broker_url: str) -> Celery:
    """Make an app that watches and asks.

    It speaks by kombu's plain transports: Flower knows them by their names.
    """
    from nbqueue.store.broker import broker
    from nbqueue.worker.bootsteps import remote as remote  # `inspect --list` names its commands too

    app = broker.make_app(broker_url)
    app.conf.broker_url = broker.plain(broker_url)
    broker.ping(app, broker_url)
    return app
