"""What a person writes about times, as a `core.timetable.Timetable`.

Numbers, texts, `timedelta`, `datetime` and Celery's own schedule objects go in; a rule comes out,
or a `UsageError` that says how one is written. Celery's crontab reads the fields. Times of the
clock are those of this machine's time zone unless another is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from math import isfinite
from typing import Any
from zoneinfo import ZoneInfo

import tzlocal
from celery.schedules import ParseException, crontab
from celery.schedules import schedule as celery_interval

from nbqueue.core import spans
from nbqueue.core.errors import UsageError
from nbqueue.core.timetable import Cron, Every, Rule, Solar, Times, Timetable
from nbqueue.store.schedules import sun as sun  # it tells timetables about the sun

_LONGEST_S = 10 * 366 * 24 * 3600.0

_SHORTEST_S = 1.0
"""Beat looks twice a second: a task that is to run more often than that needs a loop of its own."""

_FIELDS = ("minute", "hour", "day of month", "month", "day of week")
_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

Interval = float | int | str | timedelta | celery_interval
When = datetime | str | timedelta


def local_zone() -> str:
    """Give the name of this machine's time zone; UTC where it has none that Python knows."""
    try:
        name = tzlocal.get_localzone_name()
        ZoneInfo(name or "")
    except (LookupError, ValueError, OSError):
        return "UTC"
    return str(name)


def check_zone(name: Any) -> str:
    """Give the name of a time zone, if it is one; this machine's for ``None``."""
    if name is None:
        return local_zone()
    key = getattr(name, "key", name)  # a ZoneInfo will do
    try:
        return str(ZoneInfo(key).key)
    except (LookupError, ValueError, TypeError, OSError):
        raise UsageError(
            f"timezone must be a name like 'Europe/Berlin' or 'UTC', not {name!r}"
        ) from None


def every(interval: Any, anchor: float) -> Every:
    """Read an interval, which is counted from ``anchor``."""
    return Every(_interval(interval), anchor)


def _interval(interval: Any) -> float:
    if isinstance(interval, celery_interval):
        interval = interval.run_every
    if isinstance(interval, timedelta):
        seconds = interval.total_seconds()
    elif isinstance(interval, str):
        try:
            seconds = spans.seconds(interval)
        except ValueError as exc:
            raise UsageError(str(exc)) from None
    elif isinstance(interval, (int, float)) and not isinstance(interval, bool):
        seconds = float(interval)
    else:
        raise UsageError(
            "every() takes a text like '10m' or '1h30m', a number of seconds or a timedelta, not "
            f"{interval!r}; times of the clock are for cron() and at()"
        )
    if not isfinite(seconds) or seconds < _SHORTEST_S:
        raise UsageError(f"every() takes an interval of at least 1 second, not {interval!r}")
    if seconds > _LONGEST_S:
        raise UsageError(f"every() takes an interval of at most ten years, not {interval!r}")
    return seconds


def cron(spec: Any, zone: str) -> Cron:
    """Read a crontab of five fields, or Celery's ``crontab`` object."""
    if isinstance(spec, crontab):
        parsed, fields = spec, _fields_of(spec)
    elif isinstance(spec, str):
        fields = _NICKNAMES.get(spec.strip().lower(), spec).split()
        parsed = _parse(spec, fields)
    else:
        raise UsageError(
            f"cron() takes a text like '*/5 9-17 * * mon-fri' or a crontab object, not {spec!r}"
        )
    made = Cron(
        " ".join(fields),
        zone,
        minute=tuple(sorted(parsed.minute)),
        hour=tuple(sorted(parsed.hour)),
        day_of_month=tuple(sorted(parsed.day_of_month)),
        month_of_year=tuple(sorted(parsed.month_of_year)),
        day_of_week=tuple(sorted(parsed.day_of_week)),
    )
    if made.next_after(0) is None:  # which Celery notices since 5.7 only
        raise UsageError(f"cron(): there is no such day as in {spec!r}")
    return made


