"""Messages that wait in the store until they are due: sent then, once, and never lost."""

import pytest

from nbqueue.core.errors import BrokerUnreachable, UsageError
from nbqueue.core.records import Rejected, Route
from nbqueue.store import keys
from nbqueue.store.broker.message import Message
from nbqueue.store.log.joblog import JobLog
from nbqueue.store.messages.later import Later
from nbqueue.store.signing import Keyring
from tests.unit.builders import KEY, make_spec

T0 = 1_000_000.0


class Broker:
    """Takes messages, or is away."""

    def __init__(self):
        self.sent = []
        self.away = False
        self.on_send = lambda: None

    def send(self, message):
        if self.away:
            raise BrokerUnreachable("away")
        self.sent.append((message.start, message.stop))
        self.on_send()


class Process:
    """One process's view of the store, with a clock that is set by hand."""

    def __init__(self, store, key=KEY):
        self.time = T0
        self.broker = Broker()
        self.joblog = JobLog(store, Keyring(key))
        self.later = Later(
            store, Keyring(key), self.joblog, self.broker, now=lambda: self.time, name="me"
        )

    def message(self, start=0, stop=10, **changes):
        return Message(self.joblog.opening(make_spec(10, **changes)), start, stop)


@pytest.fixture
def process(store):
    return Process(store)


def test_a_message_is_sent_when_it_is_due_and_not_before(store, process):
    process.later.keep(process.message(), T0 + 5)
    assert process.later.release() == T0 + 5
    assert process.broker.sent == []
    process.time += 5
    process.later.release()
    assert process.broker.sent == [(0, 10)]
    assert process.later.release() is None
    assert store.exists(keys.LATER) == 0
    assert process.broker.sent == [(0, 10)]


def test_a_message_that_is_put_off_again_is_due_at_the_new_time_only(process):
    process.later.keep(process.message(), T0 + 5)
    process.later.keep(process.message(), T0 + 9)
    process.later.keep(process.message(3, 4), T0 + 7)
    process.time += 8
    assert process.later.release() == T0 + 9
    assert process.broker.sent == [(3, 4)]


def test_what_a_process_claimed_and_did_not_send_another_sends(store, process):
    process.later.keep(process.message(), T0)
    process.broker.away = True
    with pytest.raises(BrokerUnreachable):
        process.later.release()
    other = Process(store)
    assert other.later.release() > T0
    assert other.broker.sent == []
    other.time += 60
    other.later.release()
    assert other.broker.sent == [(0, 10)]
    assert other.later.release() is None


def test_a_message_that_is_put_off_by_its_receiver_before_its_sender_is_through_stays(process):
    process.later.keep(process.message(), T0)
    process.broker.on_send = lambda: process.later.keep(process.message(), T0 + 3)
    process.later.release()
    assert process.later.release() == T0 + 3


def test_many_are_sent_in_the_order_in_which_they_are_due(process):
    for i in reversed(range(250)):
        process.later.keep(process.message(i, i + 1), T0 + i)
    process.time += 1_000
    while process.later.release() is not None:
        pass
    assert process.broker.sent == [(i, i + 1) for i in range(250)]


def test_an_eta_in_the_past_is_no_reason_to_wait(process):
    process.later.send(process.message(route=Route(eta=T0 - 1)))
    assert process.broker.sent == [(0, 10)]
    process.later.send(process.message(1, 2, route=Route(eta=T0 + 1)))
    assert process.broker.sent == [(0, 10)]
    assert process.later.release() == T0 + 1


def test_a_far_eta_keeps_its_function_in_the_store_until_then(store, process):
    message = process.message(route=Route(eta=T0 + 40 * 24 * 3600))
    function = keys.function(message.spec.function)
    store.set(function, b"f", ex=100)
    process.later.send(message)
    assert store.ttl(function) > 7 * 24 * 3600
    for _ in range(38):
        store.expire(function, 100)
        process.time += 24 * 3600 + 1
        process.later.release()
        process.later.release()
        assert process.broker.sent == []
        assert store.ttl(function) > 7 * 24 * 3600
    process.time += 2 * 24 * 3600
    process.later.release()
    assert process.broker.sent == [(0, 10)]
    assert process.later.release() is None


def test_one_that_leads_nowhere_does_not_hold_up_the_others(process):
    def refuse():
        if process.broker.sent[-1] == (0, 10):
            raise UsageError("leads nowhere")

    process.broker.on_send = refuse
    process.later.keep(process.message(), T0 - 2)
    process.later.keep(process.message(1, 2), T0 - 1)
    assert process.later.release() is not None
    assert process.broker.sent == [(0, 10), (1, 2)]
    process.time += 60
    process.later.release()
    assert process.broker.sent[2:] == [(0, 10)]


def test_whoever_waits_hears_of_an_earlier_message_and_of_no_later_one(store, process):
    process.later.keep(process.message(), T0 + 5)
    assert store.llen(keys.LATER_BELL) == 1
    process.later.wait(1)
    process.later.keep(process.message(1, 2), T0 + 9)
    assert store.llen(keys.LATER_BELL) == 0
    process.later.keep(process.message(2, 3), T0 + 1)
    process.later.keep(process.message(3, 4), T0)
    assert store.llen(keys.LATER_BELL) == 1


def test_a_message_that_another_key_has_signed_is_refused_and_its_job_hears_of_it(store, process):
    stranger = Process(store, "another key that nobody here has")
    message = stranger.message()
    process.joblog.open(process.joblog.opening(message.spec))
    stranger.later.keep(message, T0)
    assert process.later.release() > T0
    assert process.later.release() is None
    assert process.broker.sent == []
    refused = [entry.record for entry in process.joblog.read(message.spec.id)]
    assert any(isinstance(r, Rejected) and r.runs == ((0, 10),) for r in refused)
