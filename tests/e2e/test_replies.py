"""Replies to questions are heard without receipts: whoever takes one may raise, to hear no more."""

import math
import time

import pytest
from kombu import Consumer, Queue

import nbqueue as nq
from nbqueue.store import signing
from nbqueue.store.broker import broker

KEY = signing.generate()


class Enough(Exception):
    pass


@pytest.fixture(scope="module")
def url(servers):
    return servers.redis("s3cret")


@pytest.fixture
def connection(url):
    with broker.make_app(url).connection_for_write() as made:
        yield made


def listen(connection, queue, most=10):
    def take(message):
        raise Enough(message.payload)

    with Consumer(connection, [queue], on_message=take, no_ack=True):
        for _ in range(most):
            connection.drain_events(timeout=20)


def test_what_a_taker_raises_reaches_who_listens(connection):
    queue = Queue("replies", durable=False)
    queue(connection.default_channel).declare()
    connection.Producer().publish({"said": 1}, routing_key="replies")
    with pytest.raises(Enough, match="said"):
        listen(connection, queue)


def test_what_is_no_message_is_still_dropped_and_the_next_one_taken(connection):
    queue = Queue("garbled", durable=False)
    channel = connection.default_channel
    queue(channel).declare()
    for text in ("{}", '{"body": 7, "properties": {}}', "[1]"):
        channel.client.lpush(channel.lists("garbled")[-1], text)
    connection.Producer().publish({"said": 2}, routing_key="garbled")
    with pytest.raises(Enough, match="said"):
        listen(connection, queue)


def test_a_question_is_over_when_all_have_answered(servers, url, until):
    def took():
        began = time.monotonic()
        return time.monotonic() - began if len(nq.workers()) == 1 else math.inf

    worker, _ = servers.worker(url, KEY, "-c", "1", name="quick")
    with nq.connect(url, key=KEY):
        nq.workers()  # the first waits for workers of other programs, too
        until(lambda: took() < 0.5)  # to wait for all that time takes a second
    worker.terminate()
    worker.wait(30)
