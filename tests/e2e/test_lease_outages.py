"""Redis goes away and comes back while items run: they run on, once."""

import time

import pytest

import nbqueue as nq
from nbqueue.store import signing
from tests.e2e.servers import RedisServer

pytestmark = pytest.mark.timeout(120)

LEASE_S = 8.0


def waits(folder, i):
    """Note that it began, and wait for a file `gate`."""
    import pathlib
    import time

    with (pathlib.Path(folder) / f"began-{i}").open("a") as began:
        began.write("x")
    while not (pathlib.Path(folder) / "gate").exists():
        time.sleep(0.01)
    return i


@pytest.fixture
def server(servers):
    made = RedisServer(servers, "s3cret-w0rd", "--appendonly", "yes", "--appendfsync", "always")
    made.start()
    return made


def test_what_runs_goes_on_while_redis_is_restarted(server, servers, tmp_path, until):
    """Two workers: neither takes the other for dead because of the restart.

    (With a lease of less, neither may stand still for a moment.)
    """
    key = signing.generate()
    options = ("-c", "1", "--lease", str(LEASE_S))
    logs = [servers.worker(server.url, key, *options)[1] for _ in range(2)]
    with nq.connect(server.url, key=key):
        job = nq.task(waits).map([str(tmp_path)] * 6, range(6))
        until(lambda: len(list(tmp_path.glob("began-*"))) == 2)
        server.kill()
        server.start()
        again = time.monotonic()
        until(lambda: time.monotonic() - again > 2 * LEASE_S, 60)
        assert [path.read_text() for path in tmp_path.glob("began-*")] == ["x", "x"], [
            log.read_text()[-3000:] for log in logs
        ]
        (tmp_path / "gate").touch()
        assert job.result(30) == list(range(6))
        assert {path.read_text() for path in tmp_path.glob("began-*")} == {"x"}
        assert nq.task(waits).map([str(tmp_path)] * 6, range(10, 16)).wait(20)
