"""What displays say of a workflow: its steps, and items that come as it runs."""

import struct

from nbqueue.core.plan import One
from nbqueue.core.records import Expanded, Planned, Stage
from nbqueue.notebook import steps, summary, taking
from nbqueue.notebook.failures import Watch
from nbqueue.notebook.feed import Feed
from nbqueue.notebook.views import html
from tests.unit.builders import make_live, make_outcomes, make_spec, make_state

PLANNED = Planned(
    (
        Stage(0, 0, 1, make_spec(1, task="plan")),
        Stage(1, 1, 2, make_spec(1, task="fit"), kind="spreads", after=(0,), takes=One(0)),
        Stage(2, 0, 0, make_spec(0, task="fit"), kind="grows", after=(1,)),
        Stage(3, 2, 3, make_spec(1, task="<total>"), after=(2,)),
        Stage(4, 0, 0, make_spec(1, task="alarm"), kind="rescues", after=(0, 1, 2, 3)),
    ),
    One(3),
)


def workflow(*records):
    return make_state(3, PLANNED, *records, stages=5)


def shown(state):
    return [(step.task, step.n, step.counts[3], step.rescue) for step in steps.steps(state)]


def test_a_workflows_steps_are_shown_with_what_is_known():
    assert shown(workflow()) == [
        ("plan", 1, 0, False),
        ("fit", 0, 0, False),
        ("<total>", 1, 0, False),
    ]


def test_a_fan_out_has_items_once_they_are_found_and_an_errback_once_it_is_called():
    state = workflow(
        make_outcomes([(0, 2)]), Expanded(2, 3, 8), make_outcomes([(3, 6)]), Expanded(4, 8, 9)
    )
    assert shown(state) == [
        ("plan", 1, 1, False),
        ("fit", 5, 3, False),
        ("<total>", 1, 0, False),
        ("alarm", 1, 0, True),
    ]


def test_a_job_that_is_no_workflow_has_no_steps():
    assert steps.steps(make_state(3)) == ()
    assert summary.facts(make_live(make_state(3)), Watch())["steps"] == []


def test_the_page_has_a_line_for_each_step():
    page = html.page(taking.take(make_live(workflow(make_outcomes([(0, 1)])))))
    assert "1 of 1" in page
    assert "0 of 1" in page
    assert "&lt;total&gt;" in page
    assert "<total>" not in page


def test_a_picture_has_all_items_that_there_are_by_now():
    state = workflow(make_outcomes([(0, 2)]), Expanded(2, 3, 8))
    picture = taking.take(make_live(state))
    assert (picture.n, len(picture.grid.codes), len(picture.rows)) == (8, 8, 8)


def test_a_feed_that_grows_sends_everything_again():
    feed = Feed(2)
    assert feed.advance(bytes([3, 0]))
    assert feed.advance(bytes([3, 0, 0, 0, 0]))
    assert feed.delta == b""
    assert struct.unpack_from("<II", feed.snapshot()) == (2, 5)
    assert not feed.advance(bytes([3, 0, 0, 0, 0]))
