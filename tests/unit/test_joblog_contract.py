"""What the store promises, on a fake and on a real Redis: each outcome once, counters that agree
with the log, records that nobody else can have written."""

import logging
from dataclasses import replace

import pytest

from nbqueue.core import states
from nbqueue.core.errors import Expired, UnknownJob
from nbqueue.core.fold import JobState
from nbqueue.core.records import (
    Cancelled,
    Finished,
    JobSpec,
    Outcomes,
    Progressed,
    Rejected,
    Retried,
    Started,
)
from nbqueue.core.splitting import indices
from nbqueue.store import keys
from nbqueue.store.log.joblog import JobLog
from nbqueue.store.signing import Keyring
from nbqueue.store.values import arguments, results
from nbqueue.store.values.arguments import Arguments
from tests.unit.builders import KEY, DictBlobs, make_outcomes, make_spec


@pytest.fixture
def joblog(store):
    return JobLog(store, Keyring(KEY))


def meta(store, job_id):
    names = ("n", "left", "round", "success", "failure", "revoked")
    raw = store.hmget(keys.meta(job_id), names)
    return {name: int(value or 0) for name, value in zip(names, raw, strict=True)}


def folded(joblog, spec):
    state = JobState(spec)
    for entry in joblog.read(spec.id, limit=10_000):
        state.apply(entry.record)
    return state


def assert_counters_equal_the_fold(store, joblog, spec):
    state, counters = folded(joblog, spec), meta(store, spec.id)
    assert counters == {
        "n": spec.n,
        "left": spec.n - state.n_done,
        "round": state.current_round,
        "success": state.counts[states.SUCCESS_CODE],
        "failure": state.counts[states.FAILURE_CODE],
        "revoked": state.counts[states.REVOKED_CODE],
    }


def kinds(joblog, spec):
    return [entry.record.kind for entry in joblog.read(spec.id, limit=10_000)]


# -- opening -----------------------------------------------------------------------------------


def test_a_job_is_opened_once(store, joblog):
    spec = make_spec(5)
    assert joblog.open(joblog.opening(spec)) is True
    assert joblog.open(joblog.opening(spec)) is False
    assert joblog.spec(spec.id) == spec
    assert kinds(joblog, spec) == ["opened"]
    assert store.zrange(keys.ACTIVE, 0, -1) == [spec.id.encode()]


def test_a_job_of_no_items_is_finished_as_it_is_opened(store, joblog):
    spec = make_spec(0)
    joblog.open(joblog.opening(spec))
    assert kinds(joblog, spec) == ["opened", "finished"]
    assert store.zcard(keys.ACTIVE) == 0
    assert store.pttl(keys.meta(spec.id)) > 0
    (summary,) = joblog.summaries()
    assert (summary.n, summary.left, summary.finished) == (0, 0, spec.submitted)


def test_a_single_calls_arguments_are_kept_with_the_job(store, joblog):
    spec = make_spec(1, block=0)
    packed = arguments.pack_call((1,), {"y": 2}, DictBlobs(), ("x", "y"))
    joblog.open(joblog.opening(spec, packed))
    block = Arguments(store, Keyring(KEY), DictBlobs()).get(spec.id, 0)
    assert block.call(0) == ((1,), {"y": 2})
    joblog.commit(spec.id, make_outcomes([(0, 1)]), 1001.0)
    assert store.pttl(keys.meta(spec.id)) > 0


# -- outcomes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 7, 8, 9, 15, 16, 63, 64, 65, 100_003])
def test_every_item_is_counted_once_whatever_its_place_in_the_bitmap(store, joblog, n):
    spec = make_spec(n)
    joblog.open(joblog.opening(spec))
    assert joblog.commit(spec.id, make_outcomes([(0, n)]), 1001.0)[:4] == (1, n, 0, 0)
    assert joblog.commit(spec.id, make_outcomes([(0, n)]), 1001.0)[:4] == (1, 0, 0, 0)
    assert joblog.pending(spec.id, 1, 0, n) == (False, [])
    assert store.bitcount(keys.done(spec.id, 1)) == n
    assert kinds(joblog, spec) == ["opened", "outcomes", "finished"]
    assert_counters_equal_the_fold(store, joblog, spec)


