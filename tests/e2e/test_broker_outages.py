"""Brokers and stores that go and come back: clients and workers wait, say so once, and go on."""

import pathlib
import re
import threading
import time

import pytest
from celery.exceptions import TimeLimitExceeded

import nbqueue as nq
from nbqueue.worker.calling.limits import WATCHDOG_S
from tests.e2e.rabbit_node import KEY
from tests.e2e.servers import RedisServer
from tests.proxy import Proxy

pytestmark = pytest.mark.timeout(120)

PASSWORD = "s3cret-w0rd"
POOLS = {
    "prefork": ("-c", "2"),
    "threads": ("-P", "threads", "-c", "2"),
    "solo": ("-P", "solo"),
}
SOON_S = 30.0
"""By when work goes on after a broker is back; on a quiet machine it takes two seconds."""


@nq.task
def double(x):
    return 2 * x


@nq.task
def nap(x):
    import time

    time.sleep(0.05)
    return x


@nq.task
def wait_for(path, x):
    import pathlib
    import time

    while not pathlib.Path(path).exists():
        time.sleep(0.01)
    return x


@pytest.fixture(params=POOLS)
def pool(request):
    return POOLS[request.param]


@pytest.fixture
def store(servers):
    """A Redis with an append-only file, which the test may kill."""
    made = RedisServer(servers, PASSWORD, "--appendonly", "yes")
    made.start()
    return made


@pytest.fixture
def leave():
    """Ends workers with the test, so that the next one has the machine to itself."""
    started = []
    yield started.append
    for process in started:
        process.terminate()
    for process in started:
        process.wait(40)


def _works():
    """Submit something, and give how long it took to be done."""
    began = time.monotonic()
    assert double.map(range(200)).result(SOON_S + 5) == [2 * x for x in range(200)]
    return time.monotonic() - began


def worker_is_cut_off(job):
    """Whether nothing is recorded any more, as seen over two looks."""
    before = job.counts()["SUCCESS"]
    time.sleep(0.5)
    return job.counts()["SUCCESS"] == before


