"""Timetables: when a schedule runs next, also when clocks change."""

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from celery import Celery
from celery.schedules import crontab
from hypothesis import given
from hypothesis import strategies as st

from nbqueue.client.schedules import timing
from nbqueue.core.timetable import Cron, Every, Times, Timetable

BERLIN = ZoneInfo("Europe/Berlin")
ANCHOR = datetime(2026, 11, 21, 8, tzinfo=timezone.utc).timestamp()


def utc(*when):
    return datetime(*when, tzinfo=timezone.utc).timestamp()


def shown(moment, zone=BERLIN):
    return datetime.fromtimestamp(moment, zone).strftime("%m-%d %H:%M%z")


def runs(timetable, last, n):
    found = []
    for k in range(n):
        last = timetable.next_after(last, runs=k)
        if last is None:
            break
        found.append(last)
    return found


def cron(text, zone="Europe/Berlin"):
    return Timetable(timing.cron(text, zone))


# -- intervals ------------------------------------------------------------------------------------


@given(
    seconds=st.integers(1, 10**7) | st.floats(1, 1e6),
    after=st.floats(0, 1e9),
    late=st.floats(0, 1),
)
def test_an_interval_does_not_drift_however_late_a_run_is_sent(seconds, after, late):
    rule = Every(float(seconds), ANCHOR)
    due = rule.next_after(ANCHOR + after)
    assert due > ANCHOR + after
    assert due - (ANCHOR + after) <= seconds + 0.002
    assert abs((due - ANCHOR) / seconds - round((due - ANCHOR) / seconds)) * seconds < 0.001
    following = rule.next_after(due + late * seconds * 0.99)
    assert following == pytest.approx(due + seconds, abs=0.001)


def test_the_first_run_comes_after_one_interval():
    assert Every(600.0, ANCHOR).next_after(ANCHOR) == ANCHOR + 600


def test_a_run_that_was_sent_on_the_dot_is_not_due_again():
    rule = Every(0.1 + 0.2 + 1, ANCHOR)
    due = rule.next_after(ANCHOR)
    assert rule.next_after(due) > due + 1


# -- bounds ---------------------------------------------------------------------------------------


def test_an_interval_with_a_start_runs_first_at_the_start():
    start = ANCHOR + 5000
    made = timing.timetable(Every(600.0, ANCHOR), "UTC", ANCHOR, start=timedelta(seconds=5000))
    assert runs(made, ANCHOR, 2) == [start, start + 600]


def test_a_crontab_with_a_start_may_run_at_the_start():
    rule = timing.cron("0 8 * * *", "UTC")
    start = utc(2026, 11, 23, 8)
    assert runs(Timetable(rule, start=start), ANCHOR, 1) == [start]


def test_nothing_runs_after_the_end_or_after_the_most_runs():
    rule = Every(600.0, ANCHOR)
    assert len(runs(Timetable(rule, end=ANCHOR + 1800), ANCHOR, 9)) == 3
    assert len(runs(Timetable(rule, max_runs=2), ANCHOR, 9)) == 2


def test_of_many_runs_that_were_missed_one_is_sent():
    made = Timetable(Every(600.0, ANCHOR))
    now = ANCHOR + 10 * 600 + 7
    overdue = made.next_after(ANCHOR, now=now)
    assert overdue < now
    assert made.next_after(now, now=now) == ANCHOR + 11 * 600


def test_what_is_later_than_its_deadline_is_left_out():
    made = Timetable(Every(600.0, ANCHOR), starting_deadline=60)
    assert made.next_after(ANCHOR, now=ANCHOR + 650) == ANCHOR + 600
    assert made.next_after(ANCHOR, now=ANCHOR + 700) == ANCHOR + 1200


def test_several_times_run_one_after_the_other():
    made = Timetable(Times((ANCHOR + 1, ANCHOR + 5), "UTC"))
    assert runs(made, ANCHOR, 9) == [ANCHOR + 1, ANCHOR + 5]


# -- crontabs -------------------------------------------------------------------------------------


def test_office_hours():
    friday = datetime(2026, 11, 20, 17, 52, tzinfo=BERLIN).timestamp()
    found = [shown(m) for m in runs(cron("*/5 9-17 * * mon-fri"), friday, 3)]
    assert found == ["11-20 17:55+0100", "11-23 09:00+0100", "11-23 09:05+0100"]


def test_what_runs_every_20_minutes_goes_on_doing_so_when_an_hour_comes_twice():
    found = [shown(m) for m in runs(cron("*/20 * * * *"), utc(2026, 10, 25, 0, 20), 5)]
    assert found == [
        "10-25 02:40+0200",
        "10-25 02:00+0100",
        "10-25 02:20+0100",
        "10-25 02:40+0100",
        "10-25 03:00+0100",
    ]