@pytest.mark.parametrize("edge", [1, 7, 8, 9, 63, 64, 65, 71, 72])
@pytest.mark.parametrize("width", [1, 7, 8, 9, 16, 17])
def test_a_run_sets_its_own_bits_and_no_others(store, joblog, edge, width):
    spec = make_spec(100)
    joblog.open(joblog.opening(spec))
    reply = joblog.commit(spec.id, make_outcomes([(edge, edge + width)]), 1001.0)
    assert reply[:4] == (1, width, 100 - width, 0)
    assert joblog.pending(spec.id, 1, 0, 100)[1] == [(0, edge), (edge + width, 100)]
    # Its neighbours and itself again: only the neighbours are new.
    again = joblog.commit(spec.id, make_outcomes([(edge - 1, edge + width + 1)]), 1001.0)
    assert again[:4] == (1, 2, 100 - width - 2, 0)
    assert_counters_equal_the_fold(store, joblog, spec)


def test_mixed_states_that_overlap_what_was_recorded_count_only_what_is_new(store, joblog):
    spec = make_spec(20)
    joblog.open(joblog.opening(spec))
    joblog.commit(spec.id, make_outcomes([(0, 3), (10, 12)], failed=[1, 10]), 1001.0)
    reply = joblog.commit(
        spec.id, make_outcomes([(1, 5), (9, 13)], failed=[1, 2, 3, 12], worker="w2"), 1002.0
    )
    assert reply.recorded == 4
    state = folded(joblog, spec)
    assert [i for i in range(20) if state.states[i] == states.FAILURE_CODE] == [1, 3, 10, 12]
    assert str(state.error(1)) == "ValueError: bad 1"
    assert_counters_equal_the_fold(store, joblog, spec)


def test_a_run_of_one_state_over_a_partly_recorded_byte_counts_only_what_is_new(store, joblog):
    spec = make_spec(64)
    joblog.open(joblog.opening(spec))
    joblog.commit(spec.id, make_outcomes([(20, 21)]), 1001.0)
    assert joblog.commit(spec.id, make_outcomes([(3, 61)]), 1001.0).recorded == 57
    assert_counters_equal_the_fold(store, joblog, spec)


def test_no_item_has_two_outcomes_in_the_log(store, joblog):
    """Two processes ran the same message, and recorded a part of it each, in any order."""
    spec = make_spec(60)
    joblog.open(joblog.opening(spec))
    joblog.commit(spec.id, make_outcomes([(0, 3), (10, 30)], failed=[1, 10], worker="w1"), 1001.0)
    late = make_outcomes([(40, 42), (1, 5), (9, 40), (50, 51)], failed=[1, 2, 3, 35], worker="w2")
    late = replace(late, retries=((2, 1), (36, 2)), cached=((36, 39),))
    assert joblog.commit(spec.id, late, 1002.0).recorded == 16
    records = [entry.record for entry in joblog.read(spec.id)]
    batches = [record for record in records if isinstance(record, Outcomes)]
    named = [i for batch in batches for i in indices(batch.runs)]
    assert len(named) == len(set(named)) == 39
    cut = batches[1]
    assert cut.runs == ((40, 42), (3, 5), (9, 10), (30, 40), (50, 51))
    assert (cut.retries, cut.cached) == (((36, 2),), ((36, 39),))
    values = results.Column(cut.results, DictBlobs()).slice(0, 16)
    assert values == [40, 41, None, 4, 9, *range(30, 35), None, *range(36, 40), 50]
    assert [(i, str(cut.error(i))) for i in (3, 35)] == [
        (3, "ValueError: bad 3"),
        (35, "ValueError: bad 35"),
    ]
    assert cut.error(36) is None
    assert_counters_equal_the_fold(store, joblog, spec)


def test_a_batch_of_which_only_successes_are_new_has_no_error(store, joblog):
    spec = make_spec(4)
    joblog.open(joblog.opening(spec))
    joblog.commit(spec.id, make_outcomes([(0, 2)]), 1001.0)
    joblog.commit(spec.id, make_outcomes([(0, 4)], failed=[0]), 1002.0)
    assert folded(joblog, spec).error(3) is None
    assert_counters_equal_the_fold(store, joblog, spec)


