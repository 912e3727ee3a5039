"""The proxy that plays broken networks: what others' tests rely on."""

import socket
import socketserver
import threading

import pytest

from tests.proxy import Proxy


class _Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(100):
            self.request.sendall(data)


@pytest.fixture
def proxy():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with Proxy(server.server_address[1]) as made:
            yield made
        server.shutdown()
        thread.join()


def _line(proxy):
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=30)


def _says(line, word):
    line.sendall(word)
    return line.recv(100)


def test_it_forwards(proxy):
    with _line(proxy) as line, _line(proxy) as other:
        assert (_says(line, b"one"), _says(other, b"two")) == (b"one", b"two")
    assert proxy.connections == 2


def test_cut_resets_connections_and_refuses_new_ones(proxy):
    with _line(proxy) as line:
        assert _says(line, b"one") == b"one"
        proxy.cut()
        with pytest.raises(ConnectionError):
            assert line.recv(100) != b""
        with pytest.raises(ConnectionRefusedError):
            _line(proxy)
    proxy.heal()
    with _line(proxy) as line:
        assert _says(line, b"two") == b"two"


def test_silence_holds_back_and_heals(proxy):
    with _line(proxy) as line:
        assert _says(line, b"one") == b"one"
        proxy.silence()
        line.settimeout(0.2)
        with pytest.raises(TimeoutError):
            _says(line, b"two")
        with _line(proxy) as late:
            late.settimeout(0.2)
            with pytest.raises(TimeoutError):
                _says(late, b"three")
            proxy.heal()
            line.settimeout(30)
            late.settimeout(30)
            assert (line.recv(100), late.recv(100)) == (b"two", b"three")
