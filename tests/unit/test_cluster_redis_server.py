import socket
import threading
import time

import pytest

from nbqueue.cluster import leftovers, redis_server
from nbqueue.cluster.redis_server import Wire, WireError
from nbqueue.core.errors import ClusterError


def test_the_command_line_opens_no_tcp_port_and_keeps_everything(tmp_path):
    words = redis_server.command_line("redis-server", tmp_path, tmp_path / "redis.sock")
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options["--port"] == "0"
    assert options["--unixsocketperm"] == "700"
    assert options["--appendonly"] == "yes"
    assert options["--aof-load-truncated"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"


@pytest.fixture
def answer(tmp_path):
    """Serve one connection at tmp_path/sock with a fixed reply to whatever is said."""
    threads = []

    def serve(reply):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "sock"))
        listener.listen()

        def run():
            with listener, listener.accept()[0] as peer:
                peer.recv(4096)
                peer.sendall(reply)

        thread = threading.Thread(target=run)
        thread.start()
        threads.append(thread)
        return tmp_path / "sock"

    yield serve
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(
    ("reply", "value"),
    [(b"+PONG\r\n", "PONG"), (b":42\r\n", 42), (b"$5\r\na\r\nbc\r\n", "a\r\nbc")],
)
def test_replies_are_read(answer, reply, value):
    with Wire(answer(reply), timeout_s=30) as wire:
        assert wire.call("ANY", "thing") == value


@pytest.mark.parametrize("reply", [b"-ERR no\r\n", b"", b"*1\r\n+x\r\n", b":x\r\n"])
def test_anything_else_is_a_wire_error(answer, reply):
    with Wire(answer(reply), timeout_s=30) as wire, pytest.raises(WireError):
        wire.call("ANY")


def test_nobody_at_the_socket_is_a_wire_error_and_an_empty_ping(tmp_path):
    with pytest.raises(WireError):
        Wire(tmp_path / "nothing")
    assert redis_server.ping(tmp_path / "nothing") == ""


def test_loading_is_told_from_silence(answer, monkeypatch):
    monkeypatch.setattr(redis_server, "Wire", lambda path, timeout_s: Wire(path, timeout_s=30))
    assert redis_server.ping(answer(b"-LOADING Redis is loading\r\n")) == "LOADING"


def test_a_silent_server_costs_a_second_and_not_for_ever(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "sock"))
        listener.listen()
        began = time.monotonic()
        assert redis_server.ping(tmp_path / "sock") == ""
        assert time.monotonic() - began < 30


def test_each_client_is_counted_once_and_others_not_at_all(answer):
    lines = [
        "id=3 addr=/s:0 name=nbqueue-client-12 cmd=ping",
        "id=4 addr=/s:0 name=nbqueue-client-12 cmd=xread",
        "id=5 addr=/s:0 name=nbqueue-client-99 cmd=ping",
        "id=6 addr=/s:0 name= cmd=brpop",
        "id=7 addr=/s:0 name=nbqueue-worker cmd=brpop",
    ]
    text = "\n".join(lines).encode() + b"\n"
    with Wire(answer(b"$%d\r\n%b\r\n" % (len(text), text)), timeout_s=30) as wire:
        assert wire.clients() == 2


def test_a_left_over_server_that_stands_still_has_not_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(leftovers, "wait_until", lambda condition, timeout_s: condition())
    path = tmp_path / "redis.sock"
    with socket.socket(socket.AF_UNIX) as still:
        still.bind(str(path))
        still.listen()
        with pytest.raises(ClusterError, match=r"listens at .*redis.sock and does not end"):
            leftovers.clean(tmp_path)
        assert path.exists()
    leftovers.clean(tmp_path)
    assert not path.exists()
