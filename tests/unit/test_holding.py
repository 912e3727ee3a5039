"""Messages held by leases, over kombu and a real Redis, with a clock that is set by hand."""

import contextlib
import json
import threading

import kombu
import pytest
import redis

from nbqueue.store.broker import holding, transport

T0 = 1_000_000.0
LEASE_S = 3.0

TOPIC = kombu.Exchange("events", type="topic")


class Worker:
    """Takes messages from some queues, and holds them."""

    def __init__(self, path, *queues):
        transport.register()
        self.connection = kombu.Connection(
            f"{transport.ALIAS}+socket://{path}", transport_options={"lease_s": LEASE_S}
        )
        self.channel = self.connection.default_channel
        self.messages = []
        self.consumer = kombu.Consumer(
            self.channel, list(queues), on_message=self.messages.append, auto_declare=True
        )
        self.held = holding.Held(self.channel)

    def take(self):
        """The next message, as long as it takes."""
        self.consumer.consume()
        while not self.messages:
            with contextlib.suppress(TimeoutError):
                self.connection.drain_events(timeout=1)
        self.consumer.cancel()
        return self.messages.pop()

    def dies(self):
        """Nothing is given back, and nothing renewed."""
        self.channel.qos._delivered.clear()


@pytest.fixture
def path(redis_socket):
    with redis.Redis(unix_socket_path=str(redis_socket)) as store:
        store.flushall()
    return redis_socket


@pytest.fixture
def store(path):
    with redis.Redis(unix_socket_path=str(path)) as client:
        yield client


@pytest.fixture
def start(path):
    """Starts workers on queues; they end with the test."""
    with contextlib.ExitStack() as stack:

        def start(*queues):
            made = Worker(path, *(queues or [kombu.Queue("q", kombu.Exchange(""), "q")]))
            stack.callback(made.connection.release)
            return made

        yield start


def publish(worker, body="work", **options):
    options = {"routing_key": "q", **options}
    with kombu.Producer(worker.connection) as producer:
        producer.publish(body, **options)


def test_what_a_dead_worker_held_comes_back_when_its_lease_has_ended(start, store):
    one, two = start(), start()
    publish(one)
    lost = one.take()
    one.dies()
    assert two.held.sweep(now=T0) == 0  # the lease begins when somebody looks for the first time
    assert two.held.sweep(now=T0 + LEASE_S - 0.1) == 0
    assert two.held.sweep(now=T0 + LEASE_S + 0.1) == 1
    found = two.take()
    assert found.payload == lost.payload
    assert found.delivery_info["redelivered"]
    assert found.headers["redelivered"]
    assert found.delivery_tag != lost.delivery_tag
    found.ack()
    assert two.held.sweep(now=T0 + 100) == 0
    two.channel.qos._settle()
    assert not store.exists(holding.UNACKED, holding.INDEX)


def test_what_is_renewed_stays_however_long_it_takes(start):
    one, two = start(), start()
    publish(one)
    one.take()
    for after in range(0, 100, 2):
        two.held.sweep(now=T0 + after)
        assert one.held.renew(now=T0 + after) == 1
    assert two.held.sweep(now=T0 + 100) == 0


def test_leases_of_different_lengths_each_last_their_own(start, path):
    one, two = start(), start()
    two.channel.qos._lease = -60.0
    for worker in (one, two):
        publish(worker)
        worker.take()
        worker.dies()
    two.held.sweep(now=T0)
    assert two.held.sweep(now=T0 + 59) == 1
    assert two.held.sweep(now=T0 + 61) == 1


def test_one_that_is_late_takes_nothing_from_the_next_holder(start, store):
    one, two = start(), start()
    publish(one)
    late = one.take()
    two.held.sweep(now=T0)
    assert two.held.sweep(now=T0 + 10) == 1
    two.take()
    late.ack()
    one.channel.qos._settle()
    assert store.hlen(holding.UNACKED) == store.zcard(holding.INDEX) == 1
    late.channel.qos.reject(late.delivery_tag, requeue=True)
    assert store.llen("q") == 0


