"""`nq.connect`: what it takes; what is wrong is said within seconds and without a password."""

import logging
import socket
import time
import traceback

import pytest

import nbqueue as nq
from nbqueue.client import connecting
from nbqueue.store import signing

KEY = "k" * 32
PASSWORD = "s3cret-w0rd"
ENOUGH_S = 30.0
"""Generous: a server that is silent is given up after three, and a busy machine takes some more."""


def refused(expected, *args, **options):
    """The error of a connection that fails, within the time that is promised."""
    began = time.monotonic()
    with pytest.raises(expected) as caught:
        nq.connect(*args, **{"key": KEY, **options})
    assert time.monotonic() - began < ENOUGH_S
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert PASSWORD not in shown
    assert KEY not in shown
    return str(caught.value)


@pytest.fixture(scope="module")
def url(servers):
    return servers.redis(PASSWORD)


@pytest.fixture
def deaf():
    """A server that takes connections and never says a word."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.fixture(autouse=True)
def _no_failure_is_remembered(monkeypatch):
    monkeypatch.setattr(connecting, "_failed", None)


@pytest.fixture(autouse=True)
def _no_secrets_in_logs(caplog):
    caplog.set_level(logging.DEBUG)
    yield
    assert PASSWORD not in caplog.text


def test_a_broker_that_is_not_there_is_named():
    message = refused(nq.BrokerUnreachable, f"redis://:{PASSWORD}@127.0.0.1:1/0")
    assert "redis://:***@127.0.0.1:1/0" in message
    assert "check that it runs" in message
    assert isinstance(nq.BrokerUnreachable(""), ConnectionError)


def test_a_socket_that_is_not_there_is_named(tmp_path):
    assert "none.sock" in refused(nq.BrokerUnreachable, f"redis+socket://{tmp_path}/none.sock")
    assert "none.sock" in refused(nq.BrokerUnreachable, f"unix://{tmp_path}/none.sock")


def test_a_name_that_is_nowhere_is_named():
    assert "nowhere.invalid" in refused(nq.BrokerUnreachable, "redis://nowhere.invalid:6379/0")


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_server_that_never_answers_is_given_up(url, deaf, scheme):
    broker = f"{scheme}://user:{PASSWORD}@127.0.0.1:{deaf}//"
    message = refused(nq.BrokerUnreachable, broker, backend=None if scheme == "redis" else url)
    assert str(deaf) in message


def test_a_wrong_password_says_so(url):
    message = refused(nq.BrokerUnreachable, url.replace(PASSWORD, "wrong"))
    assert "password" in message
    refused(nq.BrokerUnreachable, url.replace(f":{PASSWORD}@", ""))


def test_a_dead_rabbit_is_named(url):
    broker = f"amqp://user:{PASSWORD}@127.0.0.1:1//"
    message = refused(nq.BrokerUnreachable, broker, backend=url)
    assert "amqp://user:***@127.0.0.1:1//" in message


def test_a_rabbit_needs_a_backend(url):
    message = refused(nq.UsageError, f"amqp://user:{PASSWORD}@127.0.0.1//")
    assert "backend='redis://" in message
    assert "must be Redis" in refused(nq.UsageError, url, backend=f"amqp://u:{PASSWORD}@h//")


def test_the_backend_may_come_from_the_environment(url, monkeypatch):
    monkeypatch.setenv("NBQUEUE_BACKEND", url)
    # Not a UsageError about the backend: it gets as far as the broker, which is not there.
    assert "127.0.0.1:1" in refused(nq.BrokerUnreachable, "amqp://127.0.0.1:1//")


@pytest.mark.parametrize("broker", ["", "nonsense", "redis", "://", "http://127.0.0.1:1/"])
def test_what_is_no_broker_url_is_refused(broker, monkeypatch, tmp_path):
    if not broker:
        monkeypatch.setenv("NBQUEUE_BROKER", "nonsense")
    refused((nq.UsageError, nq.BrokerUnreachable), broker)


@pytest.mark.parametrize("broker", ["redis://127.0.0.1:notaport/0", "redis://127.0.0.1:99999/0"])
def test_a_port_that_is_none_is_refused(broker):
    refused((nq.UsageError, nq.BrokerUnreachable), broker)


def test_a_key_is_needed_and_must_be_long(url, monkeypatch):
    assert "nbqueue keygen" in refused(nq.UsageError, url, key=None)
    assert "shorter than" in refused(nq.UsageError, url, key="short")
    assert "empty" in refused(nq.UsageError, url, key=" , ")
    monkeypatch.setenv("NBQUEUE_KEY", KEY)
    with nq.connect(url):
        pass


def test_a_failed_connection_leaves_the_default_alone(local_cluster):
    with local_cluster(workers=1):
        with pytest.raises(nq.BrokerUnreachable):
            nq.connect("redis://127.0.0.1:1/0", key=KEY)
        assert nq.task(lambda: "still here").submit().result(20) == "still here"


def test_after_a_failed_connection_no_other_cluster_is_taken_in_its_stead(
    url, monkeypatch, tmp_path
):
    monkeypatch.setenv("NBQUEUE_HOME", str(tmp_path))
    refused(nq.BrokerUnreachable, f"redis://:{PASSWORD}@127.0.0.1:1/0")
    for call in (nq.task(lambda: 1).submit, nq.jobs, nq.cluster):
        with pytest.raises(nq.UsageError, match=r"nq.connect to redis://:\*\*\*@127.0.0.1:1/0"):
            call()
    assert not any(tmp_path.iterdir())  # nothing was started
    refused(nq.UsageError, app="no_such_project")
    with pytest.raises(nq.UsageError, match="'no_such_project' has failed"):
        nq.jobs()
    with nq.connect(url, key=KEY):
        assert len(nq.jobs()) == 0


def test_nothing_secret_is_shown_of_a_client(url):
    with nq.connect(url, key=KEY, name="mine") as client:
        for shown in (repr(client), repr(vars(client)), client.broker_url, client.store_url):
            assert PASSWORD not in shown
            assert KEY not in shown
        assert repr(client).startswith("<Client 'mine': connected, redis://:***@127.0.0.1:")
    assert "closed" in repr(client)


def test_the_broker_may_come_from_the_environment(url, monkeypatch):
    monkeypatch.setenv("NBQUEUE_BROKER", url)
    monkeypatch.setenv("NBQUEUE_KEY", signing.generate())
    with nq.connect() as client:
        assert "127.0.0.1" in client.broker_url
        assert len(nq.jobs()) == 0


def test_a_client_can_be_closed_twice_and_is_not_the_default_then(url):
    client = nq.connect(url, key=KEY)
    client.close()
    client.close()
    with nq.connect(url, key=KEY) as other:
        assert other is not client
