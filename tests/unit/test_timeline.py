"""The timeline of a job: shares of busy time on a page, bars or slices in the widget."""

import numpy as np
import pytest

from nbqueue.core.columns import NOWHERE
from nbqueue.core.records import Started
from nbqueue.notebook import timeline
from tests.unit.builders import make_outcomes, make_state


def columns(started, run_s, worker, workers):
    states = np.zeros(len(started), np.uint8)
    return timeline.Columns(states, started, run_s, worker, workers)


# -- on a page -------------------------------------------------------------------------------------


def test_the_timeline_is_the_share_of_time_that_items_ran():
    started = np.array([0.0, 5.0, 0.0])
    run_s = np.array([5.0, np.nan, 2.5])
    worker = np.array([0, 0, 1])
    found = timeline.timeline(columns(started, run_s, worker, ["a", "b"]), now=10.0)
    a, b = (np.array(lane.busy) for lane in found.lanes)
    assert found.span_s == 10.0
    assert a == pytest.approx(1.0)  # one item after the other, the second still running
    assert b[:30] == pytest.approx(1.0)
    assert b[30:] == pytest.approx(0.0)
    assert sum(b) / len(b) == pytest.approx(0.25)
    assert [lane.items for lane in found.lanes] == [2, 1]


def test_a_timeline_of_nothing_is_empty():
    nothing = np.array([np.nan])
    assert timeline.timeline(columns(nothing, nothing, np.array([NOWHERE]), []), 1.0).lanes == ()
    one = timeline.timeline(columns(np.array([5.0]), np.array([0.0]), np.array([0]), ["a"]), 5.0)
    assert len(one.lanes) == 1


def test_many_workers_are_counted_and_the_busiest_shown():
    n = 100
    names = [f"w{k}" for k in range(50)]
    begun = columns(np.arange(n, dtype=float), np.ones(n), np.arange(n) % 50, names)
    found = timeline.timeline(begun, 0.0)
    assert len(found.lanes) == timeline.PAGE_LANES
    assert found.workers == 50


# -- in the widget ---------------------------------------------------------------------------------


def test_few_items_are_bars_and_a_running_one_reaches_until_now():
    state = make_state(3, make_outcomes([(0, 2)], failed=[1]), Started(1, "v", "m", 2, 1002.0))
    head, buffers = timeline.message(timeline.copy(state), 1004.0)
    start, length, word, lane = map(
        np.frombuffer, buffers, (np.float32, np.float32, np.uint32, np.uint16)
    )
    assert (head["form"], head["lanes"], head["items"]) == ("bars", ["v", "w1"], [1, 2])
    assert (head["first"], head["span"]) == (1001.0, 3.0)
    assert start.tolist() == [0, 0.5, 1]
    assert length.tolist() == [0.25, 0.25, 2]
    assert [(w >> 4, w & 15) for w in word] == [(0, 3), (1, 4), (2, 1)]
    assert lane.tolist() == [1, 1, 0]


def test_many_items_are_shares_of_busy_time():
    n = 4 * timeline.BARS
    state = make_state(n, make_outcomes([(0, n)], failed=[n - 1]))  # half of the time busy
    head, (share, failed) = timeline.message(timeline.copy(state), 0.0)
    assert head["form"] == "slices"
    shares = np.frombuffer(share, np.uint8)
    assert len(shares) == timeline.SLICES
    assert abs(shares.mean() / 255 - 0.5) < 0.02
    assert np.flatnonzero(np.frombuffer(failed, np.uint8)).tolist() == [timeline.SLICES - 1]


def test_a_job_that_has_not_begun_has_no_lanes_and_many_workers_are_bounded():
    assert timeline.message(timeline.copy(make_state(5)), 0.0)[0]["lanes"] == []
    batches = [make_outcomes([(k, k + 1)], worker=f"w{k:03}") for k in range(100)]
    head, _ = timeline.message(timeline.copy(make_state(100, *batches)), 0.0)
    assert (len(head["lanes"]), head["more"]) == (timeline.LANES, 100 - timeline.LANES)
