"""Jobs on one queue take turns: a short one is not stuck behind a long one, nor among many."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

import nbqueue as nq
from nbqueue.core.records import Route
from nbqueue.core.splitting import FIRST_SPLIT_PARTS
from nbqueue.store import keys
from tests.benchmarks.fairness import shares
from tests.e2e.conftest import ROOT
from tests.e2e.gates import wait_for

pytestmark = pytest.mark.timeout(120)

CLIENTS, ITEM_S = 10, 0.01
EQUAL = (10,) * 5
MIXED = (80, 40, 20, 10, 5)
"""Items of each job of a client: the short ones are sent behind the long ones."""

MANY_CLIENTS = """
import json, sys, time
import nbqueue as nq

def nap(s):
    time.sleep(s)

broker, backend, key, sizes, item_s = sys.argv[1:]
with nq.connect(broker, backend=backend, key=key):
    task = nq.task(nap)
    task.submit(0).result(60)
    print("ready", flush=True)
    sys.stdin.readline()
    sent = [task.map([float(item_s)] * n) for n in json.loads(sizes)]
    print(json.dumps([job.id for job in sent]), flush=True)
    assert all(job.wait(100) for job in sent)
"""


def nap(s):
    import time

    time.sleep(s)


@pytest.fixture(scope="module")
def workers(servers, wires):
    return servers.worker(wires.broker, wires.key, "-c", "2", backend=wires.backend)


@pytest.fixture
def client(wires, workers):
    with nq.connect(wires.broker, backend=wires.backend, key=wires.key) as made:
        nq.task(nap).submit(0).result(20)
        yield made


@pytest.mark.parametrize("chunksize", [None, 2])
def test_a_short_job_is_not_stuck_behind_a_long_one(client, until, chunksize):
    long = nq.task(nap, chunksize=chunksize).map([0.05] * 3_000)
    until(lambda: long.counts()["SUCCESS"] >= 60)  # by then the queue would hold as many messages
    began = time.monotonic()
    short = nq.task(nap).map([0.001] * 10)
    assert short.wait(60)
    waited_s = time.monotonic() - began
    assert client.publisher.waiting(Route()) <= FIRST_SPLIT_PARTS + 2
    assert not long.finished
    # A turn of each of the long one's few ranges; all of it takes over a minute.
    assert waited_s < 30
    long.cancel()
    until(lambda: not client.publisher.waiting(Route()))


@pytest.fixture
def clients(wires, client, tmp_path, gate, until):
    """Has processes send jobs of so many items at the same time; gives the jobs' ids.

    None runs before all are sent: one that is sent late is served late, with nothing unfair in it.
    """
    script = tmp_path / "client.py"
    script.write_text(MANY_CLIENTS)
    started = []

    def go(sizes):
        arguments = [wires.broker, wires.backend, wires.key, json.dumps(sizes), ITEM_S]
        for _ in range(CLIENTS):
            process = subprocess.Popen(
                [sys.executable, script, *map(str, arguments)],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            started.append(process)
        assert [process.stdout.readline() for process in started] == ["ready\n"] * CLIENTS
        held = wait_for.map([gate] * 2)
        until(lambda: held.counts()["STARTED"] == 2)
        for process in started:
            print("go", file=process.stdin, flush=True)
        ids = [job_id for process in started for job_id in json.loads(process.stdout.readline())]
        gate.touch()
        return ids

    yield go
    for process in started:
        process.kill()
        process.communicate()


def ends(client, ids, until):
    """Give when the items of some jobs ended, job by job, once all have."""

    def all_over():
        jobs = [job for job in client.joblog.summaries() if job.id in ids]
        return len(jobs) == len(ids) and not any(job.left for job in jobs)

    until(all_over, 100)
    found = []
    for job_id in ids:
        frame = client.job(job_id).to_frame()
        times = frame["started"] + pd.to_timedelta(frame["run_s"], unit="s")
        found.append([moment.timestamp() for moment in times])
    return found


@pytest.mark.parametrize(("sizes", "most"), [(EQUAL, 1.5), (MIXED, 3)])
def test_fifty_jobs_of_ten_clients_share_the_workers(client, clients, until, sizes, most):
    times = ends(client, clients(sizes), until)
    assert len(times) == CLIENTS * len(sizes)
    found = sorted(zip(shares(times), map(len, times), strict=True))
    # One job after the other, as they came, a short one would have had six times its share.
    assert found[-1][0] < most, found


def test_what_a_dead_process_had_passed_on_does_not_run_twice(client, tmp_path, until):
    def counted(folder, i):
        import pathlib

        ran = pathlib.Path(folder, str(i))
        with ran.open("a") as file:
            file.write(f"{os.getpid()}\n")
        while not i and len(ran.read_text().split()) == 1:
            time.sleep(0.01)  # until this process is killed
        time.sleep(0.05)

    job = nq.task(counted).map([str(tmp_path)] * 60, range(60))
    until(lambda: job.counts()["SUCCESS"] >= 5)  # of what the first message has passed on
    first = until(lambda: job._live.state.running.get(0)).message_id
    until(lambda: client.store.hexists(keys.passed_on(job.id), first))
    os.kill(int(until(lambda: Path(tmp_path, "0").read_text())), 9)
    assert job.wait(60)
    runs = [len(Path(tmp_path, str(i)).read_text().split()) for i in range(60)]
    assert (runs, job.state) == ([2] + [1] * 59, "SUCCESS")
