"""Rates and slots of a task over all who ask, with a clock that is set by hand."""

import pytest

from nbqueue.store import keys
from nbqueue.store.messages.turns import LEASE_S, Turns

T0 = 1_000_000.0


@pytest.fixture
def turns(store):
    return Turns(store)


def run(turns, rate, items, *, workers=1, until=100.0, late=0.0):
    """When each item of some maps began, each asking again when it was told to (``late`` after)."""
    begun, asks = [], 0
    waiting = [(T0, items, False) for _ in range(workers)]
    while waiting:
        waiting.sort()
        now, left, waited = waiting.pop(0)
        if now > T0 + until:
            break
        grant = turns.take_tokens("f", rate, T0, left, waited=waited, now=now)
        asks += 1
        begun += [now - T0] * grant.n
        if grant.due is not None:
            assert grant.due > now
            waiting.append((grant.due + late, left - grant.n, True))
    return begun, asks


@pytest.mark.parametrize(("rate", "items"), [(100, 500), (10, 50), (2, 9), (1000, 4000)])
def test_items_begin_at_the_rate_and_in_no_second_many_more(turns, rate, items):
    begun, asks = run(turns, rate, items)
    assert len(begun) == items
    assert begun[-1] == pytest.approx(items / rate, rel=0.15, abs=1 / rate + 0.1)
    for start in begun:
        assert sum(start <= t < start + 1 for t in begun) <= 1.11 * rate + 1
    assert asks <= max(items, 25 * begun[-1]) + 2


def test_the_rate_is_one_for_all_who_ask_and_nobody_starves(turns):
    begun, _ = run(turns, 100, 100, workers=5)
    assert len(begun) == 500
    assert begun[-1] == pytest.approx(5, abs=0.3)


def test_many_single_calls_are_each_told_a_time_of_their_own(turns):
    begun, asks = run(turns, 20, 1, workers=100)
    assert len(begun) == 100
    assert begun[-1] == pytest.approx(5, abs=0.3)
    assert asks <= 250


def test_who_comes_a_little_late_loses_nothing(turns):
    begun, _ = run(turns, 100, 300, late=0.01)
    assert begun[-1] == pytest.approx(3, rel=0.1)


def test_what_was_promised_to_those_who_never_came_is_given_to_others(turns):
    for _ in range(1_000):
        turns.take_tokens("f", 1, T0, 1, now=T0)
    assert turns.take_tokens("f", 1, T0, 1, now=T0 + 5).n == 1


def test_nobody_is_told_to_wait_for_longer_than_a_rate_may_be_changed(turns):
    turns.take_tokens("f", 0.001, T0, 1, now=T0)
    assert turns.take_tokens("f", 0.001, T0, 1, now=T0).due <= T0 + 10


def test_the_job_submitted_last_says_what_the_rate_is(turns):
    assert turns.take_tokens("f", 1000, T0, 1000, now=T0).n == 100
    assert turns.take_tokens("f", 10, T0 + 5, 1000, now=T0 + 10).n == 1
    assert turns.take_tokens("f", 1000, T0, 1000, now=T0 + 20).n == 1
    assert turns.take_tokens("g", 1000, T0, 1000, now=T0 + 20).n == 100


def test_a_rate_set_from_outside_overrules_and_can_be_lifted(turns):
    turns.set_rate("f", 10)
    assert turns.rates() == {"f": 10.0}
    assert turns.take_tokens("f", 1000, T0, 1000, now=T0).n == 1
    turns.set_rate("f", 0)
    assert turns.take_tokens("f", 1000, T0, 1000, now=T0) == (1000, None)
    turns.set_rate("f", None)
    assert turns.rates() == {}
    assert turns.take_tokens("f", 10, T0, 1000, now=T0).n < 10


def test_a_new_rate_calls_those_who_were_told_to_wait_by_the_old_one(store, turns):
    store.zadd(keys.LATER, {"paced": T0 + 9, "of another": T0 + 9})
    turns.paced("f", "paced", T0 + 9, now=T0)
    turns.paced("f", "gone", T0 + 9, now=T0)
    turns.set_rate("f", 10)
    assert kept(store) == {"paced": 0, "of another": T0 + 9}


def test_those_whose_time_has_come_are_called_no_more(store, turns):
    for i in range(50):
        turns.paced("f", f"m{i}", T0 + i, now=T0 + i)
    assert store.zcard(keys.paced("f")) == 1


