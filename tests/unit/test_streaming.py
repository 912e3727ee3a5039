"""How far ahead of the results a map over what never ends may be."""

from hypothesis import given
from hypothesis import strategies as st

from nbqueue.client.streaming import FIRST_ITEMS, Ahead
from nbqueue.core.settings import BLOCK_ITEMS

TAKE = "take"
events = st.lists(st.one_of(st.just(TAKE), st.integers(0, 5_000_000)), max_size=200)


@given(most_items=st.integers(1, 100_000), most_bytes=st.integers(1, 10**8), happens=events)
def test_no_more_is_ahead_than_may_be_and_with_nothing_ahead_it_goes_on(
    most_items, most_bytes, happens
):
    ahead, parts = Ahead(most_items, most_bytes), []
    for event in happens:
        if event == TAKE and parts:
            ahead.taken(*parts.pop(0))
        elif event != TAKE:
            room = ahead.room()
            assert room <= BLOCK_ITEMS
            assert ahead.items + room <= most_items
            assert room or parts
            if room:
                parts.append((room, event))
                ahead.sent(*parts[-1])
        assert ahead.items == sum(items for items, _ in parts)
        assert ahead.bytes == sum(size for _, size in parts)


def test_parts_grow_until_there_are_four_ahead():
    ahead, rooms = Ahead(8_000), []
    while room := ahead.room():
        ahead.sent(room, 10 * room)
        rooms.append(room)
    assert rooms == [FIRST_ITEMS, 256, 2_000, 2_000, 2_000]


def test_parts_of_large_arguments_are_small():
    ahead, rooms = Ahead(40_000, most_bytes=64_000_000), []
    while room := ahead.room():
        ahead.sent(room, 1_000_000 * room)
        rooms.append(room)
    assert rooms == [32, 16, 16]