def test_an_outcome_of_a_job_that_is_not_open_is_not_recorded(store, joblog):
    spec = make_spec(3)
    assert joblog.commit(spec.id, make_outcomes([(0, 3)]), 1001.0).known == 0
    assert not store.exists(keys.log(spec.id), keys.meta(spec.id), keys.done(spec.id, 1))
    assert joblog.note(spec.id, Started(1, "w", "m", 0, 1001.0)).known == 0


def test_an_outcome_may_bring_what_opens_its_job(store, joblog):
    spec = make_spec(1, block=0)
    packed = arguments.pack_call((7,), {}, DictBlobs(), ("x",))
    reply = joblog.commit(
        spec.id, make_outcomes([(0, 1)]), 1001.0, opening=joblog.opening(spec, packed)
    )
    assert reply[:4] == (1, 1, 0, 0)
    assert kinds(joblog, spec) == ["opened", "outcomes", "finished"]
    assert joblog.open(joblog.opening(spec, packed)) is False
    assert Arguments(store, Keyring(KEY), DictBlobs()).get(spec.id, 0).call(0) == ((7,), {})
    assert store.zcard(keys.ACTIVE) == 0
    assert_counters_equal_the_fold(store, joblog, spec)


@pytest.mark.parametrize("failed", [[], [0]])
@pytest.mark.parametrize("results", [b"", b"r" * 9000])
def test_a_call_in_one_go_leaves_what_opening_and_committing_leave(store, joblog, failed, results):
    left = []
    for in_one_go in (True, False):
        spec = make_spec(1, block=0, name="same")
        opening = joblog.opening(spec, b"Pxyz")
        bell = store.pubsub()
        bell.subscribe(keys.bell(spec.origin))
        while bell.get_message(timeout=30)["type"] != "subscribe":
            pass
        if not in_one_go:
            assert joblog.open(opening)
        outcome = replace(make_outcomes([(0, 1)], failed=failed), results=results)
        reply = joblog.commit(spec.id, outcome, 1001.0, opening=opening)
        rung = bell.get_message(timeout=30)["data"].split(b" ", 3)
        bell.close()
        meta = store.hgetall(keys.meta(spec.id))
        last = meta.pop(b"last")
        assert rung.pop(2) == last
        ttls = [store.pttl(key) > 0 for key in store.keys(keys.base(spec.id) + "*")]
        entries = [entry.record for entry in joblog.read(spec.id)]
        listed = store.zscore(keys.JOBS, spec.id), store.hget(keys.NAMES, "same")
        done = store.get(keys.done(spec.id, 1))
        left.append((reply, rung, meta, ttls, entries, listed, done, store.zcard(keys.ACTIVE)))
        assert joblog.commit(spec.id, outcome, 1002.0, opening=opening).recorded == 0
        store.flushall()
    zeros = {b"success": b"0", b"failure": b"0"}
    assert {**zeros, **left[0][2]} == {**zeros, **left[1][2]}
    assert left[0][:2] + left[0][3:] == left[1][:2] + left[1][3:]


def test_an_outcome_that_opens_but_does_not_finish_a_job_leaves_it_active(store, joblog):
    spec = make_spec(2)
    joblog.commit(spec.id, make_outcomes([(0, 1)]), 1001.0, opening=joblog.opening(spec, b""))
    assert store.zrange(keys.ACTIVE, 0, -1) == [spec.id.encode()]
    assert (
        joblog.commit(
            spec.id, make_outcomes([(1, 2)]), 1001.0, opening=joblog.opening(spec, b"")
        ).left
        == 0
    )
    assert kinds(joblog, spec) == ["opened", "outcomes", "outcomes", "finished"]


def test_a_rejection_fails_its_items_and_no_finished_ones(store, joblog):
    spec = make_spec(10)
    joblog.open(joblog.opening(spec))
    joblog.commit(spec.id, make_outcomes([(0, 4)]), 1001.0)
    reply = joblog.commit(spec.id, Rejected(1, ((2, 7),), "w9", "BadSignature"), 1002.0)
    assert reply[:4] == (1, 3, 3, 0)
    assert folded(joblog, spec).states[2:7] == bytes([3, 3, 4, 4, 4])
    assert_counters_equal_the_fold(store, joblog, spec)


