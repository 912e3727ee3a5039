"""Messages that come again while they are run: put aside in a store, and sent when that is over."""

import pytest

from nbqueue.store import keys
from nbqueue.store.broker.message import Message, decode, encode
from nbqueue.store.log.joblog import JobLog
from nbqueue.store.messages.redelivered import Delivery, Redelivered
from nbqueue.store.signing import Keyring
from tests.unit.builders import KEY, make_spec

KEYRING = Keyring(KEY)
FIRST, AGAIN = Delivery("m", "first"), Delivery("m", "again")


@pytest.fixture
def redelivered(store):
    return Redelivered(store, KEYRING, lease_s=60)


@pytest.fixture
def message(store):
    return Message(JobLog(store, KEYRING).opening(make_spec(10)), 2, 7)


def due(store):
    """What is to be sent now."""
    return [decode(KEYRING, raw.decode()) for raw in store.zrange(keys.LATER, 0, -1)]


def test_what_nobody_runs_is_taken(redelivered, message, store):
    assert redelivered.take(message, AGAIN)
    assert redelivered.look() == 0
    assert not redelivered.take(message, FIRST)


def test_what_is_being_run_is_put_aside_until_that_is_over(redelivered, message, store):
    redelivered.renew([FIRST])
    redelivered.renew([AGAIN])  # which is not begun: it takes nothing from the first
    assert not redelivered.take(message, AGAIN)
    assert (redelivered.look(), due(store)) == (0, [])
    redelivered.over(FIRST)
    assert redelivered.look() == 1
    (sent,) = due(store)
    assert (sent.start, sent.stop, sent.came_back) == (2, 7, "m")
    assert redelivered.take(sent, AGAIN)
    assert redelivered.look() == 0


def test_the_end_of_an_earlier_delivery_changes_nothing(redelivered, message, store):
    assert redelivered.take(message, AGAIN)
    redelivered.over(FIRST)
    assert not redelivered.take(message, Delivery("m", "third"))
    assert redelivered.look() == 0


def test_a_lease_that_nobody_renews_ends(redelivered, message, store):
    redelivered.renew([FIRST])
    assert not redelivered.take(message, AGAIN)
    store.delete(keys.lease("m"))  # as time does
    store.zadd(keys.ASIDE, {"m": 1})
    assert redelivered.look() == 1
    assert redelivered.take(due(store)[0], AGAIN)


def test_one_that_is_still_held_when_it_is_looked_at_stays(redelivered, message, store):
    redelivered.renew([FIRST])
    assert not redelivered.take(message, AGAIN)
    store.zadd(keys.ASIDE, {"m": 1})
    assert redelivered.look() == 0
    assert store.zscore(keys.ASIDE, "m") > 1
    assert store.hlen(keys.ASIDE_MESSAGES) == 1


def test_nothing_stays_behind(redelivered, message, store):
    redelivered.renew([FIRST])
    redelivered.take(message, AGAIN)
    redelivered.over(FIRST)
    redelivered.look()
    redelivered.take(message, AGAIN)
    redelivered.over(AGAIN)
    assert not store.exists(keys.ASIDE, keys.ASIDE_MESSAGES, keys.lease("m"))


def test_a_message_that_came_back_says_so(message):
    assert decode(KEYRING, encode(KEYRING, message)).came_back == ""
