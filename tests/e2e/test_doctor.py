"""`nbqueue doctor` and `nq.doctor()`: clusters with something wrong, and what is said of it."""

import json
import os
import signal
import time

import pytest

import nbqueue as nq
from nbqueue import cli
from nbqueue.client import connecting as clients
from nbqueue.client.doctor import judging
from nbqueue.store import signing
from tests.e2e.servers import RedisServer, until

KEY = signing.generate()
OTHER = signing.generate()

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def server(servers):
    made = RedisServer(servers, "s3cret")
    made.start()
    return made


@pytest.fixture(scope="module")
def worker(servers, server):
    return servers.worker(server.url, KEY, "-c", "1", name="well")


@nq.task
def double(x):
    return 2 * x


@nq.task
def wait_for(path):
    import time

    while not path.exists():
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def _a_busy_machine_is_not_far_away(monkeypatch):
    """What answers late is told as doubtful, and here that may be anybody."""
    monkeypatch.setattr(judging, "SLOW_S", 60.0)


def saying(words, *broker, **options):
    """The first report with some words: a worker that is busy for a second is not heard in time."""
    return until(
        lambda: (found := nq.doctor(*broker, **options)) and words in repr(found) and found
    )


def told(report, status):
    return "\n".join(f"{f.check}: {f.text}" for f in report.findings if f.status == status)


def test_a_cluster_that_is_well_says_so_line_by_line(server, worker):
    with nq.connect(server.url, key=KEY):
        report = saying("has this client's key")
    assert report.ok, report
    said = told(report, "OK")
    assert "store: Redis " in said
    assert "broker: is the same Redis as the store" in said
    assert "workers: well-0@" in said or "workers: well-" in said
    assert "has this client's key, versions, store and time" in said
    assert "jobs: none is unfinished" in said
    assert "keeps nothing on disk" in told(report, "WARN")  # --save ""
    assert "s3cret" not in repr(report)
    assert KEY not in repr(report)


def test_it_looks_without_becoming_the_default_client(server, worker):
    before = clients._default
    assert nq.doctor(server.url, key=KEY).ok
    assert clients._default is before


def test_memory_that_is_thrown_away_and_a_replica(server, worker):
    with nq.connect(server.url, key=KEY) as client:
        client.store.config_set("maxmemory", "1gb")
        client.store.config_set("maxmemory-policy", "allkeys-lru")
        try:
            assert "throws away anything" in told(nq.doctor(), "FAIL")
        finally:
            client.store.config_set("maxmemory", "0")
            client.store.config_set("maxmemory-policy", "noeviction")


def test_a_queue_that_nobody_consumes_and_the_job_that_waits_there(server, worker):
    with nq.connect(server.url, key=KEY):
        job = double.with_options(queue="nobody").map([1], name="lonely")
        said = saying("workers are on celery")
        assert "queues: 'nobody' has 1 message and no consumer; workers are on celery" in told(
            said, "WARN"
        )
        assert "jobs: 'lonely' (1 item left): item 0 waits in queue 'nobody'" in told(said, "WARN")
    again = nq.doctor(server.url, key=KEY)  # in another process, say: whose job it is not
    assert "'nobody' has 1 message and no consumer" in told(again, "WARN")
    with nq.connect(server.url, key=KEY):
        job = nq.job(job.id)
        job.cancel()
        assert "lonely" not in repr(nq.doctor())


def test_another_key(server, worker):
    said = told(saying("has another signing key", server.url, key=OTHER), "FAIL")
    assert "has another signing key: it refuses all that is sent from here" in said
    both = saying("does not accept this client's key", server.url, key=f"{OTHER},{KEY}")
    assert "does not accept this client's key" in told(both, "FAIL")
    assert saying("has this client's key", server.url, key=f"{KEY},{OTHER}").ok


def test_what_was_refused_is_counted_and_looking_adds_nothing(servers):
    url = servers.redis("refused")
    worker, _ = servers.worker(url, KEY, "-c", "1", name="strict")
    assert "nothing was ever refused" in told(nq.doctor(url, key=KEY), "OK")
    assert not saying("has another signing key", url, key=OTHER).ok  # its question is no forgery
    assert "nothing was ever refused" in told(nq.doctor(url, key=KEY), "OK")
    with nq.connect(url, key=OTHER), pytest.raises(nq.BadSignature):
        double.map([1]).result(20)
    first = told(nq.doctor(url, key=KEY), "WARN")
    assert "signatures: refused: " in first
    assert first.count("refused: ") == 1
    assert " x message" in first
    worker.terminate()
    worker.wait(30)