def test_what_runs_every_20_minutes_goes_on_doing_so_when_an_hour_is_left_out():
    found = [shown(m) for m in runs(cron("*/20 * * * *"), utc(2026, 3, 29, 0, 20), 3)]
    assert found == ["03-29 01:40+0100", "03-29 03:00+0200", "03-29 03:20+0200"]


def test_a_time_that_comes_twice_runs_once():
    found = [shown(m) for m in runs(cron("30 2 * * *"), utc(2026, 10, 24, 12), 2)]
    assert found == ["10-25 02:30+0200", "10-26 02:30+0100"]


def test_a_time_that_is_left_out_runs_as_much_later():
    found = [shown(m) for m in runs(cron("30 2 * * *"), utc(2026, 3, 28, 12), 2)]
    assert found == ["03-29 03:30+0200", "03-30 02:30+0200"]


def test_a_day_that_comes_once_in_decades_is_found():
    assert shown(runs(cron("0 0 29 2 mon", "UTC"), ANCHOR, 1)[0], timezone.utc).startswith("02-29")


FIELDS = st.tuples(
    st.sampled_from(["*", "*/7", "0", "5,50", "10-20/3"]),
    st.sampled_from(["*", "*/5", "3", "9-17", "0,23"]),
    st.sampled_from(["*", "1", "28-31", "*/10"]),
    st.sampled_from(["*", "2", "jan,jul", "*/4"]),
    st.sampled_from(["*", "mon-fri", "0", "6-1"]),
)


@given(FIELDS, st.integers(0, 10 * 366 * 86400))
def test_where_clocks_never_change_it_agrees_with_celerys_crontab(fields, after):
    now = datetime.fromtimestamp(ANCHOR + after, timezone.utc)
    minute, hour, day, month, weekday = fields
    celerys = crontab(
        minute=minute, hour=hour, day_of_week=weekday, day_of_month=day, month_of_year=month,
        nowfun=lambda: now, app=Celery(set_as_current=False),
    )  # fmt: skip
    theirs = (now + celerys.remaining_estimate(now)).timestamp()
    assert cron(" ".join(fields), "UTC").next_after(now.timestamp()) == pytest.approx(theirs)


@given(FIELDS, st.integers(0, 10 * 366 * 86400), st.sampled_from(["Europe/Berlin", "Asia/Kolkata"]))
def test_the_next_run_is_later_and_its_clock_shows_what_is_allowed(fields, after, zone):
    made = cron(" ".join(fields), zone)
    found = made.next_after(ANCHOR + after)
    local = datetime.fromtimestamp(found, ZoneInfo(zone))
    assert found > ANCHOR + after
    # (An hour that was left out is shown as the one after it.)
    assert local.minute in made.rule.minute
    assert local.hour in made.rule.hour or local.hour - 1 in made.rule.hour


# -- bytes and words ------------------------------------------------------------------------------

RULES = [
    Every(90.0, ANCHOR),
    timing.cron("*/5 9-17 * * mon-fri", "Europe/Berlin"),
    Times((ANCHOR, ANCHOR + 1), "UTC"),
]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_timetable_survives_json(rule):
    made = Timetable(rule, 1.5, 2.5, 3, 4.5)
    assert Timetable.from_plain(made.to_plain()) == made


def test_a_timetable_in_words():
    assert [str(rule) for rule in RULES] == [
        "every 1 min 30 s",
        "cron */5 9-17 * * mon-fri (Europe/Berlin)",
        "at 2 times from 2026-11-21 08:00:00 (UTC)",
    ]
    assert str(Times((ANCHOR,), "Asia/Tokyo")) == "at 2026-11-21 17:00:00 (Asia/Tokyo)"


def test_runs_are_named_to_the_second_only_where_it_takes_seconds():
    assert Timetable(Every(600.0, ANCHOR)).stamp(ANCHOR, "UTC") == "2026-11-21 08:00"
    assert Timetable(Every(600.0, ANCHOR)).stamp(ANCHOR + 7, "UTC") == "2026-11-21 08:00:07"
    assert Timetable(Every(1.0, ANCHOR)).stamp(ANCHOR, "UTC") == "2026-11-21 08:00:00"
    assert cron("0 8 * * *").stamp(ANCHOR, "Europe/Berlin") == "2026-11-21 09:00"


def test_the_same_rhythm_is_told_from_another():
    def bounded(**options):
        return Timetable(Every(600.0, ANCHOR), **options)

    assert bounded().same_rhythm(Timetable(Every(600.0, ANCHOR + 7)))
    assert not bounded().same_rhythm(Timetable(Every(601.0, ANCHOR)))
    assert not bounded().same_rhythm(bounded(max_runs=3))
    assert not cron("0 8 * * *").same_rhythm(cron("0 9 * * *"))


def test_a_crontab_keeps_what_was_written():
    assert isinstance(RULES[1], Cron)
    assert RULES[1].text == "*/5 9-17 * * mon-fri"
