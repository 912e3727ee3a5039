"""What is refused is counted, and who waits for it hears of it."""

import json
from base64 import b64encode

import fakeredis
import pytest
import redis

from nbqueue.client.doctor import judging
from nbqueue.core.description import described, found_in
from nbqueue.store import keys, rejections
from nbqueue.store.broker.message import Unverified, decode
from nbqueue.store.broker.transport import is_message
from nbqueue.store.signing import SIZE, Keyring
from nbqueue.worker.bootsteps.consuming import is_sound
from tests.unit.builders import KEY


def test_what_is_refused_is_counted_by_what_it_was(store):
    ring = Keyring(KEY)
    ring.on_refusal = rejections.counter(store, "host/1")
    assert rejections.read(store) == rejections.Rejections()
    for _ in range(2):
        with pytest.raises(Unverified):
            decode(ring, b64encode(b"x" * 100).decode())
    ring.on_refusal("log record")
    found = rejections.read(store)
    assert found.counts == {"message": 2, "log record": 1}
    assert (found.total, found.last, found.by) == (3, "log record", "host/1")
    assert found.at > 1e9
    [finding] = judging.rejected(found, found.at + 60)
    assert "2 x message" in finding.text
    assert "1 min ago by host/1" in finding.text
    rejections.clear(store)
    assert [f.status for f in judging.rejected(rejections.read(store), 0)] == ["OK"]
    assert rejections.read(store).total == 0


def test_counts_that_somebody_has_spoilt_are_left_out(fake_store):
    fake_store.hset(keys.REJECTED, mapping={"message": "x", "\xff": "1", "last": "[]"})
    found = rejections.read(fake_store)
    assert (found.counts, found.last, found.at) == ({"ÿ": 1}, "", None)


def test_a_store_that_is_away_does_not_keep_anybody_from_refusing(caplog):
    server = fakeredis.FakeServer()
    server.connected = False
    count = rejections.counter(fakeredis.FakeRedis(server=server), "me")
    count("message")
    assert "could not be counted" in caplog.text
    with pytest.raises(redis.ConnectionError):
        rejections.read(fakeredis.FakeRedis(server=server))


def message_that_claims(**claim):
    head = {"job": "5f0c", "a": 2, "b": 7, "round": 3, **claim}
    text = json.dumps(head).encode()
    size = len(text).to_bytes(4, "little") + bytes(4)
    return b64encode(bytes(SIZE) + size + text).decode()


def test_a_message_that_is_refused_says_whose_it_claims_to_be():
    with pytest.raises(Unverified) as caught:
        decode(Keyring(KEY), message_that_claims())
    exc = caught.value
    assert (exc.job_id, exc.start, exc.stop, exc.round) == ("5f0c", 2, 7, 3)
    assert exc.names_items


@pytest.mark.parametrize(
    "claim",
    [
        {"job": "../x"},
        {"a": -1},
        {"a": 7},
        {"b": 10**12},
        {"round": 0},
        {"round": 256},
        {"a": float("inf")},
        {"b": float("nan")},
        {"a": "x"},
        {"job": None, "a": None},
    ],
)
def test_a_claim_that_makes_no_sense_is_none(claim):
    with pytest.raises(Unverified) as caught:
        decode(Keyring(KEY), message_that_claims(**claim))
    assert not caught.value.names_items


@pytest.mark.parametrize(
    "envelope", ["", "x", "é", None, 3, [], {}, b64encode(b"[" * 200_000).decode(), "A" * 999]
)
def test_what_is_no_envelope_at_all_is_refused(envelope):
    with pytest.raises(Unverified) as caught:
        decode(Keyring(KEY), envelope)
    assert not caught.value.names_items


def test_text_that_nests_without_end_is_refused():
    text = b"[" * 200_000
    envelope = b64encode(bytes(SIZE) + len(text).to_bytes(4, "little") + bytes(4) + text).decode()
    with pytest.raises(Unverified):
        decode(Keyring(KEY), envelope)


def test_whose_a_message_was_is_found_in_what_is_left_of_it():
    assert found_in('xx "argsrepr": "a[3] [2:3] of job 5f-0c", "y')[1:] == (2, 3, "5f-0c")
    assert found_in("a [2:3] of job ") is None
    assert described(f"a[{'9' * 5000}:1] of job 5f") is None
    assert found_in("x" * 1_000_000) is None


HEADERS = {"task": "nbqueue.range", "id": "1", "retries": 0, "timelimit": [None, None]}


def test_headers_that_celery_can_bear_are_sound():
    assert is_sound(HEADERS)
    assert is_sound({**HEADERS, "shadow": "größe 😀"})
    assert is_sound(
        {**HEADERS, "timelimit": [2.5, 1], "eta": None, "stamps": {}, "anything": ["else"]}
    )
    assert is_sound(None)  # Celery's own code sees to that
    assert is_sound({})


@pytest.mark.parametrize(
    "change",
    [
        {"timelimit": True},
        {"timelimit": [1]},
        {"timelimit": ["1", None]},
        {"timelimit": [float("inf"), None]},
        {"retries": "x"},
        {"retries": float("nan")},
        {"id": None},
        {"eta": 3},
        {"stamps": {"x": "y"}},
        {"stamped_headers": [[]]},
        {"shadow": {}},
        {"id": "\udc80"},
        {"anything": "x\udc80"},
        {"anything": float("inf")},
    ],
)
def test_headers_that_would_end_a_worker_are_not(change):
    assert not is_sound({**HEADERS, **change})


def test_a_message_without_an_id_is_not_sound():
    assert not is_sound({"task": "nbqueue.range"})


RAW = {
    "body": "",
    "headers": {},
    "properties": {"delivery_tag": "1", "delivery_info": {"exchange": "", "routing_key": "q"}},
}


def test_what_has_the_parts_of_a_message_is_one():
    assert is_message(RAW)


@pytest.mark.parametrize(
    "change",
    [
        {"delivery_tag": None},
        {"delivery_tag": ["x"]},
        {"delivery_tag": "\udc80"},
        {"delivery_info": None},
        {"delivery_info": {"exchange": ""}},
        {"delivery_info": {"exchange": 1, "routing_key": "q"}},
        {"priority": "high"},
    ],
)
def test_what_lacks_them_is_none(change):
    assert not is_message({**RAW, "properties": {**RAW["properties"], **change}})


@pytest.mark.parametrize("raw", [None, [], "x", {}, {**RAW, "headers": None}, {"headers": {}}])
def test_what_is_no_dict_of_dicts_is_none(raw):
    assert not is_message(raw)
