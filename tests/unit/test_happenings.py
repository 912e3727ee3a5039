"""What each record of a log means to whoever listens: records in, happenings out."""

from nbqueue.client.happenings import Happening, happenings
from nbqueue.core.fold import JobState
from nbqueue.core.records import Cancelled, Error, Finished, Rejected, Retrying, Started
from tests.unit.builders import make_outcomes, make_spec


def heard(state, *records):
    return [h for record in records for h in happenings(state, record, state.apply(record))]


def test_outcomes_are_told_in_runs_of_the_same_kind():
    state = JobState(make_spec(6))
    assert heard(state, make_outcomes([(0, 5)], failed=[2])) == [
        Happening("success", 0, 2),
        Happening("failure", 2, 3),
        Happening("success", 3, 5),
    ]


def test_the_last_outcome_ends_the_job_and_finished_is_told_once():
    state = JobState(make_spec(2))
    found = heard(state, make_outcomes([(0, 2)]), Finished(at=1002.0))
    assert found == [Happening("success", 0, 2), Happening("finished")]


def test_a_job_without_items_is_finished():
    assert heard(JobState(make_spec(0)), Finished(at=1001.0)) == [Happening("finished")]


def test_a_repeated_record_tells_nothing():
    state = JobState(make_spec(3))
    started = Started(1, "w1", "m1", 0, 1001.0)
    again = Started(1, "w1", "m1", 0, 1001.0)
    cancelled = Cancelled(1002.0, ((1, 2),))
    assert heard(state, started, cancelled) == [
        Happening("started", 0, 1),
        Happening("revoked", 1, 2),
    ]
    assert heard(state, again, cancelled, make_outcomes([(1, 2)])) == []


def test_retries_are_told_when_they_are_put_off():
    state = JobState(make_spec(2))
    waits = Retrying(1, "w1", ((1, 1, 1010.0, 0),), (Error("E", "x", ""),))
    assert heard(state, waits) == [Happening("retry", 1, 2, retries=1)]


def test_a_refused_message_is_a_failure_of_its_items():
    state = JobState(make_spec(3))
    assert heard(state, Rejected(1, ((0, 2),), "w1", "BadSignature")) == [
        Happening("failure", 0, 2)
    ]
