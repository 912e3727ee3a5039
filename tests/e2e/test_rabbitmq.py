"""RabbitMQ as the broker, Redis as the store: the same jobs on a private node."""

import pytest

import nbqueue as nq
from nbqueue.client.remote import control
from nbqueue.store import signing
from tests.e2e.gates import hold

KEY = signing.generate()


@pytest.fixture(scope="module")
def backend(servers):
    return servers.redis("s3cret-w0rd")


@pytest.fixture(scope="module")
def worker(servers, rabbit, backend):
    return servers.worker(rabbit, KEY, "-c", "2", backend=backend)


@pytest.fixture(autouse=True)
def client(rabbit, backend, worker):
    with nq.connect(rabbit, backend=backend, key=KEY) as made:
        yield made


def test_calls_and_maps(client):
    double = nq.task(lambda x: 2 * x)
    assert double.submit(21).result(20) == 42
    assert double.map(range(1_000)).result(30) == [2 * i for i in range(1_000)]
    assert double.chunks([(i,) for i in range(10)], 3).result(20) == [2 * i for i in range(10)]
    assert "guest:guest" not in repr(client)


def test_errors_and_retry(tmp_path):
    def f(path, x):
        import pathlib

        if x % 2 and not pathlib.Path(path).exists():
            raise ValueError(x)
        return x

    path = tmp_path / "there"
    job = nq.task(f).starmap((str(path), x) for x in range(100))
    assert job.wait(20)
    assert (job.counts()["SUCCESS"], job.counts()["FAILURE"]) == (50, 50)
    path.touch()
    assert job.retry().result(20) == list(range(100))


def test_cancel_while_queued_and_running(tmp_path, until):
    folder, gate = tmp_path / "ran", tmp_path / "gate"
    folder.mkdir()
    job = hold.map([folder] * 20, range(20), [gate] * 20)
    until(lambda: job.counts()["STARTED"] == 2)
    assert job.cancel() == 20
    assert job.wait(20)
    gate.touch()
    assert hold.map([folder] * 2, [100, 101]).wait(20)
    assert len(list(folder.iterdir())) == 4


def test_terminate(tmp_path, until):
    folder, gate = tmp_path / "ran", tmp_path / "gate"
    folder.mkdir()
    job = hold.map([folder] * 4, range(4), [gate] * 4)
    until(lambda: job.counts()["STARTED"] == 2)
    job.cancel(terminate=True)
    assert hold.map([folder] * 2, [100, 101]).result(20) == [100, 101]
    assert len(list(folder.iterdir())) == 4
    gate.touch()


def test_a_dead_workers_items_come_back(tmp_path):
    def once(folder, i):
        import os
        import pathlib

        path = pathlib.Path(folder) / "died"
        if i == 3 and not path.exists():
            path.touch()
            os._exit(1)
        return i

    job = nq.task(once).starmap((str(tmp_path), i) for i in range(50))
    assert job.result(40) == list(range(50))


def test_an_item_that_always_kills_its_worker_fails_alone():
    def f(i):
        import os

        if i == 5:
            os._exit(1)
        return i

    job = nq.task(f).map(range(20))
    assert job.wait(40)
    assert isinstance(job.exceptions()[5], nq.WorkerLost)
    assert job.counts()["SUCCESS"] == 19


def test_a_queue_that_nobody_listens_to_waits(client):
    job = nq.task(lambda: 1).apply_async(queue="nobody")
    assert job.wait(0.3) is False
    assert job.cancel() == 1


@pytest.mark.usefixtures("client")
def test_workers_and_queues_are_listed(tmp_path, until):
    job = hold.map([tmp_path] * 5, range(5), [tmp_path / "gate"] * 5, name="grid")
    unheard = hold.with_options(queue="unheard").submit(tmp_path, 9)
    until(lambda: nq.workers()["running"].tolist() == [2])
    until(lambda: nq.queues()["waiting"].get("celery"))  # the rest of the job is handed on
    (row,) = until(lambda: nq.workers().to_dict("records"))
    assert (row["pool"], row["processes"], row["queues"]) == ("prefork", 2, "celery")
    assert row["runs"].startswith("grid ")
    queues = nq.queues()
    assert queues["consumers"].to_dict() == {"celery": 1, "unheard": 0}
    assert queues.loc["unheard", "waiting"] == 1
    assert 1 <= queues.loc["celery", "waiting"] <= 3
    unheard.cancel()
    (tmp_path / "gate").touch()
    assert job.result(20) == list(range(5))


def test_a_busy_pool_shrinks_when_it_can(client, tmp_path, until, monkeypatch):
    monkeypatch.setattr(control, "LOCAL_S", 30.0)  # its answer ends the wait
    name = until(lambda: list(nq.workers().index))[0]
    job = hold.map([tmp_path] * 4, range(4), [tmp_path / "gate"] * 4)
    until(lambda: nq.workers()["running"].tolist() == [2])
    control.resize(client, name, 1)
    (tmp_path / "gate").touch()
    assert job.result(20) == list(range(4))
    again = hold.map([tmp_path] * 3, range(10, 13), [tmp_path / "gate2"] * 3)
    until(lambda: nq.workers()["running"].tolist() == [1])
    (tmp_path / "gate2").touch()
    assert again.result(20) == [10, 11, 12]
    control.resize(client, name, 2)
    until(lambda: nq.workers()["processes"].tolist() == [2])


def test_a_retry_whose_client_died_before_it_sent_the_message_runs(client, tmp_path, monkeypatch):
    def fails(path, x):
        import pathlib

        if not pathlib.Path(path).exists():
            raise ValueError(x)
        return x

    monkeypatch.setattr("nbqueue.client.retrying._KEPT_S", 1.0)
    job = nq.task(fails).starmap((str(tmp_path / "there"), x) for x in range(4))
    assert job.wait(20)
    (tmp_path / "there").touch()

    def die(message):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(client.publisher, "send", die)
        with pytest.raises(SystemExit):
            job.retry()
    assert job.result(30) == list(range(4))


def test_a_retry_waits_for_a_broker_that_is_away(client, tmp_path, monkeypatch, capfd):
    def fails(path):
        import pathlib

        if not pathlib.Path(path).exists():
            raise ValueError(path)
        return 1

    monkeypatch.setattr("nbqueue.client.retrying._KEPT_S", 1.0)
    job = nq.task(fails).submit(str(tmp_path / "there"))
    assert job.wait(20)
    (tmp_path / "there").touch()

    def away(message):
        raise nq.BrokerUnreachable("no broker answers")

    with monkeypatch.context() as patch:
        patch.setattr(client.publisher, "send", away)
        job.retry()
    assert "is retried when the broker is there again" in capfd.readouterr().err
    assert job.result(30) == 1
