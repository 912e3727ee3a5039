"""Messages cast in a mould are those that kombu would have made."""

import json
from base64 import b64decode

import redis
from hypothesis import given
from hypothesis import strategies as st

from nbqueue.store.broker.announcing import Address
from nbqueue.store.broker.broker import make_app
from nbqueue.store.broker.message import Message
from nbqueue.store.broker.mould import Words
from nbqueue.store.broker.publisher import Publisher
from nbqueue.store.signing import Keyring
from tests.unit.builders import KEY, make_spec
from tests.unit.test_message import make_message

TO = Address("celery", 5)


def published(made):
    """Take a message in a queue apart, without what no two messages have in common."""
    made = json.loads(made)
    tag = made["properties"].pop("delivery_tag")
    return tag, made, json.loads(b64decode(made.pop("body")))


def test_a_cast_message_is_the_one_that_kombu_makes(redis_socket):
    app = make_app(f"redis+socket://{redis_socket}")
    publisher = Publisher(app, Keyring(KEY))
    store = redis.Redis(unix_socket_path=str(redis_socket))
    store.flushall()
    try:
        producer = publisher._ready(TO)
        mould = publisher._mould(producer, TO)
        assert store.keys("celery*") == []  # what the mould was made of was not sent

        @given(
            st.builds(
                Words, st.uuids().map(str), st.text(), st.text(), st.text("aZ09+/=", max_size=9)
            )
        )
        def alike(words):
            publisher._through_kombu(producer, words, TO)
            tag, *theirs = published(store.rpop(mould.key))
            own_tag, *ours = published(mould.cast(words))
            assert ours == theirs
            assert own_tag != tag

        alike()
    finally:
        publisher.close()
        app.close()
        store.close()


def test_each_queue_and_priority_has_a_list_of_its_own(redis_socket):
    app = make_app(f"redis+socket://{redis_socket}")
    publisher = Publisher(app, Keyring(KEY))
    store = redis.Redis(unix_socket_path=str(redis_socket))
    store.flushall()
    message = make_message(b"Pxyz")
    try:
        for queue, priority in [(None, None), (None, 9), ("other", None), (None, None)]:
            route = message.spec.route.__class__(queue, priority)
            spec = make_spec(1, block=0, route=route)
            publisher.send(Message(message.opening._replace(spec=spec), 0, 1))
        lists = {key: store.llen(key) for key in store.keys("*") if b"_kombu" not in key}
    finally:
        publisher.close()
        app.close()
        store.close()
    assert lists == {b"celery": 2, b"celery\x06\x169": 1, b"other": 1}
