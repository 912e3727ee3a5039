"""The private cluster's processes are killed while a notebook waits for its jobs."""

import os
import signal

import pytest

import nbqueue as nq
from nbqueue.cluster import embedded
from nbqueue.cluster.folder import held
from nbqueue.cluster.state import mark_of

pytestmark = pytest.mark.timeout(120)


@nq.task
def nap(x):
    import time

    time.sleep(0.05)
    return x


@pytest.mark.parametrize("victims", [("redis",), ("supervisor",), ("redis", "supervisor")])
def test_jobs_go_on_after_its_processes_were_killed(local_cluster, victims, until, capfd):
    with local_cluster(workers=2) as cluster:
        with cluster.connect():
            job = nap.map(range(100))
            until(lambda: job.counts()["SUCCESS"] > 5)
            status = embedded.status(cluster.folder)
            pids = {"redis": status.redis_pid, "supervisor": status.pid}
            for name in victims:
                os.kill(pids[name], signal.SIGKILL)
            assert job.result(40) == list(range(100))
            assert (job.to_frame()["attempts"] >= 1).all()
            assert nap.map(range(10)).result(20) == list(range(10))
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
