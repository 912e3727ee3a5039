"""What a job's displays are made of: bounded, right, and without the store."""

import math
from array import array
from dataclasses import replace

import numpy as np
import pytest

from nbqueue.core import states
from nbqueue.core.records import Cancelled, Error, Output, Progressed, Rejected, Retried, Started
from nbqueue.notebook import brief, picture, taking
from nbqueue.notebook.picture import FEW_FAILED, SOME_FAILED
from nbqueue.store.values import arguments, results
from nbqueue.store.values.packing import pack
from tests.unit.builders import DictBlobs, make_live, make_outcomes, make_state

S, F, P, R = states.SUCCESS_CODE, states.FAILURE_CODE, states.PENDING_CODE, states.REVOKED_CODE


def said(item, text, place=0):
    return Output(item, "m", place, {"output_type": "stream", "name": "stdout", "text": text})


def take(state, **options):
    return taking.take(make_live(state, **options))


def packed_results(*values):
    blobs = DictBlobs()
    return [results.Packed(pack(v, blobs)) for v in values]


def test_a_finished_job():
    taken = take(make_state(4, make_outcomes([(0, 4)], failed={1}), said(2, "hi\n")))
    assert (taken.name, taken.task, taken.state, taken.n) == ("grid", "fit", "FAILURE", 4)
    assert taken.counts["SUCCESS"] == 3
    assert taken.finished
    assert taken.eta_s is None
    # Submitted at 1000; the last item starts 1.5 s into the batch of 1001 and runs for 0.25 s.
    assert taken.elapsed_s == pytest.approx(2.75)
    assert taken.items_per_s == pytest.approx(4 / 2.75)
    assert [(f.item, f.error, f.times) for f in taken.failures] == [(1, "ValueError: bad 1", 1)]
    assert taken.traceback == "tb 1"
    assert taken.grid.codes == bytes([S, F, S, S])
    assert [(s.item, s.outputs[0]["text"]) for s in taken.said] == [(2, "hi\n")]


def test_a_job_whose_items_times_nobody_knows_ends_when_it_was_recorded():
    nans = array("f", [math.nan] * 3)
    outcomes = replace(make_outcomes([(0, 3)], at=1004.0), started=nans, run_s=nans)
    taken = take(make_state(3, outcomes))
    assert taken.elapsed_s == pytest.approx(4.0)
    assert taken.timeline.lanes == ()


def test_the_picture_of_a_finished_job_does_not_change_with_the_clock():
    state = make_state(4, make_outcomes([(0, 4)], failed={1}))
    assert take(state, now=1010.0) == take(state, now=9999.0)


def test_a_running_job_has_a_rate_and_an_end_in_sight():
    state = make_state(100, make_outcomes([(0, 50)], at=1001.0))
    taken = take(state, now=1030.0)
    # They end every half second, the last of them at 1025.75: 12 within the last ten seconds.
    assert taken.items_per_s == pytest.approx(1.2)
    assert taken.eta_s == pytest.approx(50 / taken.items_per_s)
    assert not taken.finished


def test_a_job_of_which_nothing_has_ended_promises_nothing():
    taken = take(make_state(3))
    assert (taken.items_per_s, taken.eta_s) == (None, None)


def test_a_job_without_items_is_done():
    taken = take(make_state(0))
    assert taken.finished
    assert taken.elapsed_s == 0
    assert taken.rows == ()


def test_what_was_cancelled_does_not_count_as_run():
    taken = take(make_state(100, make_outcomes([(0, 8)]), Cancelled(1004.0)))
    assert taken.items_per_s == pytest.approx(8 / taken.elapsed_s)


def test_a_cancelled_job_ended_when_it_was_cancelled():
    taken = take(make_state(3, Cancelled(1004.0)))
    assert taken.state == "REVOKED"
    assert taken.elapsed_s == pytest.approx(4.0)


def test_the_same_error_is_listed_once():
    batch = make_outcomes([(0, 300)], failed=range(300))
    same = type(batch)(
        **{
            **batch.__dict__,
            "errors": batch.errors[:2],
            "error_of": tuple((i, i % 2) for i in range(300)),
        }
    )
    taken = take(make_state(300, same))
    assert [(f.item, f.times) for f in taken.failures] == [(0, 100), (1, 100)]
    assert taken.failures_left == 100


