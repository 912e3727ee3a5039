"""Looking where a job's messages are: it finds them, takes nothing, and leaves no trace."""

import pytest

from nbqueue.core.records import Limits
from nbqueue.store import keys
from nbqueue.store.broker import message
from nbqueue.store.broker.message import Attempt, Message
from nbqueue.store.log.joblog import JobLog
from nbqueue.store.messages import peeking
from nbqueue.store.signing import Keyring
from tests.unit.builders import KEY, make_spec

MINE = "0123456789abcdef"


@pytest.fixture
def keyring():
    made = Keyring(KEY)
    made.refused = []
    made.on_refusal = made.refused.append
    return made


def keep(store, ring, *, due=2000.0, start=0, stop=10, **more):
    spec = make_spec(**{name: more.pop(name) for name in ("id", "limits") if name in more})
    opening = JobLog(store, ring).opening(spec)
    envelope = message.encode(ring, Message(opening, start, stop, **more))
    store.zadd(keys.LATER, {envelope: due})
    return envelope


def test_messages_of_the_job_that_have_the_item_are_found(store, keyring):
    keep(store, keyring, start=0, stop=5)
    keep(store, keyring, start=5, stop=10, due=3000.0)
    keep(store, keyring, id="f" * 16)
    (found,) = peeking.kept(store, keyring, MINE, 7)
    assert (found.start, found.stop, found.due, found.waits_for) == (5, 10, 3000.0, "")
    assert len(peeking.kept(store, keyring, MINE, None)) == 2
    assert store.zcard(keys.LATER) == 3


def test_of_retries_only_those_that_are_meant(store, keyring):
    keep(store, keyring, start=2, stop=9, again=(Attempt(2, 1), Attempt(8, 1)))
    assert peeking.kept(store, keyring, MINE, 8)[0].waits_for == "retry"
    assert peeking.kept(store, keyring, MINE, 5) == []


def test_why_a_message_is_kept(store, keyring):
    limits = Limits(concurrency=1)
    slot = keep(store, keyring, start=0, stop=1, limits=limits)
    store.zadd(keys.waiting("fit"), {"another": 1.0, slot: 2.0})
    paced = keep(store, keyring, start=1, stop=2)
    store.zadd(keys.paced("fit"), {paced: 1.0})
    assert peeking.kept(store, keyring, MINE, 0)[0].waits_for == "slot"
    assert peeking.kept(store, keyring, MINE, 0)[0].ahead == 1
    assert peeking.kept(store, keyring, MINE, 1)[0].waits_for == "rate"


def test_to_look_past_what_others_have_signed_counts_no_rejection(store, keyring):
    keep(store, Keyring("another key than that one"), id="f" * 16)
    store.zadd(keys.LATER, {"not a message": 1.0, "AAAA": 2.0})
    keep(store, keyring)
    assert len(peeking.kept(store, keyring, MINE, 3)) == 1
    assert keyring.refused == []


def test_one_that_claims_to_be_the_jobs_and_is_not_is_passed_over(store, keyring):
    keep(store, Keyring("another key than that one"))
    assert peeking.kept(store, keyring, MINE, 3) == []


def test_limits_and_counters_are_read(store):
    store.hset(keys.limit("fit"), mapping={"rate": 2, "slots": 3})
    store.zadd(keys.slots("fit"), {"m1": 1100.0, "dead": 900.0})
    found = peeking.limits(store, "fit", 1000.0)
    assert (found.rate, found.slots, found.holders) == (2.0, 3, ("m1",))
    store.hset(keys.RATES, "fit", 5)
    assert peeking.limits(store, "fit", 1000.0).rate == 5.0
    assert not peeking.meta(store, MINE, 1, 3).there


def test_more_than_is_looked_at_is_said_to_be_so(store, keyring, monkeypatch):
    monkeypatch.setattr(peeking, "_MOST", 3)
    for k in range(3):
        keep(store, keyring, id="f" * 16, start=k, stop=k + 1, due=1000.0 + k)
    assert peeking.kept(store, keyring, MINE, 7) == []  # all were looked at
    keep(store, keyring, due=5000.0)
    (found,) = peeking.kept(store, keyring, MINE, 7)
    assert (found.where, found.ahead, found.sure) == ("later", 3, False)
