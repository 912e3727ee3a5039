"""Looking at a cluster and telling its workers what to do: embedded, and on Redis over TCP.

`test_rabbitmq` has the same looks at a queue there.
"""

import math
import os
import signal
import time

import pytest

import nbqueue as nq
from nbqueue.client import connecting as clients
from nbqueue.client.remote import control
from nbqueue.store import signing
from tests.e2e.conftest import _until
from tests.e2e.gates import hold

KEY = signing.generate()


@nq.task
def double(x):
    return 2 * x


def the_worker(client=None):
    # (One that stands still for some seconds has not answered.)
    [worker] = _until(lambda: control.look(client or nq.cluster()).workers)
    return worker


def the_row():
    """Its row of nq.workers()."""
    [(_, row)] = _until(lambda: list(nq.workers().iterrows()))
    return row


@pytest.fixture
def client(local_cluster):
    with local_cluster(workers=2) as made:
        assert double.map(range(2)).result(20)  # the worker is up
        yield made.connect()


@pytest.mark.usefixtures("client")
def test_what_runs_where_and_for_how_long(tmp_path, until):
    gate = tmp_path / "gate"
    job = hold.map([tmp_path] * 5, range(5), [gate] * 5, name="grid")
    until(lambda: len(list(tmp_path.glob("began-*"))) == 2)
    began = {int(path.name[6:]) for path in tmp_path.glob("began-*")}
    until(lambda: {run.item for run in the_worker().running} == began)
    worker = the_worker()
    assert {(run.job, run.job_id, run.task) for run in worker.running} == {("grid", job.id, "hold")}
    until(lambda: min(run.for_s for run in the_worker().running) > 0.3)
    row = the_row()
    assert row.name == worker.name
    assert worker.host in row["host"]
    assert (row["pool"], row["processes"], row["running"]) == ("prefork", 2, 2)
    assert row["runs"] == ", ".join(f"grid {i}" for i in sorted(began))
    assert 0.3 < row["longest_s"] < 60
    assert row["memory_mb"] > 20
    until(lambda: 1 <= nq.queues().loc["celery", "waiting"] <= 3)  # as the rest is passed on
    gate.touch()
    assert job.result(20) == list(range(5))
    until(lambda: the_row()["running"] == 0)
    row = the_row()
    assert row["done"] == 7
    assert row["runs"] == ""
    assert math.isnan(row["longest_s"])


@pytest.mark.usefixtures("client")
def test_a_queue_that_nobody_serves_is_listed(until):
    job = double.with_options(queue="nobody").submit(1)
    assert nq.queues().loc["nobody"].to_dict() == {"waiting": 1, "consumers": 0}
    until(lambda: nq.queues().loc["celery", "consumers"] == 1)
    job.cancel()


@pytest.mark.usefixtures("client")
def test_priorities_count_as_waiting():
    for priority in (0, 3, 9):
        double.with_options(queue="nobody", priority=priority).submit(1)
    assert nq.queues().loc["nobody", "waiting"] == 3


def test_a_pool_grows_and_its_busy_processes_leave_when_they_are_done(client, tmp_path, until):
    worker = the_worker(client)
    control.resize(client, worker.name, 3)
    job = hold.map([tmp_path] * 4, range(4), [tmp_path / "gate"] * 4)
    # (All three in this job: one that was still at the job before would be idle in a moment.)
    until(lambda: len(list(tmp_path.glob("began-*"))) == 3)
    until(lambda: the_worker(client).n_running == 3)
    control.resize(client, worker.name, 1)
    worker = the_worker(client)
    assert (worker.processes, worker.leaving, worker.n_running) == (1, 2, 3)
    (tmp_path / "gate").touch()
    assert job.result(20) == list(range(4))
    until(lambda: the_worker(client).leaving == 0)
    again = hold.map([tmp_path] * 4, range(10, 14), [tmp_path / "gate2"] * 4)
    until(lambda: the_worker(client).n_running == 1)
    (tmp_path / "gate2").touch()
    assert again.result(20) == list(range(10, 14))
    assert not job.exceptions()


def test_whoever_was_to_leave_stays_when_the_pool_grows_again(client, tmp_path, until):
    worker = the_worker(client)
    job = hold.map([tmp_path] * 2, range(2), [tmp_path / "gate"] * 2)
    until(lambda: the_worker(client).n_running == 2)
    control.resize(client, worker.name, 1)
    control.resize(client, worker.name, 2)
    assert (the_worker(client).processes, the_worker(client).leaving) == (2, 0)
    (tmp_path / "gate").touch()
    assert job.result(20) == [0, 1]
    job = hold.map([tmp_path] * 3, range(10, 13), [tmp_path / "gate2"] * 3)
    until(lambda: the_worker(client).n_running == 2)
    (tmp_path / "gate2").touch()
    assert job.result(20) == [10, 11, 12]