def test_an_outcome_of_a_round_that_does_not_exist_changes_nothing(store, joblog):
    # A rejection's round is what a stranger's message claimed.
    spec = make_spec(10)
    joblog.open(joblog.opening(spec))
    joblog.commit(spec.id, Rejected(7, ((0, 10),), "w9", "BadSignature"), 1002.0)
    joblog.commit(spec.id, make_outcomes([(0, 5)], round=2), 1002.0)
    assert_counters_equal_the_fold(store, joblog, spec)
    assert joblog.commit(spec.id, make_outcomes([(0, 10)]), 1003.0).left == 0


def test_an_outcome_beyond_the_last_item_changes_nothing_beyond_it(store, joblog):
    spec = make_spec(10)
    joblog.open(joblog.opening(spec))
    joblog.commit(spec.id, Rejected(1, ((8, 12),), "w9", "BadSignature"), 1002.0)
    assert_counters_equal_the_fold(store, joblog, spec)


def test_several_notes_are_appended_in_their_order(store, joblog):
    spec = make_spec(2)
    joblog.open(joblog.opening(spec))
    said = [Progressed(0, k, 5) for k in range(5)]
    assert joblog.note(spec.id, Started(1, "w", "m", 0, 1001.0), *said).left == 2
    assert [entry.record for entry in joblog.read(spec.id)][2:] == said


def test_a_note_of_a_finished_job_is_dropped(store, joblog):
    spec = make_spec(2)
    joblog.open(joblog.opening(spec))
    assert joblog.note(spec.id, Started(1, "w", "m", 0, 1001.0)).known == 1
    joblog.commit(spec.id, make_outcomes([(0, 2)]), 1001.0)
    assert joblog.note(spec.id, Progressed(0, 1, 2)).known == 1
    assert kinds(joblog, spec) == ["opened", "started", "outcomes", "finished"]


# -- cancel, retry, forget ---------------------------------------------------------------------


def test_cancelling_everything_revokes_what_is_left(store, joblog):
    spec = make_spec(10)
    joblog.open(joblog.opening(spec))
    joblog.commit(spec.id, make_outcomes([(0, 4)], failed=[2]), 1001.0)
    assert joblog.cancel(spec.id, Cancelled(1002.0)) == 6
    assert joblog.cancel(spec.id, Cancelled(1003.0)) == 0
    late = joblog.commit(spec.id, make_outcomes([(2, 8)]), 1004.0)
    assert (late.recorded, late.left, late.cancelled) == (0, 0, 1)
    assert joblog.pending(spec.id, 1, 0, 10) == (True, [])
    assert kinds(joblog, spec) == ["opened", "outcomes", "cancelled", "finished"]
    assert_counters_equal_the_fold(store, joblog, spec)


def test_cancelling_one_item_revokes_it_alone(store, joblog):
    spec = make_spec(10)
    joblog.open(joblog.opening(spec))
    assert joblog.cancel(spec.id, Cancelled(1002.0, ((3, 4),), 1)) == 1
    assert joblog.cancel(spec.id, Cancelled(1002.5, ((3, 4),), 1)) == 0
    reply = joblog.commit(spec.id, make_outcomes([(0, 10)]), 1004.0)
    assert (reply.recorded, reply.left, reply.cancelled) == (9, 0, 0)
    assert folded(joblog, spec).states[3] == states.REVOKED_CODE
    assert_counters_equal_the_fold(store, joblog, spec)


def test_cancelling_an_item_in_a_round_that_is_over_does_not_touch_its_retry(store, joblog):
    # A client whose reading lags names the round it knows of.
    spec = make_spec(4)
    joblog.open(joblog.opening(spec))
    joblog.commit(spec.id, make_outcomes([(0, 1)], failed=[0]), 1001.0)
    joblog.retry(spec.id, Retried(2, ((0, 1),), 1002.0, "fit", "f2"))
    joblog.cancel(spec.id, Cancelled(1003.0, ((0, 2),), 1))
    assert_counters_equal_the_fold(store, joblog, spec)


