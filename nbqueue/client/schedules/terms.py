"""The terms of a schedule: its bounds, and what else is said about its runs beside their times."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from nbqueue.client.options import OPTIONS, unknown_options
from nbqueue.client.schedules import timing
from nbqueue.core.errors import UsageError
from nbqueue.core.timetable import Rule, Timetable
from nbqueue.store.schedules.schedules import Definition


@dataclass(frozen=True)
class Terms:
    """How a schedule runs, beside its times; ``every``, ``cron`` and ``at`` take all of these."""

    start: Any = None
    """No run before this time: a ``datetime``, a text in ISO 8601, or a timedelta from now. An
    interval is counted from here, and its first run is here."""
    end: Any = None
    """No run after this time."""
    max_runs: int | None = None
    """The schedule ends after so many runs."""
    starting_deadline: Any = None
    """How late a run may be sent (because no beat ran), as an interval; by default it is sent
    however late it is, and once, however many were missed."""
    overlap: bool = True
    """Whether a run may begin while the one before is still going; else it is skipped."""
    timezone: Any = None
    """Time zone of the times above, of ``cron`` and of names; by default Celery's ``timezone``
    where the client's configuration sets it, else this machine's."""

    @staticmethod
    def split(options: dict[str, Any]) -> tuple[Terms, dict[str, Any]]:
        """Give the terms among some options, and the others, which are a task's.

        Raises:
            TypeError: there is no such option of either.
        """
        own = {f.name for f in fields(Terms)}
        if unknown := set(options) - own - OPTIONS:
            raise TypeError(unknown_options("schedule", unknown, own | OPTIONS - _OF_ONE_RUN))
        terms = Terms(**{name: value for name, value in options.items() if name in own})
        if not isinstance(terms.overlap, bool):
            raise UsageError(f"overlap must be True or False, not {terms.overlap!r}")
        return terms, {name: value for name, value in options.items() if name not in own}

    def timetable(self, rule: Rule, zone: str, now: float) -> Timetable:
        """Give the timetable of a rule under these terms."""
        return timing.timetable(
            rule,
            zone,
            now,
            start=self.start,
            end=self.end,
            max_runs=self.max_runs,
            starting_deadline=self.starting_deadline,
        )


_OF_ONE_RUN = {"countdown", "eta"}

_BOUNDS = ("start", "end", "max_runs", "starting_deadline")


def retimed(
    old: Definition, rules: dict[str, Any], new: Terms, given: dict[str, Any], now: float
) -> Definition:
    """Give a definition with other times or other terms."""
    zone = timing.check_zone(new.timezone) if "timezone" in given else old.zone
    if not rules and "timezone" in given:
        raise UsageError("a time zone is changed together with the times: cron=… or at=…")
    rule = _rule(rules, zone, now) if rules else old.timetable.rule
    bounds = {name: getattr(new, name) for name in _BOUNDS if rules or name in given}
    made = timing.timetable(rule, zone, now, **bounds)
    if not rules:
        kept = {name: getattr(old.timetable, name) for name in _BOUNDS if name not in given}
        made = replace(made, **kept)
    timing.check_has_runs(made, zone, now)
    overlap = new.overlap if "overlap" in given else old.overlap
    return replace(old, timetable=made, zone=zone, overlap=overlap)


def _rule(rules: dict[str, Any], zone: str, now: float) -> Rule:
    if "every" in rules:
        return timing.every(rules["every"], now)
    if "cron" in rules:
        return timing.cron(rules["cron"], zone)
    return timing.at(rules["at"], zone, now)
