"""Records in, state out."""

import math
from array import array
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbqueue.core import states
from nbqueue.core.failing import all_failed
from nbqueue.core.fold import NOTHING, JobState
from nbqueue.core.records import (
    Cancelled,
    Error,
    Finished,
    Progressed,
    Rejected,
    Retried,
    Retrying,
    Started,
)
from nbqueue.core.splitting import indices, runs_of
from tests.unit.builders import make_outcomes, make_spec, make_state

N = 12


def fold(records, n=N):
    state = JobState(make_spec(n))
    for record in records:
        state.apply(record)
    return state


def seen(state):
    """All that a person can see of each item, wherever its batch stands."""
    rows = []
    for i in range(state.n):
        batch, place = state.batch_of[i], state.place[i]
        worker = state.worker[i]
        rows.append(
            (
                states.NAMES[state.states[i]],
                state.done[i],
                state.round[i],
                state.attempts[i],
                repr(state.started[i]),
                repr(state.run_s[i]),
                repr(state.memory_mb[i]),
                state.workers[worker] if worker != 0xFFFF else None,
                (state.batches[batch - 1], place) if batch else None,
                state.error(i),
                state.rejections.get(i),
                state.running.get(i),
                state.retries.get(i),
            )
        )
    return rows, state.counts, state.current_round, state.name, state.task, state.function


@st.composite
def runs(draw, n=N):
    edges = sorted(draw(st.lists(st.integers(0, n), min_size=2, max_size=6, unique=True)))
    pairs = list(pairwise(edges))
    chosen = [pair for pair in pairs if draw(st.booleans())] or pairs[:1]
    return tuple(draw(st.permutations(chosen)))


@st.composite
def batches(draw, *, newest=1):
    chosen = draw(runs())
    items = list(indices(chosen))
    return make_outcomes(
        chosen,
        round=draw(st.integers(1, newest)),
        failed=draw(st.lists(st.sampled_from(items), unique=True)),
        worker=draw(st.sampled_from(["w1", "w2", "w3"])),
        at=draw(st.integers(1001, 1100)) * 1.0,
    )


item_numbers = st.integers(-1, N + 2)


@st.composite
def logs(draw):
    """Any records in any order, of rounds that have begun, retries as a client makes them."""
    log, state = [], JobState(make_spec(N))
    for _ in range(draw(st.integers(0, 12))):
        others = ["started", "retrying", "cancel", "retry", "reject"]
        kind = draw(st.sampled_from(["outcomes"] * 4 + others))
        at = 1001.0 + len(log)
        if kind == "outcomes":
            record = draw(batches(newest=state.current_round))
        elif kind == "started":
            worker = draw(st.sampled_from(["w1", "w2"]))
            round_ = draw(st.integers(1, state.current_round))
            record = Started(round_, worker, "m", draw(item_numbers), at)
        elif kind == "retrying":
            round_ = draw(st.integers(1, state.current_round))
            found = draw(st.lists(item_numbers, max_size=4))
            items = tuple((i, draw(st.integers(1, 3)), at + 5, 0) for i in found)
            record = Retrying(round_, "w1", items, (Error("ValueError", f"{at}", "tb"),))
        elif kind == "cancel":
            record = Cancelled(at, draw(st.none() | runs()), draw(st.integers(1, 3)))
        elif kind == "reject":
            round_ = draw(st.integers(1, state.current_round))
            record = Rejected(round_, draw(runs(N + 3)), "w9", "BadSignature")
        else:
            failed = runs_of(state.where(states.FAILURE_CODE))
            record = Retried(state.current_round + 1, tuple(failed), at, "fit", f"f{len(log)}")
        state.apply(record)
        log.append(record)
    return log