def test_one_that_renews_in_the_last_moment_keeps_its_message(start, store):
    one, two = start(), start()
    publish(one)
    one.take()
    two.held.sweep(now=T0)
    tag, claimed, raw = two.held._run("lease_sweep", T0 + 10, 5, 10)
    one.held.renew(now=T0 + 10)
    assert not two.held._put_back(tag, raw, claimed=claimed)
    assert store.llen("q") == 0


def test_two_that_look_at_once_put_a_message_back_once(start, store):
    one, two = start(), start()
    publish(one)
    one.take()
    one.held.sweep(now=T0)
    first = one.held._run("lease_sweep", T0 + 10, 5, 10)
    assert two.held.sweep(now=T0 + 10) == 0
    assert two.held.sweep(now=T0 + 16) == 1  # the first died with its claim, or was as slow
    assert not one.held._put_back(first[0], first[2], claimed=first[1])
    assert store.llen("q") == 1


def test_it_goes_back_to_its_own_queue_and_priority_and_to_no_other(start, store):
    """By a worker that knows nothing of the exchange that led there."""
    queues = [kombu.Queue(name, TOPIC, routing_key="a.*") for name in ("left", "right")]
    right, other = start(queues[1]), start()
    start(queues[0])
    publish(right, exchange=TOPIC, routing_key="a.b", priority=7)
    right.take()
    right.dies()
    other.held.sweep(now=T0)
    assert other.held.sweep(now=T0 + 10) == 1
    assert store.llen("left\x06\x167") == store.llen("right\x06\x167") == 1
    (raw,) = store.lrange("right\x06\x167", 0, -1)
    assert json.loads(raw)["headers"]["redelivered"]


def test_what_a_closed_channel_held_is_the_next_one_but_for_what_is_in_hand(
    start, store, monkeypatch
):
    one, two = start(), start()
    for body in ("first", "second"):
        publish(one, body)
    taken = [one.take(), one.take()]
    publish(two, "third")
    monkeypatch.setattr(holding, "in_hand", lambda: [taken[1]])
    one.channel.close()
    assert [two.take().payload, two.take().payload] == ["first", "third"]
    assert two.held.renew() == 3  # this process's: the two just taken, and the one in hand
    taken[1].ack()
    assert two.held.renew() == 2
    assert store.hlen(holding.UNACKED) == 2


def test_a_message_that_could_not_be_acknowledged_is_not_held_for_ever(start, monkeypatch):
    one = start()
    publish(one)
    found = one.take()

    def away(*_):
        raise redis.ConnectionError("away")

    monkeypatch.setattr(one.channel.qos, "_write", away)
    with pytest.raises(redis.ConnectionError):
        found.ack()
    assert one.channel.qos.tags() == []


def test_threads_acknowledge_beside_one_another(start, store):
    one = start()
    for _ in range(100):
        publish(one)
    messages = [one.take() for _ in range(100)]
    one.channel.qos._drop()  # whoever writes next connects
    together = threading.Barrier(10)

    def acknowledge(some):
        together.wait(10)
        for message in some:
            message.ack()

    threads = [
        threading.Thread(target=acknowledge, args=(messages[k::10],), daemon=True)
        for k in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    one.channel.qos._settle()
    assert not store.exists(holding.UNACKED, holding.INDEX)


def test_plain_celery_s_notes_are_left_alone(start, store):
    one = start()
    store.zadd("unacked_index", {"theirs": 1})
    store.hset("unacked", "theirs", json.dumps([{}, "", "q"]))
    publish(one)
    one.take()
    for _ in range(20):
        one.channel.qos.restore_visible(interval=1)
    assert store.hlen("unacked") == 1
    assert store.hlen(holding.UNACKED) == 1
    assert one.held.give_back() == 1
