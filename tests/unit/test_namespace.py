"""The namespace that plays a worker's own machine: what the fault suite relies on."""

import socket
import subprocess
import sys

import pytest

from tests import namespace
from tests.namespace import Refused, open_namespace

ECHO = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20) as line:
    while data := line.recv(100):
        line.sendall(data)
"""


@pytest.fixture
def made():
    try:
        there = namespace.Namespace()
    except Refused as exc:
        pytest.skip(f"no network namespace is permitted here: {exc}")
    with there:
        yield there


@pytest.fixture
def line(made):
    """A connection from a process in the namespace, which sends back what it hears."""
    with socket.create_server((made.here, 0)) as server:
        server.settimeout(20)
        words = [sys.executable, "-c", ECHO, made.here, str(server.getsockname()[1])]
        process = subprocess.Popen([*made.prefix, *words])
        line, (address, _) = server.accept()
        assert address == made.there
        with line:
            yield line
        process.kill()
        process.wait()


def says(line, word, timeout_s=20.0):
    line.settimeout(timeout_s)
    line.sendall(word)
    return line.recv(100)


def test_what_is_said_into_the_silence_arrives_when_it_is_over(made, line):
    assert says(line, b"one") == b"one"
    made.silence()
    with pytest.raises(TimeoutError):
        says(line, b"two", 0.3)
    made.heal()
    line.settimeout(20)
    assert line.recv(100) == b"two"


def test_what_was_connected_is_dead_when_the_namespace_has_another_address(made, line):
    assert says(line, b"one") == b"one"
    before = made.there
    made.move()
    assert made.there != before
    with pytest.raises(TimeoutError):
        says(line, b"two", 0.3)


def test_nothing_of_it_is_left(made):
    made.close()
    links = subprocess.run([namespace._tool("ip"), "link"], capture_output=True, check=True)
    assert made._wire.encode() not in links.stdout


def test_where_it_is_not_permitted_there_is_none(monkeypatch):
    monkeypatch.setattr(namespace, "PATH", "/nowhere")
    assert open_namespace() is None
