"""Items that are put off, in the store: each attempt once, none that is over, on both Redises."""

import time

import pytest

from nbqueue.core import states
from nbqueue.core.fold import JobState
from nbqueue.core.records import Cancelled, Error, Retried, Retrying
from nbqueue.store import keys
from nbqueue.store.log.joblog import JobLog
from nbqueue.store.signing import Keyring
from tests.unit.builders import KEY, make_outcomes, make_spec

SPEC = make_spec(20)
WHY = (Error("OSError", "away", "tb"),)


@pytest.fixture
def joblog(store):
    log = JobLog(store, Keyring(KEY))
    log.open(log.opening(SPEC))
    return log


def put_off(joblog, *items, retries=1, round=1, due=5000.0, envelope="m"):
    record = Retrying(round, "w1", tuple((i, retries, due, 0) for i in items), WHY)
    kept = [(due, envelope, [(i, retries) for i in items])]
    return joblog.put_off(SPEC.id, record, kept, SPEC.function)


def waiting(joblog):
    state = JobState(SPEC)
    for entry in joblog.read(SPEC.id):
        state.apply(entry.record)
    return state.where(states.RETRY_CODE)


def test_a_message_is_kept_until_it_is_due_and_the_log_says_so(store, joblog):
    reply = put_off(joblog, 3, 7, due=5000.5)
    assert reply[:4] == (1, 2, 20, 0)
    assert store.zrange(keys.LATER, 0, -1, withscores=True) == [(b"m", 5000.5)]
    assert store.llen(keys.LATER_BELL) == 1
    assert waiting(joblog) == [3, 7]
    assert store.ttl(keys.retries(SPEC.id, 1)) > 0


def test_putting_off_again_with_the_same_attempt_changes_nothing(store, joblog):
    put_off(joblog, 3)
    assert put_off(joblog, 3, envelope="twin").recorded == 0
    assert store.zcard(keys.LATER) == 1
    assert put_off(joblog, 3, retries=2, envelope="next").recorded == 1
    assert store.zcard(keys.LATER) == 2


def test_an_item_that_has_ended_is_not_put_off(store, joblog):
    joblog.commit(SPEC.id, make_outcomes([(3, 4)]), 1001.0)
    joblog.cancel(SPEC.id, Cancelled(1002.0, ((7, 8),)))
    assert put_off(joblog, 3, 7).recorded == 0
    assert store.zcard(keys.LATER) == 0
    joblog.cancel(SPEC.id, Cancelled(1003.0))
    reply = put_off(joblog, 9)
    assert (reply.recorded, reply.left, reply.cancelled) == (0, 0, 1)
    assert waiting(joblog) == []


def test_a_job_that_is_not_open_or_was_forgotten_keeps_nothing(store, joblog):
    put_off(joblog, 2)
    store.zrem(keys.LATER, "m")
    joblog.forget(SPEC.id)
    assert not store.exists(keys.retries(SPEC.id, 1))
    assert put_off(joblog, 1).known == 2
    store.flushall()
    assert put_off(joblog, 1).known == 0
    assert store.zcard(keys.LATER) == 0


def test_each_round_counts_its_own_retries(joblog):
    put_off(joblog, 3)
    joblog.commit(SPEC.id, make_outcomes([(3, 4)], failed=[3]), 1001.0)
    joblog.retry(SPEC.id, Retried(2, ((3, 4),), 1002.0, "fit", "f" * 64))
    assert put_off(joblog, 3, round=1, retries=2).recorded == 0
    assert put_off(joblog, 3, round=2).recorded == 1
    assert put_off(joblog, 3, round=9).recorded == 0


@pytest.mark.parametrize("others", [0, 200])
def test_a_message_leaves_out_what_another_one_is_to_run(joblog, store, others):
    # However many there are: they are asked for one by one, or read all at once.
    for item in range(others):
        store.hset(keys.retries(SPEC.id, 1), item + 10, 1)
    assert joblog.unretried(SPEC.id, 1, [(0, 10)], {}) == [(0, 10)]
    put_off(joblog, 2, 5)
    put_off(joblog, 5, retries=2)
    assert joblog.unretried(SPEC.id, 1, [(0, 4), (5, 10)], {}) == [(0, 2), (3, 4), (6, 10)]
    assert joblog.unretried(SPEC.id, 1, [(2, 3), (5, 6)], {2: 1, 5: 1}) == [(2, 3)]
    assert joblog.unretried(SPEC.id, 1, [(5, 6)], {5: 2}) == [(5, 6)]
    assert joblog.unretried(SPEC.id, 2, [(0, 10)], {}) == [(0, 10)]


def test_what_is_due_in_weeks_finds_its_function_then(joblog, store):
    function, day = keys.function(SPEC.function), 24 * 3600
    store.set(function, b"pickled", ex=8 * day)
    put_off(joblog, 1, due=time.time() + 60)
    assert store.ttl(function) <= 8 * day
    put_off(joblog, 2, due=time.time() + 30 * day)
    assert store.ttl(function) >= 37 * day
    put_off(joblog, 3, due=time.time() + 3 * day)
    assert store.ttl(function) >= 37 * day
