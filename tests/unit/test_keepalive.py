"""Connections over TCP ask whether the other end is still there; a Unix socket's need not."""

import socket

import pytest

from nbqueue.store.broker.broker import make_app
from nbqueue.store.connection import connection, keepalive

pytestmark = pytest.mark.skipif(
    not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux has a time limit for silence"
)


@pytest.mark.parametrize("url", ["redis://host:1/0", "rediss://host:1/0"])
def test_the_store_and_the_broker_are_asked(url):
    store = connection.connect(url).connection_pool.connection_kwargs
    broker = make_app(url).conf.broker_transport_options
    for told in (store, broker):
        assert told["socket_keepalive"] is True
        assert told["socket_keepalive_options"][socket.TCP_USER_TIMEOUT] == 10_000
        assert told["socket_keepalive_options"][socket.TCP_KEEPIDLE] == 5


def test_a_socket_of_this_machine_is_not():
    told = connection.connect("unix:///tmp/redis.sock").connection_pool.connection_kwargs
    assert "socket_keepalive_options" not in told


def test_what_somebody_has_chosen_is_kept():
    app = make_app(
        "redis://host:1/0", settings={"broker_transport_options": {"socket_keepalive": False}}
    )
    assert app.conf.broker_transport_options["socket_keepalive"] is False


def test_a_system_that_takes_none_of_the_options_is_asked_for_none(monkeypatch):
    def refuse(*_):
        raise OSError

    monkeypatch.setattr(socket.socket, "setsockopt", refuse)
    assert keepalive._known.__wrapped__() == {}