def test_a_retry_sets_back_what_failed_and_ignores_stragglers(store, joblog):
    spec = make_spec(10)
    joblog.open(joblog.opening(spec))
    joblog.commit(spec.id, make_outcomes([(0, 6)], failed=[1, 4, 5]), 1001.0)
    assert joblog.retry(spec.id, Retried(2, ((1, 2), (4, 6)), 1002.0, "fit", "f2")) == 3
    assert joblog.pending(spec.id, 2, 0, 10)[1] == [(1, 2), (4, 6)]
    # A straggler of the first round: what was retried is not its to decide, the rest is.
    late = joblog.commit(spec.id, make_outcomes([(4, 10)], round=1), 1003.0)
    assert late.recorded == 4
    assert_counters_equal_the_fold(store, joblog, spec)
    done = joblog.commit(spec.id, make_outcomes([(1, 2), (4, 6)], round=2), 1004.0)
    assert (done.recorded, done.left) == (3, 0)
    assert_counters_equal_the_fold(store, joblog, spec)


def test_only_one_of_two_clients_opens_a_round(store, joblog):
    spec = make_spec(2)
    joblog.open(joblog.opening(spec))
    joblog.commit(spec.id, make_outcomes([(0, 2)], failed=[0, 1]), 1001.0)
    record = Retried(2, ((0, 2),), 1002.0, "fit", "f2")
    assert joblog.retry(spec.id, record) == 2
    assert joblog.retry(spec.id, record) == 0
    assert_counters_equal_the_fold(store, joblog, spec)


def test_a_finished_job_expires_as_a_whole_and_a_retry_keeps_it(store, joblog):
    spec = make_spec(9)
    arguments_ = Arguments(store, Keyring(KEY), DictBlobs())
    arguments_.put(spec.id, 0, arguments.pack_columns([[0]], DictBlobs(), ("x",), 0))
    joblog.open(joblog.opening(spec))
    of_job = [keys.meta(spec.id), keys.log(spec.id), keys.args(spec.id), keys.done(spec.id, 1)]
    joblog.commit(spec.id, make_outcomes([(0, 8)], failed=[3]), 1001.0)
    assert [store.pttl(key) for key in of_job] == [-1] * 4
    joblog.commit(spec.id, make_outcomes([(8, 9)]), 1001.0)
    assert all(store.pttl(key) > 0 for key in of_job)
    joblog.retry(spec.id, Retried(2, ((3, 4),), 1002.0, "fit", "f2"))
    of_job.append(keys.done(spec.id, 2))
    assert [store.pttl(key) for key in of_job] == [-1] * 5
    assert store.zcard(keys.ACTIVE) == 1
    joblog.commit(spec.id, make_outcomes([(3, 4)], round=2), 1003.0)
    assert all(store.pttl(key) > 0 for key in of_job)
    assert store.zcard(keys.ACTIVE) == 0


def test_a_forgotten_job_is_gone_and_stays_gone(store, joblog):
    spec = make_spec(20)
    arguments_ = Arguments(store, Keyring(KEY), DictBlobs())
    arguments_.put(spec.id, 0, arguments.pack_columns([[0]], DictBlobs(), ("x",), 0))
    joblog.open(joblog.opening(spec))
    joblog.commit(spec.id, make_outcomes([(0, 2)], failed=[0]), 1001.0)
    joblog.retry(spec.id, Retried(2, ((0, 1),), 1002.0, "fit", "f2"))
    assert joblog.forget(spec.id) is True
    assert joblog.forget(spec.id) is False
    assert {key for key in store.keys("*") if spec.id.encode() in key} == {
        keys.meta(spec.id).encode()
    }
    assert store.pttl(keys.meta(spec.id)) > 0
    assert store.zcard(keys.JOBS) == store.zcard(keys.ACTIVE) == store.hlen(keys.NAMES) == 0
    # Stragglers find it gone, and do not bring it back.
    for opening in (None, joblog.opening(spec)):
        reply = joblog.commit(spec.id, make_outcomes([(2, 5)]), 1003.0, opening=opening)
        assert (reply.known, reply.cancelled) == (2, 1)
    assert joblog.note(spec.id, Progressed(3, 1, 2)).known == 2
    assert joblog.open(joblog.opening(spec)) is False
    assert joblog.pending(spec.id, 1, 0, 20)[0] is True
    assert joblog.read(spec.id) == []
    with pytest.raises(Expired):
        joblog.cancel(spec.id, Cancelled(1004.0))
    with pytest.raises(Expired):
        joblog.retry(spec.id, Retried(3, ((0, 1),), 1004.0, "fit", "f"))
    with pytest.raises(Expired):
        joblog.spec(spec.id)
    with pytest.raises(UnknownJob):
        joblog.find(spec.id)
    assert joblog.summaries() == []


