"""kombu's Redis transport as nbqueue has changed it, on a real Redis."""

import pytest
import redis
from kombu import Connection, Queue

from nbqueue.store.broker import transport


@pytest.fixture
def server(redis_socket):
    client = redis.Redis(unix_socket_path=str(redis_socket))
    client.flushdb()
    yield client
    client.close()


@pytest.fixture
def connection(redis_socket, server):
    transport.register()
    with Connection(f"{transport.ALIAS}+socket://{redis_socket}") as connection:
        yield connection


@pytest.fixture
def channel(connection):
    return connection.channel()


@pytest.fixture
def received(connection, channel):
    """Messages of a queue that one was put into, as they come."""
    messages = []
    consumer = connection.Consumer(
        [Queue("q")], channel, callbacks=[lambda body, message: messages.append(message)]
    )
    connection.Producer(channel).publish("hello", routing_key="q")
    with consumer:
        yield messages


def deliver(channel):
    channel.connection.client.drain_events(timeout=10)


def held(channel, server):
    channel.qos._settle()  # its commands are written without waiting
    return server.hlen(channel.unacked_key), server.zcard(channel.unacked_index_key)


def test_a_message_is_handed_over_before_it_is_recorded(channel, received, server):
    seen = []
    channel.on_delivery = lambda: seen.append((len(received), held(channel, server)))
    deliver(channel)
    assert seen == [(1, (0, 0))]
    assert held(channel, server) == (1, 1)
    received[0].ack()
    assert held(channel, server) == (0, 0)


def test_a_message_that_cannot_be_handed_over_is_recorded(channel, received, server):
    def breaks():
        raise OSError("the pipe is closed")

    channel.on_delivery = breaks
    with pytest.raises(OSError, match="the pipe is closed"):
        deliver(channel)
    assert held(channel, server) == (1, 1)


def test_a_message_that_is_acknowledged_as_it_comes_is_not_held(channel, received, server):
    channel.on_delivery = lambda: received[0].ack()
    deliver(channel)
    assert held(channel, server) == (0, 0)
    assert server.llen("q") == 0


def test_a_message_that_is_given_back_as_it_comes_is_in_its_queue(channel, received, server):
    channel.on_delivery = lambda: received[0].requeue()
    deliver(channel)
    assert held(channel, server) == (0, 0)
    assert sum(server.llen(key) for key in server.keys("q*")) == 1


@pytest.mark.parametrize("no_ack", [False, True])
def test_what_a_receiver_raises_comes_to_who_waits(connection, channel, no_ack):
    def enough(body, message):
        raise KeyError(body)

    connection.Producer(channel).publish("hello", routing_key="q")
    consumer = connection.Consumer([Queue("q")], channel, no_ack=no_ack, callbacks=[enough])
    with consumer, pytest.raises(KeyError, match="hello"):
        deliver(channel)
