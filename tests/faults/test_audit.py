"""The account of a trial: it finds what is lost, recorded twice and run twice."""

from array import array

from nbqueue.core import states
from nbqueue.core.records import Outcomes
from tests.faults.audit import audit, lines_of


def outcomes(*runs, code=states.SUCCESS_CODE, round_=1):
    n = sum(b - a for a, b in runs)
    zeros = array("f", bytes(4 * n))
    return Outcomes(round_, "w", runs, bytes([code]) * n, 0.0, zeros, zeros, 1.0, b"")


def tally(*items, at=0.0):
    return lines_of("".join(f"{i} 7 {at} began .\n{i} 7 {at + 1} ended .\n" for i in items))


def test_a_job_without_a_fault_has_nothing_to_account_for():
    found = audit(3, [(1.0, outcomes((0, 3)))], tally(0, 1, 2), 0.5)
    assert (found.items, found.lost, found.twice, found.ran_twice) == (3, 0, 0, 0)


def test_an_item_without_an_outcome_or_without_a_run_is_lost():
    assert audit(3, [(1.0, outcomes((0, 2)))], tally(0, 1, 2), 0.5).lost == 1
    assert audit(3, [(1.0, outcomes((0, 3)))], tally(0, 2), 0.5).lost == 1
    assert audit(1, [(1.0, outcomes((0, 1), code=states.FAILURE_CODE))], tally(0), 0.5).lost == 1


def test_an_item_that_two_outcomes_of_a_round_name_is_recorded_twice():
    two = [(1.0, outcomes((0, 2))), (2.0, outcomes((1, 3)))]
    assert audit(3, two, tally(0, 1, 2), 0.5).twice == 1
    other_round = [(1.0, outcomes((0, 2))), (2.0, outcomes((1, 3), round_=2))]
    assert audit(3, other_round, tally(0, 1, 2), 0.5).twice == 0


def test_an_item_that_began_twice_ran_twice():
    assert audit(2, [(1.0, outcomes((0, 2)))], tally(0, 1, 1), 0.5).ran_twice == 1


def test_times_count_from_the_fault():
    records = [(9.0, outcomes((0, 1))), (12.0, outcomes((1, 2))), (17.0, outcomes((2, 4)))]
    found = audit(4, records, [*tally(0, 2, at=8.0), *tally(1, 3, at=11.0)], 10.0)
    assert (found.back_s, found.pause_s, found.held_s) == (2.0, 5.0, 7.0)


def test_a_job_that_was_over_before_the_fault_has_nothing_to_go_back_to():
    found = audit(1, [(1.0, outcomes((0, 1)))], tally(0), 2.0)
    assert (found.lost, found.back_s, found.pause_s, found.held_s) == (0, 0.0, 0.0, 0.0)


def test_what_never_goes_on_takes_for_ever():
    found = audit(1, [], tally(0), 0.5)
    assert (found.back_s, found.pause_s, found.held_s) == (float("inf"),) * 3


def test_a_torn_line_of_the_tally_is_none():
    assert [line.item for line in lines_of("1 7 0.5 began .\n2 7 0.")] == [1]