def of_classes(n, classes):
    """Items that all failed, with errors of so many classes in turn."""
    batch = make_outcomes([(0, n)], failed=range(n))
    errors = tuple(Error(f"a.b.E{i % classes}", f"bad {i}", f"tb {i}") for i in range(n))
    return make_state(n, replace(batch, errors=errors))


def test_only_the_most_frequent_kinds_of_error_are_listed():
    taken = take(of_classes(50, 48))
    assert [(f.item, f.error, f.times) for f in taken.failures] == [
        (0, "E0: bad 0", 2),
        (1, "E1: bad 1", 2),
        (2, "E2: bad 2", 1),
    ]
    assert taken.failures_left == 45


def test_errors_of_many_messages_are_counted_by_their_class():
    [only] = take(of_classes(50, 1)).failures
    assert (only.item, only.error, only.times) == (0, "E0: bad 0", 50)


def test_the_traceback_is_that_of_the_most_frequent_error():
    batch = make_outcomes([(0, 4)], failed=range(4))
    of = ((0, 0), (1, 1), (2, 1), (3, 1))
    taken = take(make_state(4, replace(batch, errors=batch.errors[:2], error_of=of)))
    assert [f.item for f in taken.failures] == [1, 0]
    assert taken.traceback == "tb 1"


def test_a_refused_message_says_so():
    taken = take(make_state(2, Rejected(1, ((0, 2),), "w9", "bad")))
    assert taken.failures[0].error.startswith("BadSignature")


def test_running_items_tell_how_far_they_are():
    state = make_state(
        5,
        Started(1, "w1", "m", 3, 1005.0),
        Progressed(3, 30, 120, {"loss": 0.25}),
        Started(1, "w2", "m", 4, 1006.0),
    )
    first, second = take(state, now=1010.0).running
    assert (first.item, first.for_s, first.fraction) == (3, 5.0, 0.25)
    assert first.says == "30 of 120, loss 0.25"
    assert (second.worker, second.fraction, second.says) == ("w2", None, "")


def test_nonsense_progress_does_no_harm():
    state = make_state(
        2,
        Started(1, "w1", "m", 0, 1005.0),
        Progressed(0, float("nan"), 10, {}),
        Started(1, "w1", "m", 1, 1005.0),
        Progressed(1, -5, 0, {"a" * 500: "b" * 500}),
    )
    for item in take(state).running:
        assert item.fraction is None or 0 <= item.fraction <= 1
        assert len(item.says) < 700


# -- the user's values ---------------------------------------------------------------------------


def test_calls_are_shown_where_this_process_has_them():
    blobs = DictBlobs()
    block = arguments.pack_columns([[1, 2], ["a", "<b>"]], blobs, ("x", "y"), 0)
    batch = make_outcomes([(0, 2)], failed={1})
    state = make_state(2, batch, params=("x", "y"), block=2)
    taken = take(state, blocks={0: block})
    assert taken.failures[0].call == "x=2, y='<b>'"
    assert taken.columns == ("x", "y", "state", "result", "error", "run", "worker")
    assert taken.rows[0].cells[:4] == ("1", "a", "SUCCESS", "0")
    elsewhere = take(state)
    assert elsewhere.failures[0].call == ""
    assert elsewhere.columns == ("state", "result", "error", "run", "worker")


def test_results_that_are_dicts_have_a_column_a_field():
    batch = make_outcomes([(0, 2)], values=packed_results({"auc": 0.5}, {"auc": 0.25, "n": [1]}))
    taken = take(make_state(2, batch))
    assert taken.columns == ("state", "auc", "n", "error", "run", "worker")
    assert [row.cells[1:3] for row in taken.rows] == [("0.5", ""), ("0.25", "[1]")]


def test_a_large_value_is_not_fetched():
    blobs = DictBlobs()
    big = results.Packed(pack(np.zeros(1_000_000), blobs))
    assert blobs.stored
    taken = take(make_state(1, make_outcomes([(0, 1)], values=[big])))
    assert taken.rows[0].cells[1] == "(large)"


class Rude:
    """Fails whenever it is looked at."""

    def __repr__(self):
        raise RuntimeError("no")


class Unloadable:
    def __reduce__(self):
        return (int, ("not a number",))


