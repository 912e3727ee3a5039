"""Timetables: when a schedule runs next, from when it ran last.

Pure: the clock is an argument, and times are seconds since the epoch. `store.schedules.beat` hands
a timetable to Celery's beat, and `client.schedules.timing` makes one of what a person writes.

    rule      `Every`   each so many seconds, counted from an anchor: it does not drift
              `Cron`    minutes of the clock on a wall, in a time zone
              `Times`   these moments
              `Solar`   when the sun rises, sets and so on at a place   (`store.schedules.sun`)
    bounds    none before ``start``, none after ``end``, at most ``max_runs``

A run that could not be sent in time (beat was down) is sent once, late, however many were missed;
``starting_deadline`` says how late is too late.

**When clocks change.** A `Cron` time that the clock jumps over runs as much later as the jump is
long; one that the clock shows twice runs the first time, and both times if its hours are all hours
(``*``, ``*/2``): what runs every 20 minutes goes on doing so. That is cron's own rule; Celery's
crontab leaves an hour out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from math import floor
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from nbqueue.core.spans import exactly

_LONGEST_DAYS = 40 * 366
"""How far ahead a day is looked for: the 29th of February is a Monday every 28 years, or 40."""

_SHIFT = timedelta(hours=4)
"""More than any change of clocks."""

_CLOSE_S = 1e-3
"""Closer than this to a moment is at it: sums of seconds since 1970 have no more digits."""

_SHOWN = "%Y-%m-%d %H:%M:%S"


@dataclass(frozen=True)
class Every:
    """At ``anchor + k * seconds`` for k = 1, 2, …"""

    kind: ClassVar[str] = "every"

    seconds: float
    anchor: float

    def next_after(self, t: float) -> float | None:
        """Give the first of its moments after ``t``."""
        k = floor((t - self.anchor + _CLOSE_S) / self.seconds) + 1
        return self.anchor + max(k, 1) * self.seconds

    @property
    def step_s(self) -> float:
        """A length of which all runs are whole multiples apart."""
        return self.seconds

    def __str__(self) -> str:
        return f"every {exactly(self.seconds)}"


@dataclass(frozen=True)
class Cron:
    """Minutes of the clock on a wall: those that every one of five sets allows.

    Unlike in cron, a day must be allowed both by its date and by its weekday, as in Celery.
    """

    kind: ClassVar[str] = "cron"

    text: str
    """Five fields, as they were written."""
    zone: str
    minute: tuple[int, ...]
    hour: tuple[int, ...]
    day_of_month: tuple[int, ...]
    month_of_year: tuple[int, ...]
    day_of_week: tuple[int, ...]
    """0 is Sunday."""

    step_s: ClassVar[float] = 60

    def next_after(self, t: float) -> float | None:
        """Give the first of its moments after ``t``; None when there is no such day."""
        zone = ZoneInfo(self.zone)
        # A change of clocks puts a moment as much later as it is large: begin before it.
        from_ = (datetime.fromtimestamp(t, zone) - _SHIFT).replace(tzinfo=None)
        day = from_.date()
        for _ in range(_LONGEST_DAYS):
            if self._allows(day):
                found = _first(self._moments(day, from_, zone), t + _CLOSE_S)
                if found is not None:
                    return found
            day += timedelta(days=1)
        return None

    def _allows(self, day: date) -> bool:
        return (
            day.month in self.month_of_year
            and day.day in self.day_of_month
            and day.isoweekday() % 7 in self.day_of_week
        )

    def _moments(self, day: date, from_: datetime, zone: ZoneInfo) -> Iterator[float]:
        goes_on = self.text.split()[1].startswith("*")
        for hour in self.hour:
            if (day, hour) < (from_.date(), from_.hour):
                continue
            for minute in self.minute:
                wall = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
                first, second = wall.timestamp(), wall.replace(fold=1).timestamp()
                yield first
                if goes_on and second > first:  # shown twice; in a gap it is the other way around
                    yield second

    def __str__(self) -> str:
        return f"cron {self.text} ({self.zone})"


def _first(moments: Iterator[float], after: float) -> float | None:
    """Give the smallest of moments that are nearly in order, and come after one."""
    found: float | None = None
    for moment in moments:
        if moment > after and (found is None or moment < found):
            found = moment
        if found is not None and moment > found + _SHIFT.total_seconds():
            break
    return found


@dataclass(frozen=True)
class Times:
    """At certain moments."""

    kind: ClassVar[str] = "at"

    moments: tuple[float, ...]
    """Ascending."""
    zone: str
    """For showing them."""

    step_s: ClassVar[float] = 1

    def next_after(self, t: float) -> float | None:
        """Give the first of its moments after ``t``; None after the last."""
        return next((moment for moment in self.moments if moment > t + _CLOSE_S), None)

    def __str__(self) -> str:
        first = datetime.fromtimestamp(self.moments[0], ZoneInfo(self.zone)).strftime(_SHOWN)
        if len(self.moments) == 1:
            return f"at {first} ({self.zone})"
        return f"at {len(self.moments)} times from {first} ({self.zone})"


@dataclass(frozen=True)
class Solar:
    """When something happens to the sun, seen from a place."""

    kind: ClassVar[str] = "solar"

    event: str
    """By Celery's names: ``sunset`` and so on."""
    lat: float
    """Degrees; positive is north."""
    lon: float
    """Degrees; positive is east."""

    step_s: ClassVar[float] = 1

    def next_after(self, t: float) -> float | None:
        """Give the first of its moments after ``t``."""
        return sun(self.event, self.lat, self.lon, t)

    def __str__(self) -> str:
        return f"solar {self.event} at {self.lat:g}, {self.lon:g}"


