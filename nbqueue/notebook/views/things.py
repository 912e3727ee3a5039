"""Tasks, futures, clients and schedules as HTML: small tables in pandas' style.

Made from what is known here.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from celery.utils.functional import maybe_list

from nbqueue.client.canvas.composition import ERRBACK
from nbqueue.client.canvas.written import written
from nbqueue.core import states
from nbqueue.notebook.brief import cut
from nbqueue.notebook.views import palette
from nbqueue.notebook.views.outputs import quoted

if TYPE_CHECKING:
    from nbqueue.client.canvas.signature import Workflow
    from nbqueue.client.client import Client
    from nbqueue.client.futures import Future
    from nbqueue.client.schedules.schedule import Schedule
    from nbqueue.client.task import Task


def task(shown: Task[Any, Any]) -> str:
    """Give a task: how it is called, what it does, and the options that were chosen."""
    options = shown.options
    chosen = [
        (field.name, repr(getattr(options, field.name)))
        for field in fields(options)
        if field.name != "name" and getattr(options, field.name) != field.default
    ]
    about = (inspect.getdoc(shown.function) or "").partition("\n")[0]
    rows = [("task", repr(shown).removeprefix("<Task ").removesuffix(">"))]
    rows += [("does", about)] if about else []
    return _table([*rows, *chosen])


def future(shown: Future) -> str:
    """Give an item's state, and its error if it failed."""
    state = shown._live.state
    name = states.NAMES[state.states[shown.index]]
    error = state.error(shown.index)
    rows = [("job", shown._live.name), ("item", f"{shown.index:,}"), ("state", name)]
    rows += [("error", cut(str(error), 300))] if error else []
    return _table(rows, colours={"state": palette.LOOKS[name].colour})


def client(shown: Client) -> str:
    """Give where a client is connected to; addresses come without passwords."""
    return _table(
        [
            ("client", shown.name),
            ("state", "closed" if shown.closed else "connected"),
            ("broker", shown.broker_url),
            ("jobs kept in", shown.store_url),
        ]
    )


def workflow(shown: Workflow) -> str:
    """Give a composed signature: how it is written, its options, and what is linked to it."""
    rows = [(type(shown).__name__.lower(), repr(shown))]
    for name, found in sorted(shown.options.items()):
        linked = name.startswith("link")
        rows.append((name, ", ".join(map(written, maybe_list(found))) if linked else repr(found)))
    return _table([row for row in rows if row[0] != ERRBACK])


def schedule(shown: Schedule) -> str:
    """Give what a schedule runs and when, as far as it is known here."""
    terms = [(name, value) for name, value in shown.terms.items() if value]
    return _table(
        [
            ("schedule", shown.name),
            ("task", shown.task),
            ("runs", shown.times),
            *terms,
            ("state", shown.state),
        ]
    )


def _table(rows: Iterable[tuple[str, str]], colours: dict[str, str] | None = None) -> str:
    lines = "".join(
        f'<tr><th style="text-align:left">{quoted(name)}</th>'
        f'<td style="text-align:left{_colour(name, colours)}">{quoted(value)}</td></tr>'
        for name, value in rows
    )
    return f'<table border="1" class="dataframe"><tbody>{lines}</tbody></table>'


def _colour(name: str, colours: dict[str, str] | None) -> str:
    return f";color:{colours[name]}" if colours and name in colours else ""