def test_a_worker_on_another_store(servers, server, worker):
    elsewhere = servers.redis("elsewhere")
    other, _ = servers.worker(server.url, KEY, "-c", "1", backend=elsewhere, name="astray")
    # It is on the list of its own store, so this one waits a second for whoever answers.
    said = told(saying("keeps jobs in another Redis", server.url, key=KEY), "FAIL")
    assert "worker astray-" in said
    assert "keeps jobs in another Redis than this client" in said
    other.terminate()
    other.wait(60)


def test_a_worker_that_stands_still(server, worker, gate):
    process, _ = worker
    with nq.connect(server.url, key=KEY):
        assert saying("has this client's key").ok
        os.killpg(process.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            said = told(nq.doctor(), "WARN")
            assert "was there a moment ago and does not answer" in said
            assert time.monotonic() - began < 30
        finally:
            os.killpg(process.pid, signal.SIGCONT)


def test_a_job_of_a_worker_that_died(servers, gate):
    url = servers.redis("sad")
    doomed, _ = servers.worker(url, KEY, "-c", "1", name="doomed")
    with nq.connect(url, key=KEY):
        job = wait_for.map([gate], name="orphan")
        until(lambda: "runs on" in repr(job.why(0)))
        os.killpg(doomed.pid, signal.SIGKILL)
        doomed.wait()
        until(lambda: "'orphan' (1 item left): item 0 was begun" in told(nq.doctor(), "WARN"))
        report = saying("no worker answers")
        assert "no worker answers, and 1 job waits for one" in told(report, "FAIL")
        assert not report.ok


def test_nothing_answers(server, monkeypatch, capsys):
    began = time.monotonic()
    report = nq.doctor("redis://:hidden@127.0.0.1:1/0", key=KEY)
    assert "broker: no broker answers at redis://:***@127.0.0.1:1/0" in told(report, "FAIL")
    both = nq.doctor("amqp://guest:hidden@127.0.0.1:1//", backend=server.url, key=KEY)
    assert "store: answers" in told(both, "OK")
    assert "hidden" not in repr(report) + repr(both)
    assert time.monotonic() - began < 40
    monkeypatch.setenv("NBQUEUE_BROKER", server.url)
    assert cli.main(["doctor"]) == 1
    assert "key     no signing key" in capsys.readouterr().out


def test_a_store_that_goes_while_it_is_looked_at(servers):
    mortal = RedisServer(servers, "mortal")
    mortal.start()
    with nq.connect(mortal.url, key=KEY):
        mortal.kill()
        report = nq.doctor()
    assert "store: no Redis answers at redis://:***@" in told(report, "FAIL")
    assert "broker: no broker answers" in told(report, "FAIL")


def test_a_store_that_is_silent_does_not_hold_it_up(servers):
    mortal = RedisServer(servers, "silent")
    mortal.start()
    with nq.connect(mortal.url, key=KEY):
        mortal.process.send_signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            report = nq.doctor()
            took_s = time.monotonic() - began
        finally:
            mortal.process.send_signal(signal.SIGCONT)
    assert not report.ok
    assert took_s < 40


def test_on_rabbitmq(servers, rabbit):
    backend = servers.redis("store")
    process, _ = servers.worker(rabbit, KEY, "-c", "1", backend=backend, name="hare")
    report = nq.doctor(rabbit, backend=backend, key=KEY)
    assert report.ok, report
    assert "broker: RabbitMQ 3" in told(report, "OK") or "RabbitMQ 4" in told(report, "OK")
    process.terminate()
    process.wait(60)


def test_the_private_cluster_is_looked_at_and_not_started(home, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("NBQUEUE_HOME", str(tmp_path / "none"))
    assert cli.main(["doctor"]) == 0
    assert "nothing ran here yet" in capsys.readouterr().out
    assert cli.main(["doctor", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["ok"], said["findings"][0]["status"]) == (True, "OK")
    assert not (tmp_path / "none").exists()


def test_a_private_cluster_that_runs(cluster):
    assert double.map([1, 2]).result(30) == [2, 4]
    report = nq.doctor()
    assert report.ok, report
    assert "private cluster: runs for " in told(report, "OK")
    assert "nobody else can read it" in told(report, "OK")
    (cluster.folder / "key").chmod(0o644)
    try:
        assert "can be read by others (mode 644)" in told(nq.doctor(), "FAIL")
    finally:
        (cluster.folder / "key").chmod(0o600)
