"""What items find in each of Celery's pools: prefork, threads, gevent, solo, and an autoscaled one.

The workers are `nbqueue worker` with Celery's options, a queue each on one Redis.
"""

import pytest

import nbqueue as nq
from nbqueue.client import dispatch
from nbqueue.client.dispatch import Submission
from nbqueue.client.options import TaskOptions
from nbqueue.store import signing
from nbqueue.store.code import functions
from nbqueue.store.code.cell import Cell

KEY = signing.generate()

POOLS = {
    "prefork": ("-c", "2"),
    "autoscaled": ("--autoscale", "3,1"),
    "threads": ("-P", "threads", "-c", "3"),
    "gevent": ("--pool=gevent", "-c", "10"),
    "solo": ("-P", "solo"),
}


@pytest.fixture(scope="module")
def url(servers):
    return servers.redis("s3cret")


@pytest.fixture(scope="module", params=POOLS)
def pool(request, servers, url):
    servers.worker(url, KEY, "-Q", request.param, *POOLS[request.param], name=request.param)
    return request.param


@pytest.fixture
def client(url, pool):
    with nq.connect(url, key=KEY) as made:
        yield made


@pytest.fixture
def task(pool, client):
    """Makes tasks that this pool runs."""

    def make(fn, **options):
        return nq.task(fn, queue=pool, **options)

    return make


def test_items_run_and_are_recorded(task):
    def half(x):
        return x / 2

    job = task(half).map(range(5_000))
    assert job.result(30) == [x / 2 for x in range(5_000)]


def test_items_that_wait_run_beside_one_another_where_the_pool_can(task, pool, tmp_path):
    def meet(i, folder):
        import pathlib
        import time

        folder = pathlib.Path(folder)
        (folder / f"came-{i}").touch()
        give_up = time.monotonic() + 20
        while len(list(folder.glob("came-*"))) < 2:
            if time.monotonic() > give_up:
                return False
            time.sleep(0.01)
        return True

    n = 1 if pool == "solo" else 2
    if n == 1:
        (tmp_path / "came-x").touch()
    assert task(meet).starmap([(i, str(tmp_path)) for i in range(n)]).result(30) == [True] * n


def test_what_items_print_and_log_is_theirs(task, until):
    def talk(i):
        import logging
        import sys
        import time
        import warnings

        print(f"out {i}")
        time.sleep(0.05)
        print(f"err {i}", file=sys.stderr)
        logging.getLogger("mine").warning("log %d", i)
        warnings.warn(f"warned {i}", stacklevel=1)
        return i

    job = task(talk).map(range(6))
    assert job.result(30) == list(range(6))
    for i in range(6):
        until(lambda i=i: f"warned {i}" in "".join(o.get("text", "") for o in job.outputs[i]))
        text = "".join(o.get("text", "") for o in job.outputs[i])
        for word in ("out", "err", "log", "warned"):
            assert f"{word} {i}" in text
            assert not any(f"{word} {k}" in text for k in range(6) if k != i)


def test_errors_arrive_as_themselves(task):
    def inverse(x):
        return 1 / x

    job = task(inverse).map([1, 0, 2])
    assert job.wait(30)
    assert isinstance(job.exceptions()[1], ZeroDivisionError)
    assert job.result(errors="drop") == [1.0, 0.5]


def test_progress_of_a_running_item_is_seen(task, until, gate):
    def step(gate):
        import pathlib
        import time

        nq.progress(3, 10)
        while not pathlib.Path(gate).exists():
            time.sleep(0.01)
        return "over"

    job = task(step).submit(str(gate))
    until(lambda: job.progress().index.tolist() == [0])
    gate.touch()
    assert job.result(30) == "over"


def test_an_item_that_waits_is_interrupted_at_its_soft_limit(task):
    def wait(s):
        import time

        give_up = time.monotonic() + s
        while time.monotonic() < give_up:
            time.sleep(0.01)
        return s

    # (One that waits at all may be held up for longer than the limit.)
    job = task(wait, soft_time_limit=0.5).map([0, 60, 0])
    assert job.wait(40)
    assert type(job.exceptions()[1]).__name__ == "SoftTimeLimitExceeded"
    assert job.result(errors="drop") == [0, 0]


def test_coroutines_run(task):
    async def nap(i):
        import asyncio

        await asyncio.sleep(0.05)
        return i

    assert task(nap).map(range(8)).result(30) == list(range(8))


@pytest.mark.usefixtures("client")
def test_the_pool_is_told_by_its_name(pool, until):
    name = "prefork" if pool == "autoscaled" else pool
    # (A worker that stands still for a second is not among those that answer.)
    assert until(lambda: nq.workers().set_index("queues")["pool"].get(pool)) == name


def test_one_running_item_is_cancelled_and_the_others_go_on(task, pool, tmp_path, until, gate):
    def hold(i, folder, gate):
        import pathlib
        import time

        try:
            while not pathlib.Path(gate).exists():
                time.sleep(0.01)
        finally:
            (pathlib.Path(folder) / f"ended-{i}").touch()
        return i

    n = 1 if pool == "solo" else 2
    job = task(hold).starmap([(i, str(tmp_path), str(gate)) for i in range(n)])
    until(lambda: job.counts()["STARTED"] == n)
    assert job.cancel(terminate=True, items=0) == 1
    if pool in ("threads", "gevent"):  # a process is killed, and solo is too busy to hear of it
        until((tmp_path / "ended-0").exists)
    gate.touch()
    assert job.wait(20)
    assert job.counts()["REVOKED"] == 1
    assert job.result(errors="drop") == list(range(1, n))
    assert task(lambda: "on").submit().result(30) == "on"


CELL = """
import asyncio
print("before")
!echo from a shell
await asyncio.sleep(0.05)
found = 2 * x
found
"""


def test_cells_run_as_in_a_notebook(client, pool):
    cell = Cell(CELL, "<cell>", {"x": 21}, ("found",), ())
    address = client.functions.put(functions.dump(cell, client.blobs))
    sub = Submission("cell", address, (), TaskOptions(queue=pool))
    jobs = [dispatch.submit_call(client, sub, (), {}) for _ in range(3)]
    for job in jobs:
        assert job.wait(30)
        assert not job.exceptions()
        shown = job.outputs[0]
        said = "".join(output.get("text", "") for output in shown)
        assert said.splitlines() == ["before", "from a shell"]
        assert shown[-1]["data"]["text/plain"] == "42"