@given(logs(), st.data())
def test_a_repeated_record_changes_nothing(log, data):
    once = fold(log)
    twice = JobState(make_spec(N))
    for k, record in enumerate(log):
        twice.apply(record)
        for again in data.draw(st.lists(st.sampled_from(log[: k + 1]), max_size=3)):
            assert twice.apply(again) == NOTHING
    assert seen(twice) == seen(once)
    assert twice.workers == once.workers
    assert twice.batches == once.batches
    assert twice.submitted == once.submitted
    assert twice.cancelled_at == once.cancelled_at


@given(logs())
def test_counts_always_equal_a_recount(log):
    state = JobState(make_spec(N))
    for record in log:
        state.apply(record)
        assert state.counts == [bytes(state.states).count(c) for c in range(len(states.NAMES))]
        assert [bool(d) for d in state.done] == [s >= states.FIRST_DONE_CODE for s in state.states]
        assert sum(state.counts) == N
        assert state.finished is (sum(state.done) == N)
        assert set(state.running) == set(state.where(states.STARTED_CODE))
        assert {len(c) for c in (state.states, state.done, state.started, state.place)} == {N}
        assert all(state.states[i] == states.FAILURE_CODE for i in state.rejections)


@given(logs())
def test_changes_say_exactly_what_changed(log):
    state, open_ = JobState(make_spec(N)), set(range(N))
    for record in log:
        before = state.finished
        changes = state.apply(record)
        done = list(indices(changes.done))
        assert len(done) == len(set(done))
        assert set(done) <= open_
        open_ -= set(done)
        open_ |= set(indices(changes.reset))
        assert open_ == {i for i in range(N) if not state.done[i]}
        assert changes.finished is (state.finished and not before)


@given(st.data())
def test_the_order_of_different_items_does_not_matter(data):
    # Each item is in one batch of each of two rounds; batches come in any order, some repeatedly.
    cuts = sorted(data.draw(st.sets(st.integers(1, N - 1), max_size=5)))
    edges = [0, *cuts, N]
    parts = [
        make_outcomes(
            [(a, b)],
            failed=data.draw(st.sets(st.integers(a, b - 1))),
            worker=f"w{a}",
            at=1000.0 + a,
        )
        for a, b in pairwise(edges)
    ]
    one = fold(parts)
    other = fold(data.draw(st.permutations(parts * 2)))
    assert seen(other)[:3] == seen(one)[:3]


@given(batches(), batches())
def test_of_two_outcomes_the_first_counts(first, second):
    state = fold([first, second])
    both = set(indices(first.runs)) & set(indices(second.runs))
    assert all(state.batches[state.batch_of[i] - 1] is first for i in both)
    assert all(state.attempts[i] == 1 for i in both)


def test_a_run_that_died_with_its_worker_counts_if_it_was_noted():
    first, second = (Started(1, w, "m", 0, at) for w, at in (("w1", 1000.0), ("w2", 1010.0)))
    ended = make_outcomes([(0, 1)], worker="w2", at=1009.0)
    assert fold([first, second, ended]).attempts[0] == 2
    assert fold([first, ended]).attempts[0] == 2
    assert fold([second, second, ended]).attempts[0] == 1
    given_up = replace(ended, base=1020.0, run_s=array("f", [0.0]))
    assert fold([first, second, given_up]).attempts[0] == 2


def test_what_never_began_has_no_attempt_and_no_worker():
    error = Error("UpstreamFailed", "not begun", "")
    record = all_failed([(0, 3)], error, round_=1, worker="w1", at=1001.0, times=math.nan)
    state = fold([record])
    assert seen(state)[0][2][:4] == ("FAILURE", 1, 1, 0)
    assert seen(state)[0][2][6:8] == ("nan", None)
    assert state.error(2) == error
    again = Retried(2, ((0, 3),), 1002.0, "fit", "")
    state = fold([record, again, make_outcomes([(0, 3)], round=2)])
    assert (state.attempts[0], state.workers) == (1, ["w1"])


