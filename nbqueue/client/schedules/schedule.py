"""`Schedule`: a task that is run again and again, or at a certain time, as long as a beat runs.

Made by ``task.every``, ``task.cron`` and ``task.at``, or found again with ``nq.schedule(name)``.
What it says about itself is what was known when it was last asked or told something; what touches
the store is a method, but for `next_run`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from nbqueue.client import listing
from nbqueue.client.schedules.terms import Terms, retimed
from nbqueue.core.errors import UsageError
from nbqueue.core.spans import span
from nbqueue.store.schedules.schedules import Definition

if TYPE_CHECKING:
    import pandas as pd

    from nbqueue.client.client import Client
    from nbqueue.client.job import Job


class Schedule:
    """A task and the times at which it is run; each run is a job of its own.

    >>> @nq.task
    ... def tick():
    ...     return "tock"
    >>> schedule = tick.every("1h", name="hourly")          # doctest: +CLUSTER
    >>> schedule                                            # doctest: +CLUSTER
    <Schedule 'hourly': tick every 1 h>
    >>> schedule.run_now().result()                         # doctest: +CLUSTER
    'tock'
    >>> schedule.pause()                                    # doctest: +CLUSTER
    <Schedule 'hourly': tick every 1 h, paused>
    >>> schedule.remove()                                   # doctest: +CLUSTER
    True
    """

    def __init__(self, client: Client, definition: Definition, *, paused: bool = False) -> None:
        self._client = client
        self._definition = definition
        self._state = "paused" if paused else "enabled"

    # -- what it is --------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The schedule's name: the one given, or its task's."""
        return self._definition.name

    @property
    def task(self) -> str:
        """Name of the task."""
        return self._definition.spec.task

    @property
    def times(self) -> str:
        """When it runs, in words."""
        return str(self._definition.timetable)

    @property
    def enabled(self) -> bool:
        """Whether it is neither paused nor removed."""
        return self._state == "enabled"

    @property
    def state(self) -> str:
        """``enabled``, ``paused`` or ``removed``, as last known here."""
        return self._state

    @property
    def terms(self) -> dict[str, str]:
        """What bounds its runs, in words; empty texts where nothing does."""
        table, zone = self._definition.timetable, ZoneInfo(self._definition.zone)
        return {
            "from": _shown(table.start, zone),
            "until": _shown(table.end, zone),
            "at most": "" if table.max_runs is None else f"{table.max_runs} run(s)",
            "at most late": ""
            if table.starting_deadline is None
            else span(table.starting_deadline),
            "overlap": "" if self._definition.overlap else "a run is skipped while one goes on",
        }

    def __repr__(self) -> str:
        state = "" if self.enabled else f", {self._state}"
        return f"<Schedule {self.name!r}: {self.task} {self.times}{state}>"

    @property
    def next_run(self) -> datetime | None:
        """When it runs next, in its time zone; None when it is paused, or has ended.

        Asks the store, which knows what beat has sent. A time that is past is a run that is
        overdue: no beat runs.
        """
        moment = self._client.schedules.next_run(self.name, self._definition.timetable)
        zone = ZoneInfo(self._definition.zone)
        return None if moment is None else datetime.fromtimestamp(moment, zone)

    def history(self, limit: int = 100) -> pd.DataFrame:
        """List its latest runs, latest first.

        Indexed by job id (``job``; empty for a run that was skipped); columns ``due`` (UTC),
        ``outcome`` (category: a state, SKIPPED, or EXPIRED when its job is gone and nobody had
        noted how it ended), ``finished`` (UTC; NaT before), ``duration_s`` (float: from the job's
        submission to its end).

        >>> double.every("1h", args=[2]).history().columns.tolist()     # doctest: +CLUSTER
        ['due', 'outcome', 'finished', 'duration_s']
        >>> nq.schedule("double").remove()                              # doctest: +CLUSTER
        True
        """
        return listing.history_frame(self._client.schedules.runs(self.name, limit))

    # -- doing -------------------------------------------------------------------------------------

    def pause(self) -> Schedule:
        """Run it no more until `resume`; runs that were submitted go on. Gives the schedule.

        Raises:
            UnknownSchedule: it was removed.

        >>> schedule = double.every("1h", args=[1], name="paused")  # doctest: +CLUSTER
        >>> schedule.pause()                                # doctest: +CLUSTER
        <Schedule 'paused': double every 1 h, paused>
        >>> schedule.remove()                               # doctest: +CLUSTER
        True
        """
        self._client.schedules.pause(self._definition.name)
        self._state = "paused"
        return self

    def resume(self) -> Schedule:
        """Run it again from now on; what was due meanwhile is not made up for.

        Raises:
            UnknownSchedule: it was removed.

        >>> schedule = double.every("1h", args=[1], name="resumed")  # doctest: +CLUSTER
        >>> schedule.pause().resume().state                 # doctest: +CLUSTER
        'enabled'
        >>> schedule.remove()                               # doctest: +CLUSTER
        True
        """
        self._client.schedules.resume(self._definition)
        self._state = "enabled"
        return self

    def remove(self) -> bool:
        """Delete it and the list of its runs; False when it was removed before.

        The jobs of its runs stay, and a run that is going on goes on.

        >>> schedule = double.every("1h", args=[1], name="removed")  # doctest: +CLUSTER
        >>> schedule.remove(), schedule.remove()            # doctest: +CLUSTER
        (True, False)
        """
        self._state = "removed"
        return self._client.schedules.remove(self.name)

    def cancel(self) -> bool:
        """Delete it: another name of `remove`.

        >>> double.every("1h", args=[1], name="cancelled").cancel()  # doctest: +CLUSTER
        True
        """
        return self.remove()

    def change(
        self,
        *,
        every: Any = None,
        cron: Any = None,
        at: Any = None,
        args: Iterable[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        **terms: Any,
    ) -> Schedule:
        """Change its times, its arguments or its terms; the rest stays as it is.

        Args:
            every: A new interval.
            cron: A new crontab.
            at: A new time, or times.
            args: Other positional arguments; with ``kwargs``, all of them anew.
            kwargs: Other keyword arguments.
            **terms: ``start``, ``end``, ``max_runs``, ``starting_deadline`` (these four are none
                again where new times come without them), ``overlap``, ``timezone``.

        Raises:
            UnknownSchedule: it was removed.
            UsageError: a value is not possible; nothing was changed.

        >>> schedule = double.every("1h", args=[2])         # doctest: +CLUSTER
        >>> schedule.change(every="30m", args=[3])          # doctest: +CLUSTER
        <Schedule 'double': double every 30 min>
        >>> schedule.run_now().result(), schedule.remove()  # doctest: +CLUSTER
        (6, True)
        """
        given = {"every": every, "cron": cron, "at": at}
        rules = {name: value for name, value in given.items() if value is not None}
        if len(rules) > 1:
            raise UsageError(f"give one of {' and '.join(rules)}: each says when it runs")
        new, unknown = Terms.split(terms)
        if unknown:
            raise TypeError(f"change() has no option {', '.join(map(repr, sorted(unknown)))}")
        definition = self._client.schedules.load(self.name)
        if definition.workflow is not None and (args is not None or kwargs is not None):
            raise UsageError(
                f"schedule {self.name!r} runs a workflow, whose arguments are those of its calls: "
                f"make it anew, with name={self.name!r}"
            )
        if rules or terms:
            definition = retimed(definition, rules, new, terms, self._client.now())
        if args is not None or kwargs is not None:
            call, blobs = self._client.schedules.pack(
                definition.spec.params, tuple(args or ()), kwargs or {}
            )
            definition = replace(definition, call=call, call_blobs=blobs)
        self._definition = self._client.schedules.change(definition)
        return self

    def run_now(self) -> Job:
        """Submit a run out of turn, whether or not it is paused; gives its job.

        Raises:
            UnknownSchedule: it was removed.

        >>> schedule = double.every("1h", args=[4], name="at once")  # doctest: +CLUSTER
        >>> schedule.run_now().result(), schedule.remove()  # doctest: +CLUSTER
        (8, True)
        """
        return self._client.schedules.run_now(self.name)


def _shown(moment: float | None, zone: ZoneInfo) -> str:
    if moment is None:
        return ""
    return datetime.fromtimestamp(moment, zone).strftime(f"%Y-%m-%d %H:%M:%S ({zone.key})")


def find(client: Client, name: str) -> Schedule:
    """Find a schedule by its name.

    Raises:
        UnknownSchedule: there is none; the message lists near matches.
    """
    definition = client.schedules.load(name)
    return Schedule(client, definition, paused=client.schedules.is_paused(name))
