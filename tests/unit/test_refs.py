"""`Ref`: written as an address, read as the value."""

import copy
import pickle

import numpy as np
import pytest

from nbqueue.core.errors import NotPicklable, UsageError
from nbqueue.store.code import functions
from nbqueue.store.values.arguments import pack_call, pack_columns, pack_rows, read
from nbqueue.store.values.packing import pack, unpack
from nbqueue.store.values.refs import put
from tests.unit.builders import DictBlobs


@pytest.fixture
def blobs():
    return DictBlobs()


@pytest.mark.parametrize("value", [None, 3, "text", [1, {"a": 2}], b"x" * 3_000_000])
def test_a_value_comes_back(blobs, value):
    ref = put(value, blobs)
    assert ref.get() == value
    assert unpack(pack(ref, blobs), blobs) == value
    assert unpack(pack({"deep": [ref, ref]}, blobs), blobs) == {"deep": [value, value]}


def test_equal_values_are_stored_once_and_are_equal_refs(blobs):
    one, two = put([1, 2], blobs), put([1, 2], blobs)
    assert one == two
    assert hash(one) == hash(two)
    assert put([1, 3], blobs) != one


def test_a_large_array_is_counted_whole(blobs):
    ref = put(np.zeros(1_000_000), blobs)
    assert ref.size_bytes > 8_000_000
    assert repr(ref) == "<Ref to a ndarray, 8 MB>"
    assert (unpack(pack([ref], blobs), blobs)[0] == 0).all()


@pytest.mark.parametrize(
    ("size", "text"),
    [(5, "5 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (999_600, "1 MB"), (2e15, "2e+03 TB")],
)
def test_the_repr_is_short_and_says_the_size(blobs, size, text):
    ref = copy.replace(put(1, blobs), size_bytes=size) if hasattr(copy, "replace") else None
    ref = ref or type(put(1, blobs))("int", int(size), "a")
    assert repr(ref) == f"<Ref to a int, {text}>"


def test_one_ref_stays_one_object(blobs):
    a, b = unpack(pack([put([1], blobs)] * 2, blobs), blobs)
    assert a is b


def blocks_with(ref, blobs):
    yield read(pack_columns([[1, ref], [3, 4]], blobs, ["x", "y"], 0), blobs), 1, (ref, 4), {}
    yield (
        read(pack_call((ref, 4), {"z": ref, "w": 5}, blobs, ["x"]), blobs),
        0,
        (ref, 4),
        {
            "z": ref,
            "w": 5,
        },
    )


def test_an_argument_stays_a_ref_until_its_item_is_called(blobs):
    ref = put([1, 2], blobs)
    for block, place, args, kwargs in blocks_with(ref, blobs):
        assert block.has_refs
        assert block.call(place) == (args, kwargs)
        assert block.call(place)[0][0].get() == [1, 2]
        assert block.opened(place)[0] == ([1, 2], 4)
        assert block.opened(place)[0][0] is not block.opened(place)[0][0]  # each its own
    assert block.opened(0)[1] == {"z": [1, 2], "w": 5}


def test_arguments_without_refs_pay_nothing(blobs):
    block = read(pack_columns([[1, [2]]], blobs, ["x"], 0), blobs)
    assert not block.has_refs
    assert block.opened(1) == (([2],), {})
    assert not read(pack_call(([1],), {"k": [2]}, blobs, ["x"]), blobs).has_refs


def test_functions_and_odd_rows_carry_the_value(blobs):
    ref = put([1, 2], blobs)
    block = read(pack_rows([(ref,), (1, ref)], blobs, ["x", "y"], 0), blobs)
    assert block.call(1) == ((1, [1, 2]), {})
    loaded = functions.load(functions.dump(lambda: ref, blobs), blobs)
    assert loaded.function() == [1, 2]


def test_a_ref_of_another_store_is_sent_to_this_one(blobs):
    ref = put([1, 2], DictBlobs())
    assert unpack(pack(ref, blobs), blobs) == [1, 2]


def test_a_copy_without_a_store_says_what_to_do(blobs):
    again = pickle.loads(pickle.dumps(put(1, blobs)))
    assert again == put(1, blobs)
    with pytest.raises(UsageError, match=r"nq\.put the value again"):
        again.get()


def test_what_cannot_travel_is_refused(blobs):
    with pytest.raises(NotPicklable, match="generator"):
        put((i for i in range(3)), blobs)