def test_forgetting_the_older_of_two_jobs_leaves_the_name_to_the_newer(store, joblog):
    old, new = make_spec(1, id="a" * 16), make_spec(1, id="b" * 16)
    joblog.open(joblog.opening(old))
    joblog.open(joblog.opening(new))
    joblog.forget(old.id)
    assert joblog.find("grid") == new.id


# -- who may write -----------------------------------------------------------------------------


def entries(store, spec):
    return store.xrange(keys.log(spec.id))


@pytest.mark.parametrize("field", ["b", "s"])
def test_a_record_that_was_changed_is_refused_and_counted(store, joblog, caplog, field):
    spec = make_spec(3)
    joblog.open(joblog.opening(spec))
    joblog.commit(spec.id, make_outcomes([(0, 2)]), 1001.0)
    ((_, fields),) = entries(store, spec)[1:2]
    changed = dict(fields)
    changed[field.encode()] = changed[field.encode()][:-1] + b"\0"
    store.xadd(keys.log(spec.id), changed)
    with caplog.at_level(logging.WARNING, logger="nbqueue.store"):
        read = joblog.read(spec.id)
    assert joblog.bad_signatures == 1
    assert "bad signature" in caplog.text
    assert [type(e.record) for e in read[:2]] == [JobSpec, Outcomes]
    assert not isinstance(read[2].record, Outcomes)


@pytest.mark.parametrize("kind", ["cancelled", "retried", "opened", "started"])
def test_a_record_without_a_signature_is_refused(store, joblog, kind):
    spec = make_spec(3)
    joblog.open(joblog.opening(spec))
    body = b'{"v":1,"at":1.0,"runs":null}'
    store.xadd(keys.log(spec.id), {"k": kind, "b": body, "s": b""})
    state = folded(joblog, spec)
    assert joblog.bad_signatures == 1
    assert state.counts[0] == 3


def test_a_record_of_another_job_is_refused(store, joblog):
    here, there = make_spec(3, id="a" * 16), make_spec(3, id="b" * 16)
    joblog.open(joblog.opening(here))
    joblog.open(joblog.opening(there))
    joblog.commit(there.id, make_outcomes([(0, 3)], failed=[0]), 1001.0)
    joblog.retry(there.id, Retried(2, ((0, 1),), 1002.0, "fit", "evil"))
    joblog.cancel(there.id, Cancelled(1003.0))
    for _, fields in entries(store, there):
        store.xadd(keys.log(here.id), fields)
    state = folded(joblog, here)
    assert joblog.bad_signatures == 4  # opened, outcomes, retried, cancelled
    assert bytes(state.states) == bytes(3)
    assert state.function == here.function


def test_a_record_under_another_kind_is_refused(store, joblog):
    spec = make_spec(3)
    joblog.open(joblog.opening(spec))
    joblog.note(spec.id, Progressed(0, 1.0, None))
    (_, fields) = entries(store, spec)[1]
    store.xadd(keys.log(spec.id), {**fields, b"k": b"cancelled"})
    folded(joblog, spec)
    assert joblog.bad_signatures == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"x": "y"},
        {"k": b"\xff\xfe", "b": b"", "s": b""},
        {"k": "rejected", "b": b"[" * 100_000, "s": b""},
        {
            "k": "rejected",
            "b": b'{"v":1,"round":1,"runs":[[Infinity,2]],"worker":"w","reason":""}',
            "s": b"",
        },
        {"k": "rejected", "b": b'{"v":9,"round":1,"runs":[]}', "s": b""},
        {"k": "no such kind", "b": b"{}", "s": b""},
    ],
    ids=["no-fields", "kind-no-text", "deep", "infinite", "newer", "unknown-kind"],
)
def test_rubbish_in_a_log_is_passed_over(store, joblog, fields):
    spec = make_spec(3)
    joblog.open(joblog.opening(spec))
    store.xadd(keys.log(spec.id), fields)
    joblog.commit(spec.id, make_outcomes([(0, 3)]), 1001.0)
    assert folded(joblog, spec).finished


