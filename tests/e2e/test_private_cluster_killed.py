"""The private cluster's processes are killed while a notebook waits for its jobs."""

import os
import shutil
import signal
import tempfile

import pytest

import nbqueue as nq
from nbqueue.client import connecting
from nbqueue.cluster import embedded
from nbqueue.cluster.folder import held
from nbqueue.cluster.state import mark_of

pytestmark = pytest.mark.timeout(120)


@nq.task
def nap(x, gate=None):
    import time
    from pathlib import Path

    time.sleep(0.05)
    while gate is not None and not Path(gate).exists():
        time.sleep(0.02)
    return x


@nq.task
def held_up(gate):
    import time
    from pathlib import Path

    while not Path(gate).exists():
        time.sleep(0.02)
    return "through"


@pytest.mark.parametrize("victims", [("redis",), ("supervisor",), ("redis", "supervisor")])
def test_jobs_go_on_after_its_processes_were_killed(local_cluster, victims, until, capfd, gate):
    with local_cluster(workers=2) as cluster:
        with cluster.connect():
            job = nap.starmap([*zip(range(99)), (99, str(gate))])  # it does not end before that
            until(lambda: job.counts()["SUCCESS"] > 5)
            status = embedded.status(cluster.folder)
            pids = {"redis": status.redis_pid, "supervisor": status.pid}
            for name in victims:
                os.kill(pids[name], signal.SIGKILL)
            gate.touch()
            assert job.result(80) == list(range(100))
            assert (job.to_frame()["attempts"] >= 1).all()
            assert nap.map(range(10)).result(30) == list(range(10))
            assert nq.job(job.name).state == "SUCCESS"
        said = capfd.readouterr().err
        assert ("was started again" in said) == ("supervisor" in victims)


def test_a_cluster_that_is_ended_in_order_stays_so(local_cluster, until):
    with local_cluster(workers=1) as cluster, cluster.connect() as client:
        nap.submit(1).result(20)
        pid = embedded.status(cluster.folder).pid
        assert embedded.stop(cluster.folder)
        until(lambda: client.outage.text)
        assert client._revival.look() is None
        assert not mark_of(pid)
        assert not held(cluster.folder)


@pytest.fixture
def own(monkeypatch):
    """This user's own cluster, which a first use starts; ended and gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="nbq.") as folder:
        monkeypatch.setenv("NBQUEUE_HOME", folder)
        monkeypatch.setattr(connecting, "_default", None)
        yield
        if (client := connecting.opened()) is not None:
            client.close()
        embedded.stop()


def test_after_down_the_next_task_of_an_open_notebook_starts_it_again(own, until, capfd, gate):
    first = nap.submit(1)
    assert first.result(30) == 1
    client = connecting.opened()
    waits = held_up.submit(str(gate))
    until(lambda: waits.counts()["STARTED"] or waits.state == "STARTED")
    assert embedded.stop()
    until(lambda: client.outage.text)
    assert not embedded.status().running
    gate.touch()
    assert nap.submit(3).result(40) == 3
    assert connecting.opened() is client
    assert waits.result(40) == "through"
    assert "had been ended; it was started again" in capfd.readouterr().err


def test_while_it_is_ended_the_words_say_how_to_start_it(own, until, capfd):
    nap.submit(1).result(30)
    client = connecting.opened()
    assert embedded.stop()
    until(lambda: client.outage.text)
    assert "`nbqueue down`" in client.outage.text
    assert "nq.connect()" in client.outage.text
    assert not embedded.status().running


def test_after_its_folder_was_removed_the_next_task_begins_anew(own, until):
    nap.submit(1).result(30)
    client = connecting.opened()
    assert embedded.stop()
    shutil.rmtree(client._folder)
    until(lambda: client.outage.text)
    assert nap.submit(4).result(30) == 4
    assert connecting.opened() is not client
