"""Records to bytes and back."""

import contextlib
import json
import struct
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbqueue.core.records import (
    FORMAT,
    MOST_ROUNDS,
    Cancelled,
    Error,
    Finished,
    JobSpec,
    Outcomes,
    Progressed,
    Rejected,
    Retried,
    Retrying,
    Route,
    Started,
)
from nbqueue.core.splitting import count
from nbqueue.core.wire import Malformed, decode, encode
from tests.unit.builders import make_outcomes, make_spec

KINDS = [
    "opened",
    "started",
    "outcomes",
    "progress",
    "cancelled",
    "retried",
    "retrying",
    "rejected",
    "finished",
]

texts = st.text(st.characters(), max_size=30)  # surrogates too: file names have them
reals = st.floats(allow_nan=False)
rounds = st.integers(1, MOST_ROUNDS)
items = st.integers(0, 2**40)


@st.composite
def runs_lists(draw, most=5, width=20):
    starts = draw(st.lists(st.integers(0, 2**31), max_size=most))
    return tuple((a, a + draw(st.integers(1, width))) for a in starts)


@st.composite
def outcomes(draw):
    runs = draw(runs_lists())
    n = count(runs)
    floats = st.lists(st.floats(width=32, allow_nan=False), min_size=n, max_size=n)
    errors = st.builds(Error, texts, texts, texts, st.binary(max_size=20))
    return Outcomes(
        round=draw(rounds),
        worker=draw(texts),
        runs=runs,
        states=bytes(draw(st.lists(st.sampled_from([3, 4, 5]), min_size=n, max_size=n))),
        base=draw(reals),
        started=array("f", draw(floats)),
        run_s=array("f", draw(floats)),
        memory_mb=draw(reals),
        results=draw(st.binary(max_size=200)),
        errors=tuple(draw(st.lists(errors, max_size=3))),
        error_of=tuple(draw(st.lists(st.tuples(items, st.integers(0, 3)), max_size=4))),
    )


@st.composite
def retryings(draw):
    errors = draw(st.lists(st.builds(Error, texts, texts, texts), min_size=1, max_size=3))
    which = st.integers(0, len(errors) - 1)
    again = st.lists(st.tuples(items, st.integers(1, 300), reals, which), max_size=5)
    return Retrying(draw(rounds), draw(texts), tuple(draw(again)), tuple(errors))


specs = st.builds(
    JobSpec,
    id=texts,
    name=texts,
    task=texts,
    function=texts,
    n=st.integers(0, 10**7),
    block=st.integers(0, 10_000),
    params=st.lists(texts, max_size=4).map(tuple),
    submitted=reals,
    origin=texts,
    python=texts,
    chunksize=st.none() | st.integers(1, 10**6),
    route=st.builds(Route, st.none() | texts, st.none() | st.integers(0, 9)),
    ignore_result=st.booleans(),
    track_started=st.booleans(),
)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | reals | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
records = st.one_of(
    specs,
    outcomes(),
    st.builds(Started, rounds, texts, texts, items, reals),
    st.builds(
        Progressed,
        st.integers(-1, 2**40),
        reals,
        st.none() | reals,
        st.dictionaries(texts, plain, max_size=3),
    ),
    st.builds(Cancelled, reals, st.none() | runs_lists()),
    st.builds(Retried, rounds, runs_lists(), reals, texts, texts),
    retryings(),
    st.builds(Rejected, rounds, runs_lists(), texts, texts),
    st.builds(Finished, reals),
)


@given(records)
def test_a_record_comes_back_as_it_was(record):
    assert decode(record.kind, encode(record)) == record


def test_a_large_batch_costs_nine_bytes_an_item_and_its_results():
    batch = make_outcomes([(0, 1_000_000)], values=[None] * 1_000_000)
    body = encode(batch)
    assert len(body) < 9 * 1_000_000 + len(batch.results) + 1000
    assert decode("outcomes", body) == batch


def test_floats_are_little_endian_whatever_the_machine():
    batch = make_outcomes([(0, 1)], values=[None])
    body = encode(batch)
    assert struct.pack("<f", batch.run_s[0]) in body


@given(records, st.data())
def test_damaged_bytes_are_malformed_and_nothing_else(record, data):
    body = bytearray(encode(record))
    how = data.draw(st.sampled_from(["cut", "flip", "insert"]))
    if how == "cut":
        body = body[: data.draw(st.integers(0, len(body)))]
    elif body:
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(body) - 1))
            if how == "flip":
                body[at] = data.draw(st.integers(0, 255))
            else:
                body.insert(at, data.draw(st.integers(0, 255)))
    kind = data.draw(st.sampled_from([record.kind, record.kind, *KINDS]))
    with contextlib.suppress(Malformed):
        decode(kind, bytes(body))


@given(st.sampled_from([*KINDS, "", "unknown"]), st.binary(max_size=60))
def test_random_bytes_are_malformed_and_nothing_else(kind, body):
    with contextlib.suppress(Malformed):
        decode(kind, body)


json_texts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
FIELDS = ["v", "round", "runs", "worker", "reason", "at", "item", "done", "total", "info", "task"]


@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(FIELDS), json_texts))
def test_a_header_of_the_wrong_types_is_malformed_and_nothing_else(kind, fields):
    header = json.dumps({"v": 1, **fields}).encode()
    body = struct.pack("<I", len(header)) + header if kind == "outcomes" else header
    with contextlib.suppress(Malformed):
        decode(kind, body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"3",
        b"null",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 10_000,
        b'{"v":1,"round":1,"runs":[[Infinity,2]],"worker":"w","reason":"r"}',
        b'{"v":1,"round":1,"runs":[[NaN,2]],"worker":"w","reason":"r"}',
        b'{"v":1,"round":"1","runs":[[1,2]],"worker":"w","reason":"r"}',
        b'{"v":1,"round":999,"runs":[[1,2]],"worker":"w","reason":"r"}',
        b'{"v":1,"round":1,"runs":[[1,2]],"worker":{},"reason":"r"}',
        b'{"v":"1","round":1,"runs":[[1,2]],"worker":"w","reason":"r"}',
    ],
)
def test_what_a_stranger_may_write_as_a_rejection_is_malformed(body):
    with pytest.raises(Malformed):
        decode("rejected", body)


def test_a_record_of_a_newer_format_is_refused_with_advice():
    body = json.dumps({"v": FORMAT + 1, "at": 1.0}).encode()
    with pytest.raises(Malformed, match="upgrade"):
        decode("finished", body)


@pytest.mark.parametrize("code", [0, 1, 2, 6, 255])
def test_an_outcome_in_a_state_that_is_not_final_is_malformed(code):
    batch = make_outcomes([(0, 2)])
    body = encode(batch).replace(batch.states, bytes([3, code]), 1)
    with pytest.raises(Malformed):
        decode("outcomes", body)


def test_runs_larger_than_the_columns_are_malformed():
    body = encode(make_outcomes([(0, 2)], values=[None, None]))
    for runs in ("[[0,9]]", "[[1,0]]", "[[-1,1]]", "[[2,0],[0,2]]", "[[0,1e300]]"):
        header = body[4 : 4 + struct.unpack_from("<I", body)[0]]
        changed = header.replace(b"[[0,2]]", runs.encode())
        assert changed != header
        damaged = struct.pack("<I", len(changed)) + changed + body[4 + len(header) :]
        with pytest.raises(Malformed):
            decode("outcomes", damaged)


def test_a_specs_defaults_are_what_they_were():
    spec = make_spec(3)
    assert (spec.chunksize, spec.route) == (None, Route())
