"""Values to bytes and back, large ones as blobs, and what cannot travel named."""

import collections
import contextlib
import dataclasses
import datetime
import decimal
import io
import pickle
import socket
import threading
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nbqueue
from nbqueue.core.errors import BadSignature, InfrastructureError, NotPicklable
from nbqueue.core.settings import BLOB_BYTES
from nbqueue.store.signing import Keyring
from nbqueue.store.values import arguments, results
from nbqueue.store.values.arguments import Arguments, pack_call, pack_columns, pack_rows
from nbqueue.store.values.blobs import Blobs
from nbqueue.store.values.packing import pack, pack_native, unpack
from nbqueue.store.values.results import NO_RESULT, Column, Packed
from tests.unit.builders import KEY, DictBlobs


@pytest.fixture
def blobs():
    return DictBlobs()


Point = collections.namedtuple("Point", "x y")


@dataclasses.dataclass
class Fit:
    auc: float
    tags: list


atoms = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    atoms
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.datetimes()
    | st.complex_numbers(allow_nan=False),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(values, st.sampled_from([pack, pack_native]))
def test_a_value_comes_back_as_it_was(value, how):
    blobs = DictBlobs()
    assert unpack(how(value, blobs), blobs) == value
    assert blobs.puts == 0


@pytest.mark.parametrize("how", [pack, pack_native])
def test_values_of_all_kinds_come_back(blobs, how):
    for value in (
        Point(1, 2),
        Fit(0.5, ["a"]),
        {1, 2},
        frozenset({3}),
        range(5),
        decimal.Decimal("1.5"),
        datetime.date(2024, 1, 2),
        ValueError("x"),
        collections.Counter("aab"),
        "\ud800 lone",
        10**100,
        bytearray(b"x"),
        Ellipsis,
    ):
        back = unpack(how(value, blobs), blobs)
        assert type(back).__name__ == type(value).__name__
        assert repr(back) == repr(value)
    assert unpack(how(lambda x: x + 1, blobs), blobs)(1) == 2


LARGE = {
    "array": np.arange(300_000.0),
    "fortran": np.asfortranarray(np.ones((600, 500))),
    "integers": np.arange(300_000),
    "frame": pd.DataFrame({"a": np.arange(200_000.0), "b": np.arange(200_000)}),
    "bytes": b"x" * (BLOB_BYTES + 1),
    "bytearray": bytearray(BLOB_BYTES + 1),
    "str": "ü" * BLOB_BYTES,
    "list": list(range(10**6, 10**6 + 400_000)),
    "dict": {i: str(i) for i in range(150_000)},
    "tuple": tuple(range(10**6, 10**6 + 400_000)),
    "set": set(range(10**6, 10**6 + 400_000)),
    "strings": np.array([f"text {i}" for i in range(120_000)], dtype=object),
}


def same(a, b):
    if isinstance(a, pd.DataFrame):
        return a.equals(b)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and bool((a == b).all())
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("value", LARGE.values(), ids=LARGE)
@pytest.mark.parametrize("how", [pack, pack_native])
def test_a_large_value_goes_out_as_a_blob_and_once(blobs, value, how):
    packed = how(value, blobs)
    assert len(packed) < 60_000
    assert blobs.puts >= 1
    puts = blobs.puts
    assert how(value, blobs) == packed
    assert blobs.puts == puts
    assert same(unpack(packed, blobs), value)


@pytest.mark.parametrize("value", LARGE.values(), ids=LARGE)
def test_a_large_value_within_others_goes_out_once_however_often_it_is_used(blobs, value):
    packed = pack({"one": value, "two": [value, 1], "small": list(range(2000))}, blobs)
    assert len(packed) < 60_000
    puts = blobs.puts
    call = pack_call((value, 3), {"again": value}, blobs, ("x", "y"))
    assert len(call) < 60_000
    assert blobs.puts == puts
    back = unpack(packed, blobs)
    assert same(back["one"], value)
    assert back["two"][0] is back["one"]
    args, kwargs = arguments.read(call, blobs).call(0)
    assert same(args[0], value)
    assert kwargs["again"] is args[0]


def test_arrays_come_back_writable_and_apart(blobs):
    packed = pack(np.zeros(200_000), blobs)
    one, other = unpack(packed, blobs), unpack(packed, blobs)
    one[0] = 1
    assert other[0] == 0


