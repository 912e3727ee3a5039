"""A store to test against: a fake one, and a real Redis of the test session's own."""

import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import fakeredis
import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from nbqueue.cluster.redis_server import ping
from nbqueue.store.connection.connection import Pool

settings.register_profile(
    "nbqueue",
    deadline=None,  # a first run compiles Lua; a busy machine is not a failure
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("nbqueue")


@pytest.fixture(scope="session")
def redis_socket():
    """Socket of a private redis-server; tests that need it are skipped where there is none."""
    server = shutil.which("redis-server") or shutil.which("valkey-server")
    if server is None:
        pytest.skip("no redis-server on PATH")
    # Not pytest's own folder: a socket's path must stay below about 100 characters.
    folder = Path(tempfile.mkdtemp(prefix="nbq-test-"))
    path = folder / "redis.sock"
    process = subprocess.Popen(
        [server, "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while ping(path) != "PONG" and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)  # a socket that is there is not listened to yet
        yield path
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["fake", "real"])
def store(request):
    """An empty store: each test runs on a fake and on a real Redis."""
    if request.param == "fake":
        yield fakeredis.FakeRedis(server=fakeredis.FakeServer())
        return
    pool = Pool.from_url(f"unix://{request.getfixturevalue('redis_socket')}")
    client = redis.Redis.from_pool(pool)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def fake_store():
    """An empty fake store, where the kind of Redis makes no difference."""
    return fakeredis.FakeRedis(server=fakeredis.FakeServer())


@pytest.fixture
def state_machine(store):
    """Run a state machine of hypothesis, whose class is made of a store: empty for each example."""
    how = settings(max_examples=100, stateful_step_count=25)

    def run(machine):
        def anew():
            store.flushall()
            return machine(store)

        run_state_machine_as_test(anew, settings=how)

    return run
