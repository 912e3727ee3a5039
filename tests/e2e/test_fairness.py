"""Jobs on one queue take turns: a short one is not stuck behind a long one, nor among many."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import nbqueue as nq
from nbqueue.core.records import Route
from nbqueue.core.splitting import FIRST_SPLIT_PARTS
from tests.e2e.conftest import ROOT

pytestmark = pytest.mark.timeout(120)

CLIENTS, JOBS_EACH = 5, 4
ITEMS, ITEM_S = 20, 0.01

MANY_CLIENTS = """
import json, sys, time
import nbqueue as nq

def nap(s):
    time.sleep(s)

broker, backend, key, jobs, items, item_s = sys.argv[1:]
with nq.connect(broker, backend=backend, key=key):
    task = nq.task(nap)
    task.submit(0).result(60)
    print("ready", flush=True)
    sys.stdin.readline()
    sent = [task.map([float(item_s)] * int(items)) for _ in range(int(jobs))]
    assert all(job.wait(60) for job in sent)
    print(json.dumps([job.timings()["elapsed_s"] for job in sent]), flush=True)
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
    assert short.wait(20)
    waited_s = time.monotonic() - began
    assert client.publisher.waiting(Route()) <= FIRST_SPLIT_PARTS + 2
    assert not long.finished
    assert (
        waited_s < 4
    )  # a turn of each of the long one's few ranges; all of it takes over a minute
    long.cancel()
    until(lambda: not client.publisher.waiting(Route()))


@pytest.mark.usefixtures("workers")
def test_equal_jobs_of_many_clients_end_at_about_the_same_time(wires, tmp_path):
    script = tmp_path / "client.py"
    script.write_text(MANY_CLIENTS)
    arguments = [wires.broker, wires.backend, wires.key, JOBS_EACH, ITEMS, ITEM_S]
    started = [
        subprocess.Popen(
            [sys.executable, script, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(CLIENTS)
    ]
    try:
        assert [process.stdout.readline() for process in started] == ["ready\n"] * CLIENTS
        for process in started:
            print("go", file=process.stdin, flush=True)
        elapsed_s = [s for process in started for s in json.loads(process.stdout.readline())]
        assert [process.wait(20) for process in started] == [0] * CLIENTS
    finally:
        for process in started:
            process.kill()
            process.communicate()
    assert len(elapsed_s) == CLIENTS * JOBS_EACH
    # Jain's index: 1 when all took equally long, 1/n when all but one took no time. One after
    # another, as they came, they would have 0.75.
    index = sum(elapsed_s) ** 2 / (len(elapsed_s) * sum(s * s for s in elapsed_s))
    assert index > 0.85, sorted(elapsed_s)


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
    os.kill(int(Path(tmp_path, "0").read_text()), 9)
    assert job.wait(40)
    runs = [len(Path(tmp_path, str(i)).read_text().split()) for i in range(60)]
    assert (runs, job.state) == ([2] + [1] * 59, "SUCCESS")
