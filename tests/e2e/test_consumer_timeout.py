"""RabbitMQ takes away what is held for longer than its ``consumer_timeout``: items run once all the
same.

The node here looks every second, and its timeout is three; both are sixty times that, and more, by
default.
"""

import pytest

import nbqueue as nq
from tests.e2e.rabbit_node import KEY, Node

pytestmark = pytest.mark.timeout(180)

TIMEOUT_S = 3


@pytest.fixture(scope="module")
def impatient():
    """A node that gives nobody more than three seconds."""
    node = Node(rabbit={"consumer_timeout": 1000 * TIMEOUT_S, "channel_tick_interval": 1000})
    try:
        node.start()
        yield node.url
    finally:
        node.close()


@pytest.fixture(scope="module")
def backend(servers):
    return servers.redis("s3cret-w0rd")


@pytest.fixture
def client(impatient, backend):
    with nq.connect(impatient, backend=backend, key=KEY) as made:
        yield made


@pytest.fixture
def worker(servers, impatient, backend, tmp_path):
    """Starts a worker on a queue of the test's own."""
    processes = []

    def start(*options):
        options = ("-Q", tmp_path.name, *options)
        process, log = servers.worker(impatient, KEY, *options, backend=backend)
        processes.append(process)
        return log

    yield start
    for process in processes:
        process.terminate()
        process.wait(30)


@nq.task
def lasts(folder, seconds, i):
    import os
    import pathlib
    import time

    with (pathlib.Path(folder) / f"began-{i}").open("a") as began:
        began.write(f"{os.getpid()}\n")
    time.sleep(seconds)
    return i


def times_begun(folder):
    return {int(p.name[6:]): len(p.read_text().split()) for p in folder.glob("began-*")}


@pytest.mark.parametrize("pool", ["prefork", "threads", "gevent", "solo"])
@pytest.mark.usefixtures("client")
def test_an_item_of_many_timeouts_runs_once(worker, tmp_path, pool, until):
    """One worker has it, and another one is idle, who would get it again."""
    task = lasts.with_options(queue=tmp_path.name)
    logs = [worker("-P", pool, "-c", "1") for _ in range(2)]
    long = task.submit(str(tmp_path), 4 * TIMEOUT_S, 0)
    until(lambda: times_begun(tmp_path))
    others = task.map([str(tmp_path)] * 40, [0.2] * 40, range(1, 41))
    assert others.result(60) == list(range(1, 41))
    assert long.result(60) == 0
    until(lambda: any("PRECONDITION_FAILED" in log.read_text() for log in logs))
    assert times_begun(tmp_path) == dict.fromkeys(range(41), 1)
    seen = set()

    def both_go_on():
        later = task.map([str(tmp_path)] * 8, [0.5] * 8, range(50, 58))
        assert later.result(60) == list(range(50, 58))
        seen.update(later.to_frame()["worker"])
        return len(seen) == 2

    until(both_go_on)
