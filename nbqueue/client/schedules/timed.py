"""The ways in which something is run at certain times: ``every``, ``cron``, ``at``, ``solar``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from celery.schedules import crontab

from nbqueue.client.schedules import timing
from nbqueue.client.schedules.timing import Interval, When
from nbqueue.core.timetable import Rule

if TYPE_CHECKING:
    from nbqueue.client.schedules.schedule import Schedule

MakeRule = Callable[[str, float], Rule]
"""Makes a rule for a time zone and the time it is now."""


class Timed:
    """What can be run at certain times: a `Task`, a signature, a workflow, a project's task.

    Of a signature or a workflow, ``args`` and ``kwargs`` are added to its own, as in
    ``apply_async``, and each run is a job of all of its calls.
    """

    def every(
        self,
        interval: Interval,
        *,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: dict[str, Any] | None = None,
        **options: Any,
    ) -> Schedule:
        """Run the task again and again, at an interval, as long as a beat runs.

        The embedded cluster runs beat by itself; elsewhere that is `nbqueue beat`. Runs are
        counted from now (the first comes after one interval) or from ``start``, and do not drift.
        Function and arguments are taken as they are now. A schedule of the same name is replaced;
        with the same times it goes on in its rhythm, so a cell may be run again.

        Args:
            interval: ``"10m"``, ``"1h30m"``, ``"90s"``, seconds, or a timedelta; at least 1 s.
                A day is 24 hours: for a time of the clock there is `cron`.
            name: The schedule's name, by default the task's (or the tasks'). Runs are named after
                it: ``NAME @ 2030-01-31 08:00``.
            args: Positional arguments of each run.
            kwargs: Keyword arguments of each run.
            **options: ``start``, ``end``, ``max_runs``, ``starting_deadline``, ``overlap``,
                ``timezone`` (see `schedules.terms.Terms`), and the options of `nq.task`.

        Raises:
            UsageError: that is no interval, or an option is not possible.
            TypeError: the function does not take these arguments.
            NotPicklable: an argument, or something the function uses, cannot travel.

        >>> double.every("10m", args=[4])                   # doctest: +CLUSTER
        <Schedule 'double': double every 10 min>
        >>> nq.schedule("double").remove()                  # doctest: +CLUSTER
        True
        """
        return self._schedule(
            lambda _, now: timing.every(interval, now), name, args, kwargs, options
        )

    def cron(
        self,
        spec: str | crontab,
        *,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: dict[str, Any] | None = None,
        **options: Any,
    ) -> Schedule:
        """Run the task at minutes of the clock, as a crontab names them.

        As `every`, but for the times. They are in this machine's time zone unless ``timezone``
        names another. A time that a change of clocks leaves out runs an hour later; one that comes
        twice runs once, or twice if the hours are ``*``.

        Args:
            spec: Five fields (minute, hour, day of month, month, day of week) as a text like
                ``"*/5 9-17 * * mon-fri"``, or Celery's ``crontab`` object. A day must fit both
                day fields, as in Celery.
            name: As in `every`.
            args: As in `every`.
            kwargs: As in `every`.
            **options: As in `every`.

        Raises:
            UsageError: a field is not possible; the message names it.

        >>> double.cron("0 8 * * mon-fri", args=[4], timezone="UTC")    # doctest: +CLUSTER
        <Schedule 'double': double cron 0 8 * * mon-fri (UTC)>
        >>> nq.schedule("double").remove()                              # doctest: +CLUSTER
        True
        """
        return self._schedule(lambda zone, _: timing.cron(spec, zone), name, args, kwargs, options)

    def at(
        self,
        when: When | Iterable[When],
        *,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: dict[str, Any] | None = None,
        **options: Any,
    ) -> Schedule:
        """Run the task once, at a time, or at each of several times.

        As `every`, but for the times. Unlike a job with ``eta`` it can be paused, changed and
        removed, and is listed by ``nq.schedules()``.

        Args:
            when: A ``datetime`` (without a time zone: in this machine's), a text like
                ``"2030-01-31 08:00"``, a timedelta from now, or several of these (a
                ``pandas.date_range``, say). Of several, those that are past are left out.
            name: As in `every`.
            args: As in `every`.
            kwargs: As in `every`.
            **options: As in `every`.

        Raises:
            UsageError: that is no time, or it is past.

        >>> double.at("2099-12-31 23:59", args=[4], timezone="UTC")     # doctest: +CLUSTER
        <Schedule 'double': double at 2099-12-31 23:59:00 (UTC)>
        >>> nq.schedule("double").remove()                              # doctest: +CLUSTER
        True
        """
        return self._schedule(
            lambda zone, now: timing.at(when, zone, now), name, args, kwargs, options
        )

    def solar(
        self,
        event: str,
        lat: float,
        lon: float,
        *,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: dict[str, Any] | None = None,
        **options: Any,
    ) -> Schedule:
        """Run the task when the sun rises, sets and so on at a place: Celery's ``solar``.

        As `every`, but for the times. Needs the package ephem (``pip install 'nbqueue[solar]'``),
        here and where beat runs.

        Args:
            event: ``sunrise``, ``sunset``, ``solar_noon``, or ``dawn_`` or ``dusk_`` with
                ``civil``, ``nautical`` or ``astronomical``.
            lat: Degrees of latitude; positive is north.
            lon: Degrees of longitude; positive is east.
            name: As in `every`.
            args: As in `every`.
            kwargs: As in `every`.
            **options: As in `every`.

        Raises:
            UsageError: there is no such event or place, or ephem is missing.

        >>> double.solar("sunset", 52.5, 13.4, args=[4])    # doctest: +CLUSTER
        <Schedule 'double': double solar sunset at 52.5, 13.4>
        >>> nq.schedule("double").remove()                  # doctest: +CLUSTER
        True
        """
        return self._schedule(
            lambda _, now: timing.solar(event, lat, lon, now), name, args, kwargs, options
        )

    def _schedule(
        self,
        make_rule: MakeRule,
        name: str | None,
        args: Iterable[Any],
        kwargs: dict[str, Any] | None,
        options: dict[str, Any],
    ) -> Schedule:
        raise NotImplementedError
