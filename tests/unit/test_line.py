"""A line: commands over one kept connection, and what happens when that is not to be had."""

import threading

import pytest
import redis

from nbqueue.store.connection.connection import connect
from nbqueue.store.connection.line import Line


@pytest.fixture
def line(store):
    return Line(store)


def connection(line):
    return line._client.connection


def test_a_reply_is_the_raw_reply(store, line):
    store.set("a", b"\x00\xff")
    assert line.ask("GET", "a") == b"\x00\xff"
    assert line.ask("GET", "b") is None


def test_an_error_of_the_command_is_raised_and_the_line_goes_on(line):
    line.ask("SET", "a", "text")
    kept = connection(line)
    with pytest.raises(redis.ResponseError):
        line.ask("LPUSH", "a", "x")
    assert line.ask("GET", "a") == b"text"
    assert connection(line) is kept


def test_a_command_survives_the_loss_of_its_connection(redis_socket):
    with redis.Redis(unix_socket_path=str(redis_socket)) as store:
        line = Line(store)
        for _ in range(2):
            lost = line.ask("CLIENT", "ID")
            store.client_kill_filter(_id=str(lost))
            assert line.ask("ECHO", "still there") == b"still there"


def test_a_thread_does_not_wait_for_the_reply_of_another(store, line, monkeypatch):
    line.ask("SET", "a", "1")
    kept, entered, leave = connection(line), threading.Event(), threading.Event()
    read = kept.read_response

    def read_slowly(**options):
        entered.set()
        assert leave.wait(10)
        return read(**options)

    monkeypatch.setattr(kept, "read_response", read_slowly)
    other = threading.Thread(target=line.ask, args=("GET", "a"))
    other.start()
    try:
        assert entered.wait(10)
        assert line.ask("GET", "a") == b"1"
    finally:
        leave.set()
        other.join(10)


def test_an_interrupted_command_leaves_no_reply_behind_for_the_next(store, line, monkeypatch):
    line.ask("SET", "a", "1")
    kept = connection(line)

    def interrupted(**options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(kept, "read_response", interrupted)
        with pytest.raises(KeyboardInterrupt):
            line.ask("GET", "a")
    assert line.ask("ECHO", "another") == b"another"


def test_a_client_that_is_collected_as_its_pool_makes_a_connection_stops_nobody(
    redis_socket, monkeypatch
):
    store = connect(f"unix://{redis_socket}")
    own, pool = store.client(), store.connection_pool
    make = pool.make_connection
    monkeypatch.setattr(pool, "make_connection", lambda: own.close() or make())
    assert store.ping()
    store.close()