def test_the_end_is_that_of_the_last_item_also_of_one_that_is_run_again():
    late, early = make_outcomes([(0, 6)], at=2000.0), make_outcomes([(6, N)], at=1000.0)
    end = fold([late, early]).ended_at
    assert end == pytest.approx(2000.0 + late.started[-1] + late.run_s[-1], abs=1e-3)
    again = Retried(2, ((0, 6),), 1500.0, "t", "f")
    rerun = make_outcomes([(0, 6)], at=1600.0, round=2)
    state = fold([late, early])
    assert state.ended_at == end
    for record in (again, rerun):
        state.apply(record)
    assert (state.n_done, state.current_round) == (N, 2)
    assert state.ended_at == fold([late, early, again, rerun]).ended_at == end


def test_a_run_that_was_cancelled_counts():
    begun = Started(1, "w1", "m", 3, 1000.0)
    state = fold([begun, Cancelled(1001.0, ((2, 5),))])
    assert list(state.attempts[2:5]) == [0, 1, 0]
    assert state.started[3] == 1000.0


def again(*items, retries=1, round=1, at=1100.0):
    error = Error("OSError", "not yet", "tb")
    return Retrying(round, "w1", tuple((i, retries, at, 0) for i in items), (error,))


def test_an_item_that_waits_for_its_retry_says_why_and_counts_its_attempts():
    state = fold([Started(1, "w1", "m", 2, 1001.0), again(2, 5), again(2, retries=3, at=1200.0)])
    assert state.where(states.RETRY_CODE) == [2, 5]
    assert str(state.error(2)) == "OSError: not yet"
    assert (state.retries[2].eta, state.retries[5].eta) == (1200.0, 1100.0)
    assert (state.attempts[2], state.attempts[5]) == (3, 1)
    assert state.name == "STARTED"
    assert not state.running
    assert math.isnan(state.started[2])  # it keeps no worker busy
    state.apply(Started(1, "w1", "m", 2, 1001.0))
    assert state.where(states.RETRY_CODE) == [2, 5]
    state.apply(Started(1, "w1", "m2", 2, 1201.0))
    assert state.where(states.STARTED_CODE) == [2]
    state.apply(make_outcomes([(2, 3)]))
    assert state.attempts[2] == 4
    assert state.error(2) is None


def test_a_cancelled_item_waits_no_longer_and_a_new_round_begins_its_retries_anew():
    state = fold([again(1, 2), Cancelled(1001.0, ((1, 2),)), make_outcomes([(2, 3)], failed=[2])])
    assert state.where(states.REVOKED_CODE) == [1]
    state.apply(Retried(2, ((2, 3),), 1002.0, "fit", "g"))
    state.apply(again(2))
    assert state.where(states.RETRY_CODE) == []
    state.apply(again(2, round=2))
    assert state.where(states.RETRY_CODE) == [2]


def test_stragglers_of_an_old_round_change_nothing():
    first = make_outcomes([(0, N)], failed=[3, 4])
    state = fold([first, Retried(2, ((3, 5),), 1002.0, "fit", "f2")])
    assert state.states[3] == states.PENDING_CODE
    assert (state.function, state.submitted) == ("f2", [1000.0, 1002.0])
    for late in (first, Rejected(1, ((3, 5),), "w", "r"), Started(1, "w9", "m", 3, 1003.0)):
        assert state.apply(late) == NOTHING
    assert state.workers == ["w1"]
    assert state.apply(make_outcomes([(3, 5)], round=2)).finished
    assert list(state.attempts) == [1, 1, 1, 2, 2, 1, 1, 1, 1, 1, 1, 1]


def test_outcomes_of_a_round_that_has_not_begun_change_nothing():
    state = fold([make_outcomes([(0, N)], round=2), Rejected(2, ((0, N),), "w", "r")])
    assert (state.n_done, state.batches, state.workers) == (0, [], [])