def _unknown(event: str, lat: float, lon: float, t: float) -> float:
    raise LookupError("nobody here knows about the sun")


sun: Callable[[str, float, float, float], float] = _unknown
"""Says when an event comes next; set by `store.schedules.sun`, which needs a library."""

Rule = Every | Cron | Times | Solar


@dataclass(frozen=True)
class Timetable:
    """A rule and its bounds."""

    rule: Rule
    start: float | None = None
    end: float | None = None
    max_runs: int | None = None
    starting_deadline: float | None = None
    """Seconds by which a run may be late; None: however late."""

    def next_after(self, last: float, *, runs: int = 0, now: float | None = None) -> float | None:
        """Give when it runs next, which is past when a run is overdue; None when it has ended.

        Args:
            last: When it ran last, or was made.
            runs: How often it has run.
            now: The time, for leaving out what is overdue by more than the deadline.
        """
        if self.max_runs is not None and runs >= self.max_runs:
            return None
        if self.start is not None:
            last = max(last, self.start - 2 * _CLOSE_S)
        found = self.rule.next_after(last)
        late = self.starting_deadline
        if found is not None and late is not None and now is not None and found < now - late:
            found = self.rule.next_after(now - late)
        return None if found is None or (self.end is not None and found > self.end) else found

    def same_rhythm(self, other: Timetable) -> bool:
        """Say whether another differs in nothing but the moment from which it counts."""
        mine, its = self.rule, other.rule
        if isinstance(mine, Every) and isinstance(its, Every):
            if mine.seconds != its.seconds:
                return False
        elif mine != its:
            return False
        return self._bounds() == other._bounds()

    def _bounds(self) -> tuple[Any, ...]:
        return self.start, self.end, self.max_runs, self.starting_deadline

    def stamp(self, moment: float, zone: str) -> str:
        """Give a moment as a run is named by: to the second only where runs need it."""
        local = datetime.fromtimestamp(moment, ZoneInfo(zone))
        is_whole = self.rule.step_s % 60 == 0 and round(moment) % 60 == 0
        return local.strftime("%Y-%m-%d %H:%M" if is_whole else _SHOWN)

    def __str__(self) -> str:
        return str(self.rule)

    def to_plain(self) -> dict[str, Any]:
        """Give it as JSON has it; `from_plain` reads that."""
        return {**asdict(self), "rule": {"kind": self.rule.kind, **asdict(self.rule)}}

    @staticmethod
    def from_plain(plain: dict[str, Any]) -> Timetable:
        """Read what `to_plain` gave."""
        rule = dict(plain["rule"])
        kind = _RULES[rule.pop("kind")]
        tuples = {k: tuple(v) if isinstance(v, list) else v for k, v in rule.items()}
        return Timetable(**{**plain, "rule": kind(**tuples)})


_RULES: dict[str, Any] = {kind.kind: kind for kind in (Every, Cron, Times, Solar)}
