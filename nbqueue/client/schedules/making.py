"""Making schedules: of a call, and of a workflow; what is run, when, and under which name."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nbqueue.client import dispatch
from nbqueue.client.dispatch import Submission
from nbqueue.client.options import TaskOptions
from nbqueue.client.saying import say
from nbqueue.client.schedules import schedule, timing
from nbqueue.client.schedules.schedule import Schedule
from nbqueue.client.schedules.terms import Terms
from nbqueue.client.schedules.timed import MakeRule
from nbqueue.core.errors import UnknownSchedule, UsageError
from nbqueue.core.timetable import Timetable
from nbqueue.store.schedules.schedules import Definition

if TYPE_CHECKING:
    from nbqueue.client.client import Client


def make(
    client: Client,
    sub: Submission,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    make_rule: MakeRule,
    terms: Terms,
) -> Schedule:
    """Schedule a call, in the place of any schedule of that name.

    Raises:
        UsageError: a time or an option is not possible; nothing was changed.
        NotPicklable: something cannot travel; nothing was changed.
    """
    check(sub.options)
    timetable, zone = times(client, make_rule, terms)
    address, blobs = client.schedules.put(function)
    spec = dispatch.make_spec(
        client, replace(sub, function=address), n=1, block=0, args=args, kwargs=kwargs
    )
    call, call_blobs = client.schedules.pack(sub.params, args, kwargs)
    created = client.now()
    name = str(sub.name)
    return add(
        client,
        Definition(name, spec, call, timetable, zone, terms.overlap, created, blobs, call_blobs),
    )


def check(options: TaskOptions) -> None:
    """Raise unless options can be those of each of many runs.

    Raises:
        UsageError: one of them is a moment.
    """
    if options.countdown is not None or options.eta is not None:
        raise UsageError("countdown and eta say when one job begins; a schedule has start=")
    if isinstance(options.expires, datetime):
        raise UsageError("expires is a time after each run's own, in seconds; a schedule has end=")


def times(client: Client, make_rule: MakeRule, terms: Terms) -> tuple[Timetable, str]:
    """Give the times of a schedule, and its time zone."""
    now = client.now()
    told = client.app.conf.timezone if terms.timezone is None else terms.timezone
    zone = timing.check_zone(told)
    return terms.timetable(make_rule(zone, now), zone, now), zone


def add(client: Client, wanted: Definition) -> Schedule:
    """Put a schedule in the place of any of its name."""
    name, task = wanted.name, wanted.spec.task
    old: Definition | None = None
    with suppress(UnknownSchedule):
        old = client.schedules.load(name)
    client.schedules.add(wanted, old)
    if old is not None and old.spec.task != task:
        say(f"schedule {name!r} runs {task} now, and no longer {old.spec.task}")
    return schedule.find(client, name)