def test_sizes_that_make_no_sense_are_refused(client):
    worker = the_worker(client).name
    with pytest.raises(nq.UsageError, match="at least 1"):
        control.resize(client, worker, 0)
    with pytest.raises(nq.ClusterError, match="does not answer"):
        control.resize(client, "nobody@nowhere", 2)


def test_a_stopped_worker_finishes_what_it_runs_and_a_new_one_comes(client, tmp_path, until):
    before = the_worker(client).name
    job = hold.map([tmp_path] * 3, range(3), [tmp_path / "gate"] * 3)
    until(lambda: the_worker(client).n_running == 2)
    control.stop(client, [before])
    (tmp_path / "gate").touch()
    assert job.result(60) == [0, 1, 2]
    assert len(list(tmp_path.glob("began-*"))) == 3
    assert set(job.to_frame()["attempts"]) == {1}
    until(lambda: [w for w in control.look(client, timeout_s=0.5).workers if w.name != before])


def test_a_scaled_cluster_knows_its_size(local_cluster):
    with local_cluster(workers=1) as made:
        made.scale(3)
        assert the_worker().processes == 3
        made.scale(2)
        assert the_worker().processes == 2
        with pytest.raises(nq.UsageError, match="at least 1"):
            made.scale(0)


def test_threads_keep_their_number(local_cluster, tmp_path, until):
    with local_cluster(threads=2):
        double.submit(1).result(20)
        job = hold.map([tmp_path] * 2, range(2), [tmp_path / "gate"] * 2, name="t")
        until(lambda: {run.item for run in the_worker().running} == {0, 1})
        worker = the_worker()
        assert (worker.pool, worker.processes, worker.resizable) == ("threads", 2, False)
        with pytest.raises(nq.UsageError, match="threads"):
            control.resize(nq.cluster(), worker.name, 3)
        (tmp_path / "gate").touch()
        job.result(20)


def test_a_closed_client_is_not_asked(client):
    client.close()
    with pytest.raises(nq.UsageError, match="closed"):
        client.workers()


def test_celerys_own_control_is_there(client):
    assert repr(nq.control).startswith("<Celery")
    assert nq.control.inspect(timeout=5, limit=1).ping() == {the_worker().name: {"ok": "pong"}}
    assert not hasattr(nq.control, "_repr_html_")


def test_the_cluster_is_the_default_client(client):

    assert nq.cluster() is client is clients._default
    assert "workers" not in repr(nq.cluster())


def test_several_workers_over_tcp_are_told_apart(servers, tmp_path, until):
    url = servers.redis("s3cret")
    servers.worker(url, KEY, "-c", "1", "-Q", "celery", name="left")
    servers.worker(url, KEY, "-c", "2", "-Q", "celery,gpu", name="right")
    frames = []
    with nq.connect(url, key=KEY) as client:
        until(lambda: len(frames.append(nq.workers()) or frames[-1]) == 2)
        frame = frames[-1]
        assert [name.split("-")[0] for name in frame.index] == ["left", "right"]
        assert frame["queues"].tolist() == ["celery", "celery, gpu"]
        until(lambda: nq.queues()["consumers"].to_dict() == {"celery": 2, "gpu": 1})
        job = hold.map([tmp_path] * 4, range(4), [tmp_path / "gate"] * 4)
        until(lambda: nq.workers()["running"].tolist() == [1, 2])
        right = frame.index[1]
        control.resize(client, right, 3)
        until(lambda: nq.workers()["running"].tolist() == [1, 3])
        control.stop(client, [right])
        (tmp_path / "gate").touch()
        assert job.result(20) == list(range(4))
        until(lambda: nq.workers().index.tolist() == frame.index.tolist()[:1])


def test_a_broker_that_is_gone_is_told_soon(servers):
    url = servers.redis("s3cret")
    with nq.connect(url, key=KEY) as client:
        assert client.workers().empty
        servers._processes[-1].kill()
        servers._processes[-1].wait()
        began = time.monotonic()
        with pytest.raises(nq.BrokerUnreachable, match="no broker answers"):
            client.workers()
        assert time.monotonic() - began < 30  # and not for ever


def test_a_broker_that_hangs_is_told_too(servers):
    url = servers.redis("s3cret")
    process = servers._processes[-1]
    with nq.connect(url, key=KEY) as client:
        os.kill(process.pid, signal.SIGSTOP)
        began = time.monotonic()
        try:
            with pytest.raises(nq.BrokerUnreachable):
                client.queues()
            assert time.monotonic() - began < 60  # and not for ever
        finally:
            os.kill(process.pid, signal.SIGCONT)
        assert client.queues().index.tolist() == ["celery"]  # and it is found again