def test_by_redis_own_clock_nothing_is_different(turns):
    # (The next token is due in 100 s.)
    first = turns.take_tokens("f", 0.01, T0, 5)
    assert first.n == 1
    assert turns.take_tokens("f", 0.01, T0, 5).n == 0


# -- slots -------------------------------------------------------------------------------------


def kept(store):
    return {m.decode(): due for m, due in store.zrange(keys.LATER, 0, -1, withscores=True)}


def test_there_are_as_many_slots_as_the_task_allows(store, turns):
    take = [turns.take_slot("f", 2, T0, f"m{i}", f"e{i}", now=T0) for i in range(4)]
    assert take == [True, True, False, False]
    assert set(kept(store)) == {"e2", "e3"}
    assert turns.take_slot("g", 2, T0, "other", "e9", now=T0)


def test_who_holds_a_slot_may_take_it_again(turns):
    assert turns.take_slot("f", 1, T0, "m", "e", now=T0)
    assert turns.take_slot("f", 1, T0, "m", "e", now=T0 + 1)
    assert not turns.take_slot("f", 1, T0, "n", "e2", now=T0 + 1)


def test_a_slot_that_is_given_back_calls_whoever_has_waited_longest(store, turns):
    turns.take_slot("f", 1, T0, "m", "e", now=T0)
    turns.take_slot("f", 1, T0 + 2, "n", "younger", now=T0 + 2)
    turns.take_slot("f", 1, T0 + 1, "o", "older", now=T0 + 3)
    store.delete(keys.LATER_BELL)
    turns.give_slot("f", "m", now=T0 + 4)
    assert kept(store)["older"] == 0
    assert kept(store)["younger"] > T0 + 4
    assert store.llen(keys.LATER_BELL) == 1
    assert turns.take_slot("f", 1, T0 + 1, "o", "older", now=T0 + 4)
    assert store.hkeys(keys.HOLDERS) == [b"o"]


def test_the_slot_of_a_dead_worker_comes_back_and_that_of_a_living_one_does_not(store, turns):
    turns.take_slot("f", 2, T0, "dead", "e", now=T0)
    turns.take_slot("f", 2, T0, "living", "e", now=T0)
    turns.renew(["living", "unknown"], now=T0 + LEASE_S - 1)
    assert not turns.take_slot("f", 2, T0, "n", "e2", now=T0 + LEASE_S - 1)
    assert T0 + LEASE_S <= kept(store)["e2"] <= T0 + LEASE_S + 1
    assert turns.take_slot("f", 2, T0, "n", "e2", now=T0 + LEASE_S + 0.1)
    assert not turns.take_slot("f", 2, T0, "o", "e3", now=T0 + LEASE_S + 0.1)
    assert set(store.hkeys(keys.HOLDERS)) == {b"living", b"n"}


def test_a_lease_that_has_ended_is_not_renewed(turns):
    turns.take_slot("f", 1, T0, "slow", "e", now=T0)
    assert turns.take_slot("f", 1, T0, "next", "e2", now=T0 + LEASE_S + 1)
    turns.renew(["slow"], now=T0 + LEASE_S + 1)
    assert not turns.take_slot("f", 1, T0, "third", "e3", now=T0 + LEASE_S + 2)


def test_who_waits_and_is_gone_is_passed_over(store, turns):
    turns.take_slot("f", 1, T0, "m", "e", now=T0)
    turns.take_slot("f", 1, T0 + 1, "n", "gone", now=T0)
    turns.take_slot("f", 1, T0 + 2, "o", "here", now=T0)
    store.zrem(keys.LATER, "gone")
    turns.give_slot("f", "m", now=T0 + 1)
    assert kept(store) == {"here": 0}


def test_many_who_wait_do_not_all_come_at_once(store, turns):
    turns.take_slot("f", 1, T0, "m", "e", now=T0)
    for i in range(100):
        turns.take_slot("f", 1, T0, f"m{i}", f"e{i}", now=T0)
    due = sorted(kept(store).values())
    assert due[-1] - due[0] > 9


def test_the_job_submitted_last_says_how_many_slots_there_are(turns):
    assert turns.take_slot("f", 1, T0 + 5, "m", "e", now=T0 + 5)
    assert not turns.take_slot("f", 9, T0, "n", "e2", now=T0 + 5)
    assert turns.take_slot("f", 2, T0 + 6, "o", "e3", now=T0 + 6)