def test_records_signed_with_a_key_that_was_rotated_out_first_are_still_read(store):
    old_key, new_key = "an old key that is long enough", "a new key that is long enough"
    before = JobLog(store, Keyring(old_key))
    between = JobLog(store, Keyring(f"{new_key},{old_key}"))
    after = JobLog(store, Keyring(new_key))
    spec = make_spec(2)
    before.open(before.opening(spec))
    between.commit(spec.id, make_outcomes([(0, 1)]), 1001.0)
    assert folded(between, spec).n_done == 1
    assert between.bad_signatures == 0
    assert folded(after, spec).n_done == 1
    assert after.bad_signatures == 1  # the opening
    with pytest.raises(Expired, match="another"):
        after.spec(spec.id)


# -- looking -----------------------------------------------------------------------------------


def test_a_job_is_found_by_id_and_by_its_latest_name(store, joblog):
    joblog.open(joblog.opening(make_spec(1, id="a" * 16)))
    joblog.open(joblog.opening(make_spec(1, id="b" * 16)))
    assert joblog.find("a" * 16) == "a" * 16
    assert joblog.find("grid") == "b" * 16
    with pytest.raises(UnknownJob, match="did you mean 'grid'"):
        joblog.find("gird")


def test_summaries_are_latest_first_and_drop_what_expired(store, joblog):
    joblog.open(joblog.opening(make_spec(1, id="a" * 16, submitted=1.0)))
    joblog.open(joblog.opening(make_spec(2, id="b" * 16, submitted=2.0)))
    joblog.open(joblog.opening(make_spec(3, id="c" * 16, submitted=3.0)))
    store.delete(keys.meta("b" * 16))
    assert [s.n for s in joblog.summaries()] == [3, 1]
    assert store.zcard(keys.JOBS) == 2


def test_summaries_show_single_calls_too(store, joblog):
    packed = arguments.pack_call((7.5, "ü"), {}, DictBlobs(), ("x", "y"))
    joblog.open(joblog.opening(make_spec(1, block=0), packed))
    (summary,) = joblog.summaries()
    assert (summary.name, summary.n, summary.left, summary.finished) == ("grid", 1, 1, None)


def test_reading_goes_on_after_an_entry_and_is_bounded(store, joblog):
    spec = make_spec(10)
    joblog.open(joblog.opening(spec))
    for i in range(10):
        joblog.commit(spec.id, make_outcomes([(i, i + 1)]), 1001.0)
    first = joblog.read(spec.id, limit=3)
    rest = joblog.read(spec.id, first[-1].id)
    assert len(first) == 3
    assert len(rest) == 9  # 8 outcomes and `finished`
    assert isinstance(rest[-1].record, Finished)
    assert joblog.read(spec.id, rest[-1].id) == []


def test_the_bell_names_the_entry_before_and_carries_small_records(store, joblog):
    spec = make_spec(3)
    pubsub = store.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(keys.bell(spec.origin))
    pubsub.get_message(timeout=30)  # that it has subscribed
    joblog.open(joblog.opening(spec))
    joblog.commit(spec.id, make_outcomes([(0, 1)]), 1001.0)
    joblog.commit(spec.id, make_outcomes([(1, 3)], values=["x" * 10_000, 1]), 1002.0)
    ids = [entry_id.decode() for entry_id, _ in entries(store, spec)]
    heard = [pubsub.get_message(timeout=30)["data"] for _ in range(2)]
    assert pubsub.get_message(timeout=0.2) is None
    heads = [data.partition(b"\n")[0].decode().split(" ") for data in heard]
    assert [head[:4] for head in heads] == [
        [spec.id, "0-0", ids[1], "outcomes"],
        [spec.id, ids[1], ids[2], "outcomes"],
    ]
    size, rest = int(heads[0][4]), heard[0].partition(b"\n")[2]
    record = joblog.verified(spec.id, "outcomes", rest[size:], rest[:size])
    assert record == make_outcomes([(0, 1)])
    assert heard[1].partition(b"\n")[2] == b""  # too large: it is fetched
    pubsub.close()


