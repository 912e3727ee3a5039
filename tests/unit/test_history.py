"""An item's life from the records of its job's log."""

import math
from array import array

import pytest

from nbqueue.core.failing import all_failed
from nbqueue.core.history import history
from nbqueue.core.records import (
    Cancelled,
    Error,
    Expanded,
    Outcomes,
    Progressed,
    Rejected,
    Retried,
    Retrying,
    Route,
    Started,
)
from tests.unit.builders import make_outcomes, make_spec


def told(*records, item=3, at=1001.0):
    return history([(at, record) for record in records], item)


def kinds(found):
    return [event.kind for event in found.events]


def begun(worker="w1", at=1001.0, item=3, round=1):
    return Started(round, worker, "m1", item, at)


def test_an_item_that_succeeded_was_submitted_begun_and_ended():
    spec = make_spec(route=Route(queue="gpu"), origin="c1")
    found = told(spec, make_outcomes([(0, 10)]))
    assert kinds(found) == ["submitted", "begun", "succeeded"]
    submitted, start, end = found.events
    assert submitted.at == 1000.0
    assert submitted.text == "a job of 10 items to queue 'gpu' by client c1 (Python 3.11)"
    assert (start.at, start.worker) == (pytest.approx(1002.5), "w1")
    assert (end.at, end.text) == (pytest.approx(1002.75), "succeeded after 0.25 s")


def test_the_beginning_of_a_long_attempt_is_told_once():
    found = told(make_spec(), begun(at=1002.5), begun(at=1002.5), make_outcomes([(0, 10)]))
    assert kinds(found) == ["submitted", "begun", "succeeded"]


def test_a_failure_says_what_it_was_and_other_items_do_not_concern_it():
    found = told(begun(item=4), make_outcomes([(3, 5)], failed=[3]), Progressed(3, 1, 2))
    assert kinds(found) == ["begun", "failed"]
    assert found.events[-1].text == "failed after 0.25 s: ValueError: bad 3"


def test_what_never_began_failed_nowhere():
    error = Error("UpstreamFailed", "not begun", "")
    (failed,) = told(
        all_failed([(3, 4)], error, round_=1, worker="w1", at=1001.0, times=math.nan)
    ).events
    assert (failed.kind, failed.at, failed.worker) == ("failed", 1001.0, "")


def test_an_attempt_that_is_not_heard_of_again_was_lost():
    found = told(
        begun("w1", 1001.0), begun("w2", 1005.0), make_outcomes([(3, 4)], worker="w2", at=1005.0)
    )
    assert kinds(found) == ["begun", "lost", "begun", "succeeded"]
    assert found.events[1].worker == "w1"
    assert found.lost == 1


def test_a_run_by_another_worker_than_the_last_that_was_noted_means_that_one_is_gone():
    found = told(begun("w1", 1001.0), make_outcomes([(3, 4)], worker="w2", at=1009.0))
    assert kinds(found) == ["begun", "lost", "begun", "succeeded"]
    assert found.lost == 1


def test_an_item_that_killed_its_process_twice_died_twice():
    lost = all_failed([(3, 4)], Error("WorkerLost", "died", ""), round_=1, worker="w1", at=1003.0)
    found = told(begun(at=1001.0), begun(at=1002.0), lost)
    assert kinds(found) == ["begun", "lost", "begun", "lost", "failed"]
    assert found.lost == 2
    assert found.events[-1].text == "failed: WorkerLost: died"


def test_a_retry_says_why_and_when():
    why = Error("ValueError", "not yet", "")
    found = told(
        Retrying(1, "w1", ((3, 1, 1011.0, 0), (4, 1, 1011.0, 0)), (why,)),
        Retrying(1, "w1", ((3, 2, 900.0, 0),), (why,)),
    )
    texts = [event.text for event in found.events]
    assert texts == ["ValueError: not yet; retry 1 in 10 s", "ValueError: not yet; retry 2 at once"]


def test_attempts_are_counted_whose_beginning_was_not_noted():
    why = Error("ValueError", "not yet", "")
    first = Retrying(1, "w1", ((3, 1, 1001.0, 0),), (why,))
    second = Retrying(1, "w1", ((3, 2, 1002.0, 0),), (why,))
    third = make_outcomes([(3, 4)], failed=[3])
    assert told(first, second, third).events[-2].text == "attempt 3"
    assert told(first, first, second, third).events[-2].text == "attempt 3"  # read twice
    assert told(begun(at=1000.5), first, second, third).events[-2].text == "attempt 3"
    again = (Retried(2, ((3, 4),), 1010.0, "fit", "f" * 64), make_outcomes([(3, 4)], round=2))
    assert told(first, second, third, *again).events[-2].text == "attempt 4"


def test_retries_on_the_spot_are_counted():
    batch = make_outcomes([(3, 4)], failed=[3])
    fields = {**batch.__dict__, "retries": ((3, 2),)}
    again = (Retried(2, ((3, 4),), 1010.0, "fit", "f" * 64), make_outcomes([(3, 4)], round=2))
    found = told(Outcomes(**fields), *again)
    assert "failed after 0.25 s, retried 2 times on the spot" in found.events[1].text
    assert found.events[-2].text == "attempt 4"


def test_what_comes_from_the_cache_says_so():
    batch = make_outcomes([(3, 4)])
    fields = {**batch.__dict__, "cached": ((3, 4),), "run_s": array("f", [0.0])}
    assert told(Outcomes(**fields)).events[-1].text == "its result came from the cache"


def test_a_round_begins_anew_and_outcomes_of_an_old_one_are_nothing():
    found = told(
        make_outcomes([(3, 4)], failed=[3]),
        Retried(2, ((3, 4),), 1010.0, "fit", "f" * 64),
        make_outcomes([(3, 4)], worker="straggler"),
        make_outcomes([(3, 4)], round=2, at=1011.0),
    )
    assert kinds(found) == ["begun", "failed", "again", "begun", "succeeded"]
    assert found.events[2].text == "job.retry(): round 2"


def test_a_cancellation_gives_its_reason_and_does_not_reach_what_is_over():
    expired = Cancelled(1005.0, ((0, 10),), 1, "expired: not begun by 12:00")
    assert told(expired).events[-1].text == "expired: not begun by 12:00"
    assert kinds(told(begun(), Cancelled(1005.0))) == ["begun", "cancelled"]
    assert kinds(told(make_outcomes([(3, 4)]), Cancelled(1005.0)))[-1] == "succeeded"
    assert kinds(told(Cancelled(1005.0, ((0, 3),)))) == []
    assert kinds(told(expired, expired)) == ["cancelled"]


def test_a_message_that_nobody_trusts_is_told():
    found = told(Rejected(1, ((0, 10),), "w1", "BadSignature"))
    assert found.events[0].text == "refused: its message cannot be trusted (BadSignature)"


def test_an_item_that_a_workflow_found_later_says_where_it_comes_from():
    found = told(make_spec(1), Expanded(1, 3, 5))
    assert found.events[-1].text == "found by the step before: step 1"