def _parse(spec: str, fields: list[str]) -> crontab:
    if len(fields) != len(_FIELDS):
        raise UsageError(
            f"cron() takes five fields ({', '.join(_FIELDS)}), and {spec!r} has {len(fields)}; "
            "'*/5 9-17 * * mon-fri' is every five minutes in office hours"
        )
    for name, text in zip(_FIELDS[:3], fields[:3], strict=True):
        # Celery takes names of months and days anywhere, as numbers.
        if re.search(r"[^\d*/,-]", text):
            raise UsageError(f"cron(): {text!r} is no {name} in {spec!r}")
    weekday = re.sub(r"(?<!/)\b7\b", "0", fields[4])  # cron's other Sunday, which Celery refuses
    values = dict(zip(_KEYWORDS, [*fields[:4], weekday], strict=True))
    for name, (keyword, value) in zip(_FIELDS, values.items(), strict=True):
        try:
            crontab(**{keyword: value})
        except (ValueError, ParseException) as exc:
            raise UsageError(f"cron(): {value!r} is no {name} in {spec!r}: {exc}") from None
    try:
        return crontab(**values)
    except ValueError as exc:  # each field is right, and there is no such day
        raise UsageError(f"cron(): there is no such day as in {spec!r}: {exc}") from None


_KEYWORDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")


def _fields_of(spec: crontab) -> list[str]:
    minute, hour, day_of_week, day_of_month, month_of_year = spec.__reduce__()[1]
    given = (minute, hour, day_of_month, month_of_year, day_of_week)
    return [
        "".join(field.split()) if isinstance(field, str) else ",".join(map(str, _listed(field)))
        for field in given
    ]


def _listed(field: Any) -> list[int]:
    return sorted(field) if isinstance(field, Iterable) else [field]


def solar(event: Any, lat: Any, lon: Any, now: float) -> Solar:
    """Read an event of the sun, by Celery's name, and a place in degrees."""
    for name, value in (("lat", lat), ("lon", lon)):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise UsageError(f"solar(): {name} must be a number of degrees, not {value!r}")
    made = Solar(str(event), float(lat), float(lon))
    made.next_after(now)  # raises what there is to raise
    return made


def at(when: Any, zone: str, now: float) -> Times:
    """Read one moment, or several; those that are past are left out, unless all are."""
    several = isinstance(when, Iterable) and not isinstance(when, str)
    moments = sorted({moment(each, zone, now, "at()") for each in (when if several else [when])})
    if not moments:
        raise UsageError("at() was given no times")
    later = [each for each in moments if each > now]
    return Times(tuple(later or moments), zone)


def moment(when: Any, zone: str, now: float, where: str) -> float:
    """Read a moment: a ``datetime``, a text in ISO 8601, or a ``timedelta`` from now."""
    if isinstance(when, timedelta):
        return now + when.total_seconds()
    if isinstance(when, str):
        try:
            when = datetime.fromisoformat(re.sub(r"[zZ]\s*$", "+00:00", when.strip()))
        except ValueError:
            raise UsageError(
                f"{where} takes a time like '2030-01-31 08:00', not {when!r}"
            ) from None
    if isinstance(when, date) and not isinstance(when, datetime):
        when = datetime.combine(when, time())
    if not isinstance(when, datetime):
        raise UsageError(
            f"{where} takes a datetime, a text like '2030-01-31 08:00' or a timedelta from now, "
            f"not {when!r}"
        )
    return (when if when.tzinfo else when.replace(tzinfo=ZoneInfo(zone))).timestamp()


def timetable(
    rule: Rule,
    zone: str,
    now: float,
    *,
    start: Any = None,
    end: Any = None,
    max_runs: int | None = None,
    starting_deadline: Any = None,
) -> Timetable:
    """Put bounds to a rule.

    Raises:
        UsageError: a bound is not possible.
    """
    first = None if start is None else moment(start, zone, now, "start")
    last = None if end is None else moment(end, zone, now, "end")
    if isinstance(rule, Every) and first is not None:
        rule = Every(rule.seconds, first - rule.seconds)  # the first run is at the start
    if max_runs is not None and (not _is_whole(max_runs) or max_runs < 1):
        raise UsageError(f"max_runs must be a whole number of 1 or more, not {max_runs!r}")
    late = None if starting_deadline is None else _interval(starting_deadline)
    return Timetable(rule, first, last, max_runs, late)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def check_has_runs(made: Timetable, zone: str, now: float) -> None:
    """Raise UsageError when a timetable is over before it has begun."""
    if made.next_after(now) is None:
        until = ""
        if made.end is not None:
            shown = datetime.fromtimestamp(made.end, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S")
            until = f" before its end ({shown})"
        raise UsageError(f"{made} has no time to run that is still to come{until}")
