"""What a person writes about times: read, or refused with what to write instead."""

import contextlib
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from celery.schedules import crontab, schedule
from hypothesis import given
from hypothesis import strategies as st

from nbqueue.client.schedules import timing
from nbqueue.client.schedules.terms import Terms
from nbqueue.core.errors import UsageError
from nbqueue.core.spans import exactly, seconds

NOW = datetime(2026, 11, 21, 8, tzinfo=timezone.utc).timestamp()


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ("10m", 600),
        ("1h30m", 5400),
        ("90s", 90),
        ("2 days", 172_800),
        (" 1 W ", 604_800),
        (90, 90),
        (1.5, 1.5),
        (timedelta(minutes=2), 120),
        (schedule(run_every=30), 30),
    ],
)
def test_an_interval(interval, expected):
    assert timing.every(interval, NOW).seconds == expected


@pytest.mark.parametrize(
    "interval",
    ["", "10", "m", "10x", "30m1h", "-5m", "1m 2m", "*/5 * * * *", 0, -3, 0.5, float("nan"),
     float("inf"), True, None, [], timedelta(0), datetime(2026, 1, 1)],  # noqa: DTZ001 - naive
)  # fmt: skip
def test_what_is_no_interval_is_refused(interval):
    with pytest.raises(UsageError):
        timing.every(interval, NOW)


@given(st.integers(1, 10**7))
def test_an_interval_in_words_is_read_as_what_it_was(number):
    assert seconds(exactly(number)) == number


@given(st.text(max_size=20))
def test_any_text_is_an_interval_or_refused(text):
    with contextlib.suppress(UsageError):
        assert timing.every(text, NOW).seconds >= 1


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("* * * *", "has 4"),
        ("* * * * * *", "has 6"),
        ("", "has 0"),
        ("61 * * * *", "'61' is no minute"),
        ("* 24 * * *", "'24' is no hour"),
        ("* * 0 * *", "'0' is no day of month"),
        ("* * * 13 *", "'13' is no month"),
        ("* * * * 8", "'8' is no day of week"),
        ("* * * * moon", "'moon' is no day of week"),
        ("mon 9 * * *", "'mon' is no minute"),
        ("*/0 * * * *", "'*/0' is no minute"),
        ("*/ * * * *", "'*/' is no minute"),
        (", * * * *", "',' is no minute"),
        ("1.5 * * * *", "'1.5' is no minute"),
        ("-1 * * * *", "'-1' is no minute"),
        ("0 0 31 2 *", "no such day"),
        ("@never", "has 1"),
        (5, "not 5"),
        (None, "not None"),
    ],
)
def test_a_bad_crontab_is_refused_by_its_field(spec, named):
    with pytest.raises(UsageError, match="cron") as caught:
        timing.cron(spec, "UTC")
    assert named in str(caught.value)


@given(st.text(alphabet="0123456789*/-, abc@", max_size=24))
def test_any_text_is_a_crontab_or_refused(text):
    with contextlib.suppress(UsageError):
        assert timing.cron(text, "UTC").next_after(NOW) > NOW


def test_crons_ways_of_writing():
    assert timing.cron("0 0 * * 7", "UTC").day_of_week == (0,)
    assert timing.cron("0 0 * * 5-7", "UTC").day_of_week == (0, 5, 6)
    assert timing.cron("0 0 * * */7", "UTC").day_of_week == (0,)
    assert timing.cron("  0  8 *  * mon ", "UTC").text == "0 8 * * mon"
    assert timing.cron("@daily", "UTC").text == "0 0 * * *"


def test_celerys_crontab_object():
    made = timing.cron(crontab(minute=[0, 30], hour="9-17", day_of_week="mon-fri"), "UTC")
    assert made.text == "0,30 9-17 * * mon-fri"
    assert made.minute == (0, 30)


def test_a_moment():
    zone = "Europe/Berlin"
    expected = datetime(2030, 1, 31, 8, tzinfo=ZoneInfo(zone)).timestamp()
    for when in (
        "2030-01-31 08:00",
        "2030-01-31T08:00:00",
        "2030-01-31 07:00+00:00",
        "2030-01-31T07:00:00Z",
        datetime(2030, 1, 31, 8),  # noqa: DTZ001 - naive
        datetime(2030, 1, 31, 7, tzinfo=timezone.utc),
        pd.Timestamp("2030-01-31 08:00"),
    ):
        assert timing.at(when, zone, NOW).moments == (expected,)
    assert timing.at(timedelta(minutes=5), zone, NOW).moments == (NOW + 300,)
    midnight = datetime(2030, 1, 31, tzinfo=ZoneInfo(zone)).timestamp()
    assert timing.at(date(2030, 1, 31), zone, NOW).moments == (midnight,)


def test_several_moments_without_those_that_are_past():
    found = timing.at(pd.date_range("2026-11-20", periods=4, tz="UTC"), "UTC", NOW)
    assert [m - NOW for m in found.moments] == [16 * 3600, 40 * 3600]


@pytest.mark.parametrize("when", ["soon", "", 5, None, [], ["x"], "25:00"])
def test_what_is_no_moment_is_refused(when):
    with pytest.raises(UsageError):
        timing.at(when, "UTC", NOW)


def test_a_time_that_is_past_is_refused():
    made = timing.timetable(timing.at("2020-01-01", "UTC", NOW), "UTC", NOW)
    with pytest.raises(UsageError, match="still to come"):
        timing.check_has_runs(made, "UTC", NOW)
    made = timing.timetable(timing.every("1h", NOW), "UTC", NOW, end=timedelta(minutes=5))
    with pytest.raises(UsageError, match="before its end"):
        timing.check_has_runs(made, "UTC", NOW)


@pytest.mark.parametrize("max_runs", [0, -1, 1.5, True, "3"])
def test_a_bad_number_of_runs_is_refused(max_runs):
    with pytest.raises(UsageError, match="max_runs"):
        timing.timetable(timing.every("1h", NOW), "UTC", NOW, max_runs=max_runs)


def test_a_time_zone():
    assert timing.check_zone("Asia/Tokyo") == "Asia/Tokyo"
    assert timing.check_zone(ZoneInfo("UTC")) == "UTC"
    assert ZoneInfo(timing.check_zone(None))
    for name in ("Mars/Base", "", 5, "../etc/passwd"):
        with pytest.raises(UsageError, match="timezone"):
            timing.check_zone(name)


def test_an_interval_longer_than_ten_years_is_refused():
    with pytest.raises(UsageError, match="at most ten years"):
        timing.every(1e12, 0.0)


def test_a_misspelt_option_of_a_schedule_names_those_of_schedules_too():
    with pytest.raises(TypeError, match=r"schedule option 'overlp' \(did you mean 'overlap'\?\)"):
        Terms.split({"overlp": False})
    terms, rest = Terms.split({"overlap": False, "queue": "gpu"})
    assert (terms.overlap, rest) == (False, {"queue": "gpu"})