def test_a_list_of_large_arrays_is_a_blob_an_array(blobs):
    arrays = [np.full(200_000, k) for k in range(3)]
    back = unpack(pack([*arrays, arrays[0]], blobs), blobs)
    assert blobs.puts == 3
    assert [a[0] for a in back] == [0, 1, 2, 0]
    assert back[0] is back[3]


def test_a_store_that_fails_is_not_called_the_values_fault():
    class Full(DictBlobs):
        def put(self, value):
            raise InfrastructureError("disk full")

    for how in (pack, pack_native):
        for value in (np.zeros(200_000), "x" * 2_000_000):
            with pytest.raises(InfrastructureError, match="disk full"):
                how(value, Full())


# -- what cannot travel ------------------------------------------------------------------------


@contextlib.contextmanager
def untravelling(kind, tmp_path):
    with contextlib.ExitStack() as stack:
        yield {
            "lock": threading.Lock,
            "generator": lambda: (i for i in range(3)),
            "file": lambda: stack.enter_context((tmp_path / "f").open("w")),
            "socket": lambda: stack.enter_context(socket.socket()),
            "thread": threading.Thread,
            "iterator of a file": lambda: map(str, stack.enter_context((tmp_path / "g").open("w"))),
        }[kind]()


KINDS = ["lock", "generator", "file", "socket", "thread", "iterator of a file"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_argument_that_cannot_travel_is_named_with_its_item(blobs, kind, tmp_path):
    with untravelling(kind, tmp_path) as bad:
        for wrapped in (bad, [1, bad], {"k": (bad,)}):
            with pytest.raises(NotPicklable, match=r"item 0: y=.*Nothing was sent"):
                pack_call((1, wrapped), {}, blobs, ("x", "y"))
            with pytest.raises(NotPicklable, match=r"item 0: key=.*Nothing was sent"):
                pack_call((1,), {"key": wrapped}, blobs, ("x", "key"))
            with pytest.raises(NotPicklable, match=r"item 102: y="):
                pack_columns([[1, 2, 3], [1, 2, wrapped]], blobs, ("x", "y"), 100)
            with pytest.raises(NotPicklable, match=r"item 101: x="):
                pack_rows([(1, 2), (wrapped,), (3,)], blobs, ("x", "y"), 100)
        with pytest.raises(NotPicklable, match="argument 3"):
            pack_call((1, 2, 3, bad), {}, blobs, ("x", "y", "args"))
        for how in (pack, pack_native):
            with pytest.raises(NotPicklable, match="cannot"):
                how(bad, blobs)


def test_a_lambda_in_a_list_may_travel(blobs):
    call = pack_call(([lambda x: 2 * x],), {}, blobs, ("x",))
    assert arguments.read(call, blobs).call(0)[0][0][0](4) == 8


def test_a_value_is_shown_briefly_and_whatever_its_repr_does(blobs):
    class Broken:
        def __init__(self):
            self.lock = threading.Lock()

        def __repr__(self):
            raise RuntimeError("no")

    class Long(Broken):
        def __repr__(self):
            return "long" * 10_000

    for value in (Broken(), Long()):
        with pytest.raises(NotPicklable, match=r"item 0: x=<.*object at") as caught:
            pack_call((value,), {}, blobs, ("x",))
        assert len(str(caught.value)) < 600


def test_a_value_whose_pickling_fails_in_its_own_way_is_not_picklable(blobs):
    class Odd:
        def __reduce__(self):
            raise ZeroDivisionError("odd")

    nested = []
    for _ in range(100_000):
        nested = [nested]
    for value in (Odd(), nested):
        with pytest.raises(NotPicklable):
            pack(value, blobs)
        with pytest.raises(NotPicklable):
            pack_native(value, blobs)
    while nested:  # taken apart by hand: a deep list's own end recurses
        nested = nested[0]


# -- columns of results ------------------------------------------------------------------------


@given(st.lists(atoms | st.binary()))
def test_atoms_are_one_pickle(values):
    column = Column(results.encode(values, DictBlobs()), DictBlobs())
    assert column.pick(range(len(values))) == values
    assert [column[k] for k in range(len(values))] == values
    assert list(map(type, column.pick(range(len(values))))) == list(map(type, values))


def test_a_failure_among_atoms_leaves_them_one_pickle(blobs):
    encoded = results.encode([1, NO_RESULT, "x"], blobs)
    assert encoded[:1] == b"L"
    assert Column(encoded, blobs).pick(range(3)) == [1, None, "x"]


def test_mixed_results_are_unpickled_one_by_one(blobs):
    array = np.arange(200_000)
    cells = [1, Packed(pack_native({"a": 1}, blobs)), NO_RESULT, Packed(pack(array, blobs)), b"\0"]
    column = Column(results.encode(cells, blobs), blobs)
    assert column[0] == 1
    assert column[1] == {"a": 1}
    assert column[2] is None
    assert (column[3] == array).all()
    assert column[4] == b"\0"
    assert [type(v) for v in column.pick(range(3))] == [int, dict, type(None)]


def test_no_column_has_no_values(blobs):
    assert Column(b"", blobs).pick([]) == []


def test_bytes_are_a_value_and_not_a_packed_one(blobs):
    raw = pack({"looks": "packed"}, blobs)
    assert Column(results.encode([raw], blobs), blobs)[0] == raw


# -- verification comes before unpickling --------------------------------------------------------


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_that_was_changed_is_unpickled(fake_store, tmp_path):
    trace = tmp_path / "unpickled"
    (tmp_path / "blobs").mkdir()
    ring = Keyring(KEY)
    blobs = Blobs(fake_store, ring, tmp_path / "blobs", remote=False)
    evil = b"P" + pickle.dumps(("rows", [((Bomb(trace),), {})]), 5)
    unpack(evil, blobs)
    assert trace.exists()  # the bomb works
    trace.unlink()

    kept = Arguments(fake_store, ring, blobs)
    kept.put("a" * 16, 0, pack_call((1,), {}, blobs, ("x",)))
    for forged in (evil, bytes(32) + evil, Keyring("some other key of enough").seal("x", evil)):
        fake_store.hset("nbq:{" + "a" * 16 + "}:args", "0", forged)
        with pytest.raises(BadSignature):
            kept.get("a" * 16, 0)

    packed = pack("x" * 2_000_000, blobs)
    (file,) = (tmp_path / "blobs").iterdir()
    file.write_bytes(evil)
    with pytest.raises(BadSignature):
        unpack(packed, blobs)
    assert not trace.exists()


# -- blocks ------------------------------------------------------------------------------------


def test_a_range_stays_one_and_is_small(blobs):
    packed = pack_columns([range(5, 50_000, 5)], blobs, ("x",), 0)
    block = arguments.read(packed, blobs)
    assert len(packed) < 100
    assert (len(block), block.call(1)) == (9999, ((10,), {}))
    assert block.columns == (range(5, 50_000, 5),)


def test_a_block_of_columns_gives_each_items_arguments(blobs):
    block = arguments.read(pack_columns([[1, 2], ["a", "b"]], blobs, ("x", "y"), 0), blobs)
    assert len(block) == 2
    assert [block.call(k) for k in range(2)] == [((1, "a"), {}), ((2, "b"), {})]
    assert block.columns is not None


def test_a_block_of_rows_gives_each_items_arguments(blobs):
    block = arguments.read(pack_rows([(1,), (2, 3), ()], blobs, ("x", "y"), 0), blobs)
    assert len(block) == 3
    assert [block.call(k) for k in range(3)] == [((1,), {}), ((2, 3), {}), ((), {})]
    assert block.columns is None


def test_blocks_wait_an_hour_from_the_last_for_their_job(store):
    kept = Arguments(store, Keyring(KEY), DictBlobs())
    kept.put("a" * 16, 0, pack_columns([[1]], DictBlobs(), ("x",), 0))
    store.expire("nbq:{" + "a" * 16 + "}:args", 5)
    kept.put("a" * 16, 1, pack_columns([[2]], DictBlobs(), ("x",), 1))
    assert store.ttl("nbq:{" + "a" * 16 + "}:args") > 3000
    kept.discard("a" * 16)
    assert store.keys("*") == []


def test_io_is_read_from_where_it_stands(blobs):
    assert unpack(pack(io.BytesIO(b"abc"), blobs), blobs).read() == b"abc"


def test_modules_of_a_class_of_their_own_travel_by_name(blobs):
    assert type(nbqueue) is not types.ModuleType
    assert unpack(pack({"nq": nbqueue}, blobs), blobs)["nq"] is nbqueue
