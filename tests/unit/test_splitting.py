"""Whatever the order of divisions, every index appears exactly once."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from nbqueue.core.splitting import count, divide, indices, runs_of, share_out, undone

spans = st.tuples(st.integers(0, 1000), st.integers(1, 1000)).map(lambda t: (t[0], t[0] + t[1]))


def is_partition(ranges, start, stop):
    return list(indices(ranges)) == list(range(start, stop)) and all(a < b for a, b in ranges)


@given(spans, st.integers(-1, 1200))
def test_dividing_keeps_every_index_and_the_order(span, parts):
    ranges = divide(*span, parts)
    assert is_partition(ranges, *span)
    assert len(ranges) <= max(parts, 1)
    sizes = [b - a for a, b in ranges]
    assert max(sizes) - min(sizes) <= 1


@given(spans, st.integers(1, 20), st.none() | st.integers(1, 1200))
def test_sharing_out_divides_only_at_multiples_of_the_chunk_size(span, parts, chunksize):
    ranges = share_out(*span, parts, chunksize)
    assert is_partition(ranges, *span)
    assert len(ranges) <= parts
    if chunksize:
        assert all(a % chunksize == 0 for a, _ in ranges[1:])


@given(spans, st.integers(1, 50))
def test_fixed_chunks_end_as_chunks_however_often_they_are_divided(span, chunksize):
    todo, chunks = [span], []
    while todo:
        a, b = todo.pop()
        if b - a > chunksize:
            todo += share_out(a, b, 2, chunksize)
            assert (a, b) not in todo
        else:
            chunks.append((a, b))
    assert is_partition(sorted(chunks), *span)


@given(st.sets(st.integers(0, 300)))
def test_ascending_indices_become_the_fewest_ranges(wanted):
    ranges = runs_of(sorted(wanted))
    assert list(indices(ranges)) == sorted(wanted)
    assert count(ranges) == len(wanted)
    assert all(b < c for (_, b), (c, _) in pairwise(ranges))


@given(st.lists(st.integers(0, 50)))
def test_indices_in_any_order_keep_their_order(wanted):
    assert list(indices(runs_of(wanted))) == wanted


@given(spans, st.sets(st.integers(0, 2100)), st.integers(0, 300))
def test_what_a_bitmap_lacks_is_undone(span, done, cut):
    start, stop = span
    bitmap = bytearray(270)
    for i in done:
        bitmap[i >> 3] |= 0x80 >> (i & 7)
    first = start >> 3
    part = bytes(bitmap[first : (stop - 1 >> 3) + 1])
    wanted = [i for i in range(start, stop) if i not in done]
    assert list(indices(undone(start, stop, part, first))) == wanted
    # Redis gives a shorter bitmap where the rest was never set.
    short = part[:cut]
    known = {i for i in done if (i >> 3) - first < len(short)}
    assert list(indices(undone(start, stop, short, first))) == [
        i for i in range(start, stop) if i not in known
    ]
