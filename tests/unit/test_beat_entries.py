"""What Celery's beat is told by a schedule's entry: whether it is due, and when to ask again."""

import json
from datetime import datetime, timedelta, timezone

import pytest
from celery import Celery
from celery.schedules import crontab, schedule

from nbqueue.core.timetable import Every, Times, Timetable
from nbqueue.store.schedules import beat, beatsettings
from nbqueue.worker.beat import BeatScheduler

NOON = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)


def due(rule, after_s, **bounds):
    """An entry's schedule, a while after noon."""
    now = NOON + timedelta(seconds=after_s)
    return beat.Due(Timetable(rule, **bounds), nowfun=lambda: now)


@pytest.fixture
def app():
    app = Celery(set_as_current=False)
    beatsettings.configure(app, "redis://127.0.0.1:1/0")
    return app


def test_before_its_time_it_is_not_due():
    assert due(Every(600.0, NOON.timestamp()), 590).is_due(NOON) == (False, 10)


def test_at_its_time_it_is_due_and_asked_again_at_the_next():
    is_due, again = due(Every(600.0, NOON.timestamp()), 600.25).is_due(NOON)
    assert is_due
    assert again == pytest.approx(599.75)


def test_after_many_missed_runs_one_is_due():
    late = due(Every(600.0, NOON.timestamp()), 6_010)
    assert late.is_due(NOON) == (True, 590)
    assert late.is_due(NOON + timedelta(seconds=6_010)) == (False, 590)


def test_what_is_too_late_is_not_due():
    late = due(Every(600.0, NOON.timestamp()), 6_100, starting_deadline=60)
    assert late.is_due(NOON) == (False, 500)


def test_what_is_over_is_never_due():
    once = Times(((NOON + timedelta(seconds=5)).timestamp(),), "UTC")
    assert due(once, 5).is_due(NOON) == (True, None)
    assert due(once, 6).is_due(NOON + timedelta(seconds=6)) == (False, None)
    assert due(once, 6).remaining_estimate(NOON + timedelta(seconds=6)) is None


def entry(app, made, **more):
    return beat.Entry(name="x", task="t", schedule=made, app=app, last_run_at=NOON, **more)


def test_an_entry_that_has_run_often_enough_is_over(app):
    made = due(Every(600.0, NOON.timestamp()), 700, max_runs=2)
    assert entry(app, made, total_run_count=1).is_due()[0]
    over = entry(app, made, total_run_count=2)
    assert over.is_due() == (False, None)
    assert over.due_at is None
    assert over.score == -1  # which RedBeat never looks at again


def test_an_entry_is_looked_at_when_it_is_due(app):
    made = entry(app, due(Every(600.0, NOON.timestamp()), 0))
    assert made.score == NOON.timestamp() + 600


def test_entries_survive_their_json(app):
    for made in (due(Every(600.0, 5.0), 0), crontab(minute="5"), schedule(30.0)):
        text = json.dumps({"schedule": made}, cls=beat._Encoder)
        assert beat.Entry.decode_definition(text)["schedule"] == made


def test_a_schedule_of_a_projects_own_is_found_in_its_app(app):
    class Never(schedule):
        def is_due(self, last_run_at):
            return (False, 7)

    app.conf.beat_schedule = {"x": {"task": "t", "schedule": Never(5.0)}}
    text = json.dumps({"schedule": beat.Own("x")}, cls=beat._Encoder)
    assert "Never" not in text
    found = beat.Entry.decode_definition(text)["schedule"]
    assert entry(app, found).is_due() == (False, 7)


def test_a_schedule_of_a_project_that_this_beat_does_not_run_is_not_due(app):
    assert entry(app, beat.Own("x")).is_due() == (False, None)


def test_an_entry_that_fails_does_not_hold_up_the_others(app, caplog):
    class Broken(schedule):
        def is_due(self, last_run_at):
            raise KeyError("a time zone that this machine does not have")

    scheduler = BeatScheduler(app, lazy=True)
    broken = entry(app, Broken(5.0))
    assert scheduler.maybe_due(broken) is None
    assert scheduler.maybe_due(broken) is None
    assert caplog.text.count("entry 'x' cannot be sent") == 1
