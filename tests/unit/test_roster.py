"""Whom a client waits for: known workers, but not those that have just been waited for in vain."""

from nbqueue.client.remote.roster import Roster


def test_those_on_the_list_are_expected():
    assert Roster().expected({"a@x", "b@x"}, 0) == {"a@x", "b@x"}


def test_workers_of_other_programs_are_expected_once_they_have_answered():
    roster = Roster()
    roster.expected({"a@x"}, 0)
    roster.heard(["a@x", "celery@x"], [], 0)
    assert roster.expected({"a@x"}, 1) == {"a@x", "celery@x"}


def test_whoever_leaves_the_list_is_not_expected():
    roster = Roster()
    roster.expected({"a@x", "b@x"}, 0)
    roster.heard(["a@x", "b@x"], [], 0)
    assert roster.expected({"b@x"}, 1) == {"b@x"}


def test_whoever_was_waited_for_in_vain_is_left_out_for_a_while():
    roster = Roster()
    roster.heard([], ["a@x"], 0)
    assert roster.expected({"a@x", "b@x"}, 29) == {"b@x"}
    assert roster.expected({"a@x", "b@x"}, 31) == {"a@x", "b@x"}


def test_whoever_answers_after_all_is_expected_again():
    roster = Roster()
    roster.heard([], ["a@x"], 0)
    roster.heard(["a@x"], [], 1)
    assert roster.expected({"a@x"}, 2) == {"a@x"}


def test_a_lost_worker_of_another_program_is_forgotten():
    roster = Roster()
    roster.heard(["celery@x"], [], 0)
    roster.heard([], ["celery@x"], 1)
    assert roster.expected([], 100) == set()


def test_one_that_answers_before_it_is_on_the_list_belongs_to_it():
    roster = Roster()
    roster.heard(["a@x"], [], 0)
    roster.expected({"a@x"}, 1)
    assert roster.expected([], 2) == set()
