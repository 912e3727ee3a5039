"""When a widget gives way to a page: events in, decisions out."""

from dataclasses import replace

import pytest

from nbqueue.notebook.life import ATTACH_S, IN_USE_S, LINGER_S, Seen, Step, decide, pause_s, spare_s

LIVE = Seen(over=False, failed=True, attended=True, shown_at=100.0)
FAILED = Seen(over=True, failed=True, attended=True, shown_at=100.0, over_at=110.0)
GOOD = replace(FAILED, failed=False)


def test_a_running_job_stays_live():
    assert decide(LIVE, 1e9) is Step.KEEP
    assert decide(replace(LIVE, closed=True), 1e9) is Step.KEEP


def test_a_job_without_failures_becomes_a_page_at_once():
    assert decide(GOOD, 110.0) is Step.SETTLE


def test_a_widget_does_not_go_away_under_the_mouse():
    used = replace(GOOD, touched_at=109.0)
    assert decide(used, 109.0 + IN_USE_S - 0.1) is Step.KEEP
    assert decide(used, 109.0 + IN_USE_S) is Step.SETTLE


def test_failures_can_be_retried_for_a_minute_after_the_end_or_the_last_touch():
    assert decide(FAILED, 110.0 + LINGER_S - 0.1) is Step.KEEP
    assert decide(FAILED, 110.0 + LINGER_S) is Step.SETTLE
    touched = replace(FAILED, touched_at=150.0)
    assert decide(touched, 150.0 + LINGER_S - 0.1) is Step.KEEP
    assert decide(touched, 150.0 + LINGER_S) is Step.SETTLE


def test_nobody_there_is_nobody_waited_for():
    assert decide(replace(FAILED, attended=False), 110.0) is Step.SETTLE


def test_a_front_end_that_is_known_gets_time_to_show_what_ended_quickly():
    soon = replace(FAILED, attended=False, expected=True)
    assert decide(soon, 110.0 + ATTACH_S - 0.1) is Step.KEEP
    assert decide(soon, 110.0 + ATTACH_S) is Step.SETTLE
    assert decide(replace(soon, failed=False), 110.0) is Step.SETTLE


def test_a_job_that_is_displayed_after_its_end_is_there_to_be_used():
    late = replace(GOOD, late=True, shown_at=500.0, over_at=500.0)
    assert decide(late, 500.0 + LINGER_S - 0.1) is Step.KEEP
    assert decide(late, 500.0 + LINGER_S) is Step.SETTLE
    assert decide(replace(late, attended=False), 500.0) is Step.SETTLE


def test_no_button_works_on_a_closed_client():
    assert decide(replace(FAILED, closed=True), 110.0) is Step.SETTLE


def test_html_costs_a_twentieth_of_a_core_at_most_and_comes_twice_a_second_at_most():
    assert pause_s(0.0, 0) == 0.5
    assert pause_s(0.2, 0) == pytest.approx(4.0)
    assert pause_s(0.0, 5_000_000) == pytest.approx(10.0)


def test_the_page_that_front_ends_keep_is_renewed_every_five_seconds_at_most():
    assert spare_s(0.0, 0) == 5.0
    assert spare_s(1.0, 0) == 200.0