def is_alive(pid):
    """Whether a process runs; one that has ended may still be on the list (Z)."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # the second: it ended as it was read
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def _said(capfd, words):
    return capfd.readouterr().err.count(words)


# -- restarts --------------------------------------------------------------------------------------


def test_a_worker_serves_again_after_redis_was_killed(servers, store, pool, leave, until):
    worker, log = servers.worker(store.url, KEY, *pool)
    leave(worker)
    with nq.connect(store.url, key=KEY):
        job = nap.map(range(100))
        until(lambda: job.counts()["SUCCESS"] > 5)
        store.kill()
        until(lambda: re.search("no (broker|Redis) answers", log.read_text()))
        store.start()
        assert job.result(SOON_S) == list(range(100))
        assert _works() < SOON_S
        # The known trap: a worker that has connected again, says that all is well, and takes
        # nothing. Again, because the first messages may have come with the connection.
        store.kill()
        store.start()
        assert _works() < SOON_S
        assert _works() < SOON_S


def test_a_worker_serves_again_after_rabbitmq_was_stopped(
    servers, store, rabbit_node, pool, leave, until
):
    worker, _ = servers.worker(rabbit_node.url, KEY, *pool, backend=store.url)
    leave(worker)
    with nq.connect(rabbit_node.url, backend=store.url, key=KEY):
        job = nap.map(range(200))
        until(lambda: job.counts()["SUCCESS"] > 5)
        rabbit_node.stop()
        rabbit_node.start()
        assert job.result(SOON_S) == list(range(200))
        assert _works() < SOON_S
        assert _works() < SOON_S


# -- a network that goes ---------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["cut", "silence"])
def test_a_worker_behind_a_broken_network_goes_on_when_it_is_whole(
    servers, store, how, leave, until
):
    with Proxy(store.port) as proxy, nq.connect(store.url, key=KEY):
        url = store.url.replace(str(store.port), str(proxy.port))
        worker, _ = servers.worker(url, KEY, "-c", "2")
        leave(worker)
        job = nap.map(range(100))
        until(lambda: job.counts()["SUCCESS"] > 5)
        getattr(proxy, how)()
        until(lambda: worker_is_cut_off(job))
        proxy.heal()
        assert job.result(SOON_S) == list(range(100))
        assert _works() < SOON_S


def test_a_client_whose_network_is_cut_says_so_once_and_goes_on(
    servers, store, capfd, leave, until
):
    with Proxy(store.port) as proxy:
        worker, _ = servers.worker(store.url, KEY, "-c", "2")
        leave(worker)
        with nq.connect(store.url.replace(str(store.port), str(proxy.port)), key=KEY) as client:
            job = nap.map(range(100))
            until(lambda: job.counts()["SUCCESS"] > 5)
            capfd.readouterr()
            waited = []
            waiting = threading.Thread(target=lambda: waited.append(job.result(SOON_S + 20)))
            waiting.start()
            proxy.cut()
            until(lambda: client.outage.text)
            assert "no Redis answers at" in repr(job)
            until(lambda: proxy.connections)  # (the worker goes on meanwhile)
            proxy.heal()
            waiting.join(SOON_S)
            assert waited == [list(range(100))]
            until(lambda: not client.outage.text)
        said = capfd.readouterr().err
        assert said.count("no Redis answers at") == 1
        assert "what runs goes on" in said
        assert said.count("it is there again") == 1
        assert PASSWORD not in said


# -- submitting meanwhile --------------------------------------------------------------------------


def test_a_submission_waits_for_a_redis_that_restarts(servers, store, leave, until, monkeypatch):
    monkeypatch.setattr("nbqueue.client.client._PATIENCE_S", SOON_S)
    worker, _ = servers.worker(store.url, KEY, "-c", "2")
    leave(worker)
    with nq.connect(store.url, key=KEY):
        assert _works() < SOON_S
        store.kill()
        again = threading.Timer(3.0, store.start)
        again.start()
        jobs = [double.submit(4), double.map(range(100))]
        again.join()
        assert [job.result(SOON_S) for job in jobs] == [8, [2 * x for x in range(100)]]


@pytest.mark.parametrize("how", ["call", "map", "cell", "workflow"])
def test_a_submission_without_a_store_fails_in_time_and_has_sent_nothing(store, how, monkeypatch):
    monkeypatch.setattr("nbqueue.client.client._PATIENCE_S", 1.5)
    with nq.connect(store.url, key=KEY) as client:
        double.submit(0)  # the function is known, and the connection open
        store.kill()
        client.outage.lost(ConnectionError(), "")
        client.follower.on_lost()
        began = time.monotonic()
        with pytest.raises(nq.BrokerUnreachable, match=r"no .* answers at .*nothing was sent"):
            {
                "call": lambda: double.submit(1),
                "map": lambda: double.map(range(10)),
                "cell": lambda: nq.task(lambda: 1).submit(),
                "workflow": lambda: nq.run(nq.group(double.s(1), double.s(2)) | nq.task(sum).s()),
            }[how]()
        assert time.monotonic() - began < SOON_S
        store.start()
        assert len(nq.jobs()) == 1


def test_other_calls_without_a_store_say_so(store, monkeypatch):
    monkeypatch.setattr("nbqueue.client.client._PATIENCE_S", 0.2)
    with nq.connect(store.url, key=KEY):
        job = double.map(range(3))
        store.kill()
        for call in (nq.jobs, lambda: nq.job(job.name), job.cancel, lambda: nq.put([1])):
            with pytest.raises(nq.BrokerUnreachable, match="no Redis answers"):
                call()
        assert not job.wait(0.2)
        store.start()
        assert job.cancel() == 3


# -- outcomes in hand ------------------------------------------------------------------------------


def test_outcomes_wait_in_the_worker_for_a_store_that_is_away(
    servers, store, rabbit_node, pool, gate, leave, until
):
    worker, log = servers.worker(rabbit_node.url, KEY, *pool, backend=store.url)
    leave(worker)
    with nq.connect(rabbit_node.url, backend=store.url, key=KEY):
        job = wait_for.submit(str(gate), 7)
        until(lambda: job.state == "STARTED")
        store.kill()
        gate.touch()
        until(lambda: "no Redis answers" in log.read_text())
        store.start()
        assert job.result(SOON_S) == 7
        assert job.to_frame()["attempts"].tolist() == [1]  # it did not run again
    assert log.read_text().count("no Redis answers") <= 3  # a line a process


def test_a_hard_limit_holds_without_a_store(servers, store, rabbit_node, leave, until, tmp_path):
    worker, _ = servers.worker(rabbit_node.url, KEY, "-c", "1", backend=store.url)
    leave(worker)

    @nq.task(time_limit=3)
    def endless(path, store):
        import os
        import pathlib
        import signal
        import time

        if not pathlib.Path(path).exists():  # here, because the limit runs from now on
            os.kill(store, signal.SIGKILL)
        with pathlib.Path(path).open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(600)

    path = tmp_path / "began"
    with nq.connect(rabbit_node.url, backend=store.url, key=KEY):
        job = endless.submit(str(path), store.process.pid)
        until(lambda: path.exists() and path.read_text())
        store.process.wait(SOON_S)
        pid = int(path.read_text())
        until(lambda: not is_alive(pid), 3 + WATCHDOG_S + SOON_S)
        store.start()
        assert job.wait(2 * SOON_S)
        assert isinstance(job.exceptions()[0], TimeLimitExceeded)
        assert len(path.read_text().split()) == 2


def test_a_worker_that_leaves_without_a_store_gives_its_message_back(
    servers, store, rabbit_node, gate, leave, until
):
    first, _ = servers.worker(rabbit_node.url, KEY, "-c", "1", backend=store.url)
    with nq.connect(rabbit_node.url, backend=store.url, key=KEY):
        job = wait_for.submit(str(gate), 7)
        until(lambda: job.state == "STARTED")
        store.kill()
        gate.touch()
        first.terminate()
        assert first.wait(40) == 0
        store.start()
        second, _ = servers.worker(rabbit_node.url, KEY, "-c", "1", backend=store.url)
        leave(second)
        assert job.result(SOON_S) == 7