def test_a_retry_sets_back_only_its_items_and_leaves_no_trace_of_their_last_run():
    log = [
        Progressed(2, 1.0, 2.0),
        make_outcomes([(0, 5)], failed=[2]),
        Rejected(1, ((5, 7),), "w9", "BadSignature"),
        Retried(2, ((2, 3), (5, 6)), 1002.0, "fit", "f2"),
    ]
    state = fold(log)
    fresh = JobState(make_spec(N))
    for i in (2, 5):
        now, then = seen(state)[0][i], seen(fresh)[0][i]
        assert now[:2] == then[:2]
        assert now[4:] == then[4:]
        assert now[2] == 2
    assert list(state.rejections) == [6]
    assert state.progress == {}
    assert state.counts[states.SUCCESS_CODE] == 4


def test_a_retry_that_skips_a_round_is_ignored():
    failed = make_outcomes([(0, N)], failed=range(N))
    state = fold([failed, Retried(3, ((0, N),), 1002.0, "fit", "f2")])
    assert (state.current_round, state.n_done) == (1, N)


def test_a_late_outcome_of_a_cancelled_item_changes_nothing():
    state = fold([Cancelled(1001.0, ((2, 4),), 1)])
    state.apply(make_outcomes([(0, N)]))
    assert [i for i in range(N) if state.states[i] == states.REVOKED_CODE] == [2, 3]
    assert (state.finished, state.name) == (True, states.REVOKED)
    whole = fold([make_outcomes([(0, 4)]), Cancelled(1002.0), make_outcomes([(0, N)])])
    assert whole.counts[states.SUCCESS_CODE] == 4
    assert whole.counts[states.REVOKED_CODE] == N - 4
    assert whole.cancelled_at == 1002.0


def test_a_cancellation_read_twice_does_not_reach_what_was_retried_since():
    cancelled = Cancelled(1002.0)
    state = fold([make_outcomes([(0, 4)], failed=[0]), cancelled])
    state.apply(Retried(2, ((0, 1),), 1003.0, "fit", "f2"))
    assert state.apply(cancelled) == NOTHING
    assert state.states[0] == states.PENDING_CODE
    assert state.cancelled_at is None
    assert state.apply(Cancelled(1004.0)).done == ((0, 1),)


def test_a_started_item_is_running_until_it_ends_however_it_ends():
    begun = [Started(1, "w1", "m", i, 1001.0) for i in range(4)]
    ends = [
        make_outcomes([(0, 1)]),
        Cancelled(1002.0, ((1, 2),), 1),
        Rejected(1, ((2, 3),), "w", "r"),
    ]
    state = fold(begun)
    assert (state.name, sorted(state.running)) == (states.STARTED, [0, 1, 2, 3])
    for record in ends:
        state.apply(record)
    assert list(state.running) == [3]


def test_an_item_begun_again_elsewhere_shows_where_it_runs_now():
    state = fold([Started(1, "w1", "m1", 0, 1001.0), Started(1, "w2", "m2", 0, 1005.0)])
    state.apply(Started(1, "w1", "m1", 0, 1001.0))
    assert state.running[0].message_id == "m2"
    assert state.workers[state.worker[0]] == "w2"


@pytest.mark.parametrize(
    "record",
    [
        make_outcomes([(0, 2), (N - 1, N + 1)]),
        make_outcomes([(N - 1, N + 1), (0, 2)]),
        Rejected(1, ((N, N + 5), (-9, -2), (5, 3), (4, 4)), "w", "r"),
        Rejected(300, ((0, N),), "w", "r"),
        Rejected(0, ((0, N),), "w", "r"),
        Started(1, "w", "m", N, 1.0),
        Started(1, "w", "m", -1, 1.0),
        Progressed(N, 1.0, 2.0),
        Progressed(-1, 1.0, 2.0),
        Cancelled(1.0, ((N, N + 3),), 1),
        Retried(2, ((N - 1, N + 1),), 1.0, "t", "f"),
        Finished(1.0),
        make_spec(3),
    ],
    ids=lambda record: f"{record.kind}",
)
def test_what_concerns_no_item_of_the_job_changes_nothing(record):
    state = JobState(make_spec(N))
    before = seen(state)
    assert state.apply(record) == NOTHING
    assert seen(state) == before
    assert state.progress == {}


