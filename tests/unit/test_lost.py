"""Which items are lost: looks in, items out."""

from hypothesis import given
from hypothesis import strategies as st

from nbqueue.core import lost
from nbqueue.core.lost import Sight
from nbqueue.core.splitting import indices, runs_of, undone

numbers = st.sets(st.integers(0, 60))
loose = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)).map(lambda p: (p[0], sum(p))))


def runs(items):
    return tuple(runs_of(sorted(items)))


def test_an_item_is_lost_only_at_the_second_look():
    sight = Sight("7-0", ((3, 5),))
    assert lost.lost(None, sight) == ()
    assert lost.lost(sight, sight) == ((3, 5),)


def test_not_if_anything_happened_in_between():
    assert lost.lost(Sight("7-0", ((3, 5),)), Sight("7-1", ((3, 5),))) == ()


@given(numbers, numbers)
def test_lost_is_what_both_looks_missed(one, two):
    found = lost.lost(Sight("7-0", runs(one)), Sight("7-0", runs(two)))
    assert list(indices(found)) == sorted(one & two)


@given(numbers, loose)
def test_what_any_message_is_about_is_not_missing(items, messages):
    found = lost.without(runs(items), messages)
    assert list(indices(found)) == sorted(items - set(indices(messages)))


@given(st.integers(0, 200), st.binary(max_size=30))
def test_open_items_are_those_whose_bit_is_unset(n, bitmap):
    expected = undone(0, n, bitmap, 0) if n else []
    assert list(indices(lost.open_items(n, bitmap))) == list(indices(expected))


@given(st.integers(1, 200), st.sets(st.integers(0, 199)))
def test_open_items_are_joined(n, done):
    bitmap = bytearray(25)
    for i in done:
        bitmap[i // 8] |= 0x80 >> (i & 7)
    assert lost.open_items(n, bytes(bitmap)) == runs_of(i for i in range(n) if i not in done)


def test_a_million_items_of_which_one_is_open_are_looked_through_at_once():
    bitmap = bytearray(b"\xff" * 125_000)
    bitmap[70_000] = 0xFE
    assert lost.open_items(1_000_000, bytes(bitmap)) == [(560_007, 560_008)]


@given(numbers, loose)
def test_all_lost_items_are_sent_and_none_that_a_message_is_about(items, messages):
    missing = lost.without(runs(items), messages)
    sent = lost.spans(missing, messages)
    assert set(indices(missing)) <= set(indices(sent))
    assert not set(indices(sent)) & set(indices(messages))


def test_items_here_and_there_are_sent_in_few_messages():
    every_other = [(i, i + 1) for i in range(0, 10_000, 2)]
    theirs = [(i, i + 1) for i in range(1, 10_000, 2)]
    assert lost.spans(every_other, []) == [(0, 9_999)]
    sent = lost.spans(every_other, theirs)
    assert len(sent) <= 64
    assert set(indices(every_other)) <= set(indices(sent))


def test_a_job_that_was_quiet_before_the_oldest_message_s_job_came_has_none_in_the_queue():
    assert lost.is_behind(100.0, [110.0, 120.0])
    assert not lost.is_behind(100.0, [110.0, 90.0])
    assert not lost.is_behind(100.0, [101.0])
    assert lost.is_behind(100.0, [])


def test_a_job_is_quiet_when_nothing_happened_for_a_while():
    assert not lost.is_quiet(100.0, 99.0)
    assert lost.is_quiet(103.0, 100.0)
