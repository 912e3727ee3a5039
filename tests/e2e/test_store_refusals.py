"""What Redis refuses is said, with what to do, where the person looks; and then it goes on."""

import time

import pytest
import redis

import nbqueue as nq
from tests.e2e.rabbit_node import KEY
from tests.e2e.servers import RedisServer

pytestmark = pytest.mark.timeout(120)

PASSWORD = "s3cret-w0rd"


@nq.task
def double(x):
    return 2 * x


@nq.task
def wait_for(path, x):
    import pathlib
    import time

    while not pathlib.Path(path).exists():
        time.sleep(0.01)
    return x


def _no_memory(server, admin):
    admin.config_set("maxmemory", 1)


def _memory(server, admin):
    admin.config_set("maxmemory", 0)


def _replica(server, admin):
    admin.replicaof("127.0.0.1", 1)


def _primary(server, admin):
    admin.replicaof("NO", "ONE")


def _full_disk(server, admin):
    (server.folder / "dump.rdb").mkdir()  # nothing can be saved where a folder is in the way
    admin.config_set("save", "3600 1")
    admin.bgsave()
    _until_saved(admin, "err")


def _free_disk(server, admin):
    (server.folder / "dump.rdb").rmdir()
    admin.bgsave()
    _until_saved(admin, "ok")


def _until_saved(admin, status):
    deadline = time.monotonic() + 60
    while admin.info("persistence")["rdb_last_bgsave_status"] != status:
        assert time.monotonic() < deadline
        time.sleep(0.02)


STATES = {
    "maxmemory": (_no_memory, _memory, "out of memory.*raise its maxmemory"),
    "replica": (_replica, _primary, "read-only replica.*connect to the primary"),
    "disk": (_full_disk, _free_disk, "cannot save its data.*free space"),
}


@pytest.fixture(params=STATES)
def refusing(request):
    return STATES[request.param]


@pytest.fixture
def server(servers):
    made = RedisServer(servers, PASSWORD)
    made.start()
    return made


@pytest.fixture
def admin(server):
    with redis.Redis.from_url(server.url) as client:
        yield client


def test_a_submission_that_redis_refuses_says_why_and_that_nothing_was_sent(
    server, admin, refusing
):
    refuse, mend, words = refusing
    with nq.connect(server.url, key=KEY):
        double.submit(1)
        refuse(server, admin)
        began = time.monotonic()
        for submit in (
            lambda: double.submit(2),
            lambda: double.map(range(100)),
            lambda: nq.run(nq.group(double.s(1), double.s(2))),
            lambda: nq.task(lambda: 1).submit(),
        ):
            with pytest.raises(nq.StoreRefused, match=f"{words}.*nothing was sent"):
                submit()
        assert time.monotonic() - began < 10
        mend(server, admin)
        assert len(nq.jobs()) == 1
        assert double.submit(3).state == "PENDING"


def test_outcomes_wait_for_a_redis_that_refuses_and_the_person_is_told(
    servers, server, admin, refusing, gate, until, capfd
):
    refuse, mend, _ = refusing
    worker, log = servers.worker(server.url, KEY, "-c", "1")
    with nq.connect(server.url, key=KEY) as client:
        job = wait_for.submit(str(gate), 7)
        until(lambda: job.state == "STARTED")
        capfd.readouterr()
        refuse(server, admin)
        gate.touch()
        until(lambda: client.outage.text)
        until(lambda: "refuses to write" in log.read_text() or "READONLY" in log.read_text())
        assert "refuses to write" in repr(job)
        mend(server, admin)
        assert job.result(30) == 7
        assert double.map(range(10)).result(20) == [2 * x for x in range(10)]
        until(lambda: not client.outage.text)
    said = capfd.readouterr().err
    assert said.count("refuses to write") == 1
    assert "there again" in said
    worker.terminate()
    assert worker.wait(60) == 0


def test_what_is_there_can_be_read_while_redis_refuses(servers, server, admin, refusing, gate):
    refuse, mend, _ = refusing
    worker, log = servers.worker(server.url, KEY, "-c", "1")
    with nq.connect(server.url, key=KEY):
        done = double.map(range(10), name="done")
        done.result(30)
        begun = wait_for.map([str(gate)], [7])
        waiting = double.submit(1)  # nothing of it is in the store yet, but for its message
        refuse(server, admin)
        assert done.name in set(nq.jobs()["name"])
        with nq.connect(server.url, key=KEY):  # as a new kernel does
            assert done.name in set(nq.jobs()["name"])
            assert nq.job("done").result(20) == [2 * x for x in range(10)]
            assert len(nq.job("done").to_frame()) == 10
            found = nq.job(begun.id)
            assert found.state in ("PENDING", "STARTED")
            gate.touch()
            mend(server, admin)
            assert found.result(30) == [7]
        assert waiting.result(30) == 2
    worker.terminate()
    assert worker.wait(60) == 0, log.read_text()


def test_too_many_clients_is_what_a_call_says(server, admin, monkeypatch):
    monkeypatch.setattr("nbqueue.client.client._PATIENCE_S", 0.2)
    admin.config_set("maxclients", 1)
    with pytest.raises(nq.BrokerUnreachable, match=r"no room for another connection.*maxclients"):
        nq.connect(server.url, key=KEY)


def test_a_redis_that_throws_jobs_away_is_warned_of(server, admin, capfd):
    admin.config_set("maxmemory-policy", "allkeys-lru")
    with nq.connect(server.url, key=KEY):
        assert "throws keys away" not in capfd.readouterr().err  # it has no limit
    admin.config_set("maxmemory", "100mb")
    with nq.connect(server.url, key=KEY):
        said = capfd.readouterr().err
    assert "throws keys away" in said
    assert "noeviction" in said
    assert PASSWORD not in said