def test_progress_is_the_latest_of_each_item():
    state = fold([Progressed(1, 1.0, 3.0), Progressed(1, 2.0, 3.0), Progressed(4, 1.0, None)])
    assert {i: r.done for i, r in state.progress.items()} == {1: 2.0, 4: 1.0}


def test_the_state_of_a_job_is_that_of_its_worst_item():
    assert fold([]).name == states.PENDING
    assert fold([make_outcomes([(0, 1)], failed=[0])]).name == states.STARTED
    assert fold([make_outcomes([(0, N)])]).name == states.SUCCESS
    assert fold([make_outcomes([(0, N - 1)]), Cancelled(1.0)]).name == states.REVOKED
    assert fold([make_outcomes([(0, N - 1)], failed=[3]), Cancelled(1.0)]).name == states.FAILURE


def test_a_job_of_no_items_is_a_success():
    state = JobState(make_spec(0))
    assert (state.finished, state.name, state.n_done) == (True, states.SUCCESS, 0)
    assert state.apply(Cancelled(1.0)) == NOTHING


def test_one_error_may_be_that_of_all_items():
    batch = make_outcomes([(0, N)], failed=range(N))
    state = fold([replace(batch, errors=batch.errors[:1], error_of=())])
    assert {str(state.error(i)) for i in range(N)} == {"ValueError: bad 0"}


def test_attempts_stop_at_255_and_so_do_rounds():
    state = JobState(make_spec(1))
    for round_ in range(1, 256):
        state.apply(make_outcomes([(0, 1)], round=round_, failed=[0]))
        state.apply(Retried(round_ + 1, ((0, 1),), 1.0, "t", "f"))
    assert (state.current_round, state.attempts[0], state.states[0]) == (255, 255, 4)


def test_more_workers_than_can_be_told_apart_do_no_harm():
    state = JobState(make_spec(70_000))
    for i in range(70_000):
        state.apply(make_outcomes([(i, i + 1)], worker=f"w{i}", values=[None]))
    assert state.finished
    assert state.workers[state.worker[65_534]] == "w65534"
    assert state.worker[65_535] == state.worker[69_999] == 0xFFFF


def test_a_million_items_cost_no_object_each():
    import tracemalloc

    batch = make_outcomes([(0, 1_000_000)], values=[None] * 1_000_000)
    tracemalloc.start()
    state = JobState(make_spec(1_000_000))
    state.apply(batch)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert state.finished
    assert size < 35_000_000


def test_the_errors_of_a_large_batch_are_found_at_once():
    n = 20_000
    state = fold([make_outcomes([(0, n)], failed=range(n))], n)
    assert [state.error(i).message for i in (0, 1, n - 1)] == ["bad 0", "bad 1", f"bad {n - 1}"]
    assert sum(state.error(i) is not None for i in range(n)) == n


def test_a_job_has_ended_when_its_last_item_has():
    state = make_state(4, make_outcomes([(0, 2)], at=1001.0))
    assert state.ended_at is None
    state.apply(make_outcomes([(3, 4)], at=1009.0))
    state.apply(make_outcomes([(2, 3)], failed=[2], at=1002.0))
    assert state.ended_at == 1009.25
    state.apply(Retried(2, ((2, 3),), 1020.0, "fit", "f"))
    assert state.ended_at is None
    state.apply(Cancelled(1030.0))
    assert state.ended_at == 1030.0


def test_a_cancellation_that_comes_after_the_end_does_not_move_it():
    state = make_state(2, make_outcomes([(0, 2)]), Cancelled(1999.0))
    assert state.ended_at == 1001.75


def test_a_job_of_which_nothing_could_run_ended_when_it_was_asked_for():
    assert make_state(0).ended_at == 1000.0
    assert make_state(2, Rejected(1, ((0, 2),), "w", "m")).ended_at == 1000.0