def test_a_value_that_cannot_be_shown_is_named_by_its_type():
    assert brief.brief(Rude()) == "<Rude>"
    assert brief.brief([Rude()]) == "<list>"
    assert brief.call(("a",), (Rude(),), {"b": 1}) == "a=<Rude>, b=1"


def test_a_value_that_cannot_be_loaded_leaves_the_rest():
    batch = make_outcomes([(0, 2)], values=packed_results(Unloadable(), {"a": 1}))
    taken = take(make_state(2, batch))
    assert [row.cells[1] for row in taken.rows] == ["(large)", "{'a': 1}"]


@pytest.mark.parametrize(
    "value", ["x" * 10_000, list(range(10_000)), {k: k for k in range(1000)}, "a\nb\r\0", 10**500]
)
def test_values_are_one_short_line(value):
    shown = brief.brief(value)
    assert len(shown) <= 60
    assert "\n" not in shown


def test_arrays_are_told_by_their_shape():
    assert brief.brief(np.zeros((3, 4))) == "ndarray 3 × 4"
    assert brief.brief(np.float64(0.1)) == "0.1"


# -- the grid, bounds ------------------------------------------------------------------------------


def test_few_items_have_a_cell_each():
    assert picture.grid(bytes([S, F, P])).codes == bytes([S, F, P])


@pytest.mark.parametrize(
    ("items", "cell"),
    [
        ([S] * 20, S),
        ([P] * 20, P),
        ([S] * 10 + [P] * 10, states.STARTED_CODE),
        ([S] * 19 + [F], FEW_FAILED),
        ([S] * 17 + [F] * 3, SOME_FAILED),
        ([S] * 8 + [F] * 12, F),
        ([R] + [S] * 19, R),
        ([R] * 10 + [F] + [P] * 9, FEW_FAILED),
    ],
)
def test_many_items_share_a_cell_that_tells_the_worst(items, cell):
    made = picture.grid(bytes(items), cells=1)
    assert made.per_cell == 20
    assert made.codes == bytes([cell])


def test_the_last_cell_may_stand_for_fewer():
    made = picture.grid(bytes([S] * 7), cells=2)
    assert (made.per_cell, made.codes) == (4, bytes([S, S]))


def test_everything_is_bounded_whatever_the_size_of_the_job():
    n = 300_000
    state = make_state(n, block=n)
    step = 50_000
    for a in range(0, n, step):
        state.apply(make_outcomes([(a, a + step)], failed=range(a, a + step, 7), worker=f"w{a}"))
    for i in range(1000):
        state.apply(said(i, "x" * 100))
    taken = take(state)
    assert len(taken.grid.codes) <= picture.CELLS
    assert len(taken.rows) == 20
    assert [failure.times for failure in taken.failures] == [200]
    assert len(taken.said) == 20
    assert taken.said_left == 980
    assert [s.item for s in taken.said] == sorted(s.item for s in taken.said)


def test_what_failed_items_printed_is_shown_before_others():
    n = 100
    state = make_state(n, make_outcomes([(0, n)], failed={90}))
    for i in range(n):
        state.apply(said(i, f"{i}\n"))
    assert 90 in [s.item for s in take(state).said]


def test_a_retried_item_is_no_failure_any_more():
    state = make_state(2, make_outcomes([(0, 2)], failed={1}), said(1, "old"))
    state.apply(Retried(2, ((1, 2),), 1005.0, "fit", "f" * 64))
    taken = take(state)
    assert taken.failures == ()
    assert taken.said == ()
    assert taken.traceback == ""


def test_a_call_whose_error_stands_beside_it_says_only_what_else_it_has_to_say():
    error = {"output_type": "error", "ename": "ValueError", "evalue": "bad 0", "traceback": []}
    state = make_state(
        1, said(0, "hi\n"), Output(0, "m", 1, error), make_outcomes([(0, 1)], failed={0})
    )
    bare = picture.without_error(take(state))
    assert (bare.failures, bare.traceback, bare.state) == ((), "", "FAILURE")
    assert [o["output_type"] for s in bare.said for o in s.outputs] == ["stream"]
    many = take(make_state(2, make_outcomes([(0, 2)], failed={0})))
    assert picture.without_error(many) is many