def test_a_swapped_argument_block_is_refused(store, joblog):
    from nbqueue.core.errors import BadSignature

    kept = Arguments(store, Keyring(KEY), DictBlobs())
    for number in (0, 1):
        kept.put("a" * 16, number, arguments.pack_columns([[number]], DictBlobs(), ("x",), number))
    kept.put("b" * 16, 0, arguments.pack_columns([[9]], DictBlobs(), ("x",), 0))
    here = keys.args("a" * 16)
    zero, one = store.hget(here, "0"), store.hget(here, "1")
    assert kept.get("a" * 16, 1).call(0) == ((1,), {})
    for forged in (one, store.hget(keys.args("b" * 16), "0"), zero[:-1] + b"!", b"", b"short"):
        store.hset(here, "0", forged)
        with pytest.raises(BadSignature, match="NBQUEUE_KEY"):
            kept.get("a" * 16, 0)


def test_specs_with_any_text_are_opened(store, joblog):
    spec = replace(make_spec(1), name="ü 🎉 'quoted' \n \x00", task="λ")
    joblog.open(joblog.opening(spec))
    assert joblog.spec(spec.id) == spec
    assert joblog.find(spec.name) == spec.id


# -- waiting for other jobs --------------------------------------------------------------------


def held(joblog, job_id, after):
    spec = replace(make_spec(1), id=job_id, name=job_id, after=after)
    return joblog.hold(joblog.opening(spec), "the message")


def test_a_held_job_is_ready_when_the_last_that_it_waits_for_has_ended(store, joblog):
    first, second = (replace(make_spec(1), id=c * 16) for c in "ab")
    for spec in (first, second):
        joblog.open(joblog.opening(spec))
    after = (first.id, second.id)
    assert held(joblog, "c" * 16, after) == 2
    assert joblog.claim("c" * 16, after) is None
    assert joblog.commit(first.id, make_outcomes([(0, 1)]), 1001.0).ready == 1
    assert store.smembers(keys.READY) == {b"c" * 16}
    assert joblog.claim("c" * 16, after) is None
    assert store.smembers(keys.READY) == set()
    assert joblog.commit(second.id, make_outcomes([(0, 1)]), 1001.0).ready == 1
    assert store.smembers(keys.READY) == {b"c" * 16}
    assert joblog.claim("c" * 16, after) == ("the message", [])
    assert joblog.claim("c" * 16, after) is None, "another process is at it"
    assert 0 < store.pttl(keys.claim("c" * 16)) <= 10_000


def test_a_held_job_of_jobs_that_have_ended_is_ready_at_once(store, joblog):
    spec = make_spec(1)
    joblog.open(joblog.opening(spec))
    joblog.cancel(spec.id, Cancelled(at=1001.0))
    assert held(joblog, "c" * 16, (spec.id,)) == 0
    assert joblog.claim("c" * 16, (spec.id,)) == ("the message", [spec.id])


def test_forgetting_a_job_hands_over_what_waits_for_it(store, joblog):
    spec = make_spec(1)
    joblog.open(joblog.opening(spec))
    held(joblog, "c" * 16, (spec.id,))
    joblog.forget(spec.id)
    assert joblog.claim("c" * 16, (spec.id,)) == ("the message", [spec.id])


def test_a_job_that_waits_for_an_unknown_one_is_not_opened(store, joblog):
    with pytest.raises(UnknownJob, match="nothing was sent"):
        held(joblog, "c" * 16, ("d" * 16,))
    assert store.keys() == []


def test_a_held_message_goes_when_its_job_does(store, joblog):
    spec = make_spec(1)
    joblog.open(joblog.opening(spec))
    held(joblog, "c" * 16, (spec.id,))
    joblog.cancel("c" * 16, Cancelled(at=1001.0))
    assert store.pttl(keys.held("c" * 16)) > 0
    joblog.forget("c" * 16)
    assert not store.exists(keys.held("c" * 16))
