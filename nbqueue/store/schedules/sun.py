"""When the sun rises and sets: Celery's solar schedules, for a timetable.

Celery asks the package ephem. Whoever wants to know when a solar schedule runs next needs it: the
process that makes the schedule, those that list it, and beat.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from celery import Celery
from celery.exceptions import ImproperlyConfigured
from celery.schedules import solar

from nbqueue.core import timetable
from nbqueue.core.errors import UsageError

EVENTS = (
    "dawn_astronomical",
    "dawn_nautical",
    "dawn_civil",
    "sunrise",
    "solar_noon",
    "sunset",
    "dusk_civil",
    "dusk_nautical",
    "dusk_astronomical",
)

_CLOSE = timedelta(minutes=1)
"""Closer than this to an event is at it. Less: ephem, which counts in days, finds it once more."""

_utc: Celery | None = None


def next_event(event: str, lat: float, lon: float, t: float) -> float:
    """Give when something happens to the sun for the first time after ``t``.

    Where it does not happen every day (beyond the polar circles), that may be months later.

    Raises:
        UsageError: the package ephem is missing, or there is no such event or place.
    """
    global _utc
    if _utc is None:  # Celery's schedules take their time zone from an app, by default any
        _utc = Celery("sun", set_as_current=False)
    from_ = datetime.fromtimestamp(t, timezone.utc) + _CLOSE
    try:
        found = solar(event, lat, lon, nowfun=lambda: from_, app=_utc)
    except ImproperlyConfigured:
        raise UsageError(
            "a solar schedule needs the package ephem: pip install 'nbqueue[solar]', where it is "
            "made and where beat runs"
        ) from None
    except (ValueError, TypeError) as exc:
        raise UsageError(f"solar(): {exc}") from None
    rest: timedelta = found.remaining_estimate(from_)
    return (from_ + rest).timestamp()


timetable.sun = next_event
