"""Workers that die or stand still, on both brokers: what they held is run by others, in seconds.

And whoever lives keeps what it holds, for as long as that takes. The lease is short here, so that
every test lasts for several.
"""

import os
import pathlib
import signal

import pytest
import redis

import nbqueue as nq
from nbqueue.store.broker import holding

pytestmark = pytest.mark.timeout(120)

LEASE_S = 5.0  # more than a busy machine keeps a worker waiting, or it runs what another has


def lasts(folder, seconds, i):
    """Note that it began, and be at it for some time."""
    import os
    import pathlib
    import time

    with (pathlib.Path(folder) / f"began-{i}").open("a") as began:
        began.write(f"{os.getpid()} {os.getppid()}\n")
    time.sleep(seconds)
    return i


def waits(folder, i):
    """Note that it began, and wait for a file `gate`."""
    import os
    import pathlib
    import time

    with (pathlib.Path(folder) / f"began-{i}").open("a") as began:
        began.write(f"{os.getpid()} {os.getppid()}\n")
    while not (pathlib.Path(folder) / "gate").exists():
        time.sleep(0.01)
    return i


def began(folder):
    return {
        int(path.name[6:]): path.read_text().split("\n")[:-1] for path in folder.glob("began-*")
    }


@pytest.fixture
def client(wires):
    with nq.connect(wires.broker, backend=wires.backend, key=wires.key) as made:
        yield made


@pytest.fixture
def started(servers, wires, tmp_path):
    """Starts a worker on a queue of the test's own."""
    processes = []

    def start(*options, name="worker"):
        common = ("-Q", tmp_path.name, "--lease", str(LEASE_S))
        process, _ = servers.worker(
            wires.broker, wires.key, *common, *(options or ("-c", "1")), backend=wires.backend,
            name=name,
        )  # fmt: skip
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            dies(process)


@pytest.fixture
def task(tmp_path, client):
    return lambda fn, **options: nq.task(fn, queue=tmp_path.name, **options)


def dies(process):
    """The whole worker, with all its processes, at once."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def test_what_a_killed_worker_held_is_run_by_another(started, task, tmp_path, until):
    first = started()
    job = task(waits).map([str(tmp_path)] * 5, range(5))
    until(lambda: began(tmp_path))
    second = started()
    dies(first)
    (tmp_path / "gate").touch()
    assert job.result(LEASE_S + 30) == list(range(5))
    assert second.poll() is None


def test_all_workers_are_killed_and_one_started_anew(started, task, tmp_path, until):
    workers = [started(name=name) for name in ("one", "two")]
    job = task(waits).map([str(tmp_path)] * 20, range(20))
    until(lambda: len(began(tmp_path)) == 2)
    for worker in workers:
        dies(worker)
    started(name="three")
    (tmp_path / "gate").touch()
    assert job.result(30) == list(range(20))


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo", "gevent"])
def test_an_item_of_many_leases_runs_once(started, task, tmp_path, pool):
    """While another worker looks for leases that have ended."""
    started("-P", pool, "-c", "1", name="one")
    started(name="two")
    job = task(lasts).submit(str(tmp_path), 3 * LEASE_S, 0)
    assert job.result(60) == 0
    assert len(began(tmp_path)[0]) == 1


def test_one_that_is_stopped_for_longer_than_its_lease(started, task, tmp_path, until, wires):
    """Its item is run by another; when it awakes it changes nothing, and works on."""
    if "amqp" in wires.broker:
        return  # there a connection is the sign of life, and it stays
    first = started(name="one")
    job = task(waits).submit(str(tmp_path), 0)
    until(lambda: began(tmp_path).get(0))  # with its line, or it writes that when it awakes
    os.killpg(first.pid, signal.SIGSTOP)
    second = started(name="two")
    until(lambda: len(began(tmp_path)[0]) == 2)
    (tmp_path / "gate").touch()
    assert job.result(20) == 0
    os.killpg(first.pid, signal.SIGCONT)
    dies(second)
    assert job.result(20) == 0
    again = task(waits).map([str(tmp_path)] * 3, range(3))
    assert again.result(40) == list(range(3))
    assert job.to_frame()["state"].tolist() == ["SUCCESS"]
    assert first.poll() is None


def test_nothing_stays_noted_when_all_is_done(started, task, tmp_path, wires, until):
    started("-c", "2")
    assert task(lasts).map([str(tmp_path)] * 50, [0.01] * 50, range(50)).wait(30)
    with redis.Redis.from_url(wires.backend) as store:
        until(lambda: not store.exists(holding.UNACKED, holding.INDEX))
        assert not store.exists("unacked", "unacked_index")


def test_term_gives_back_what_is_not_begun_and_waits_for_no_lease(started, task, tmp_path, until):
    lease = ("-c", "1", "--lease", "90")  # longer than anything here waits
    first = started(*lease, name="one")
    job = task(waits, chunksize=20).map([str(tmp_path)] * 20, range(20))
    until(lambda: began(tmp_path))
    started(*lease, name="two")
    first.terminate()
    until(lambda: len(began(tmp_path)) == 2)
    pathlib.Path(tmp_path, "gate").touch()
    assert job.result(30) == list(range(20))
    assert all(len(runs) == 1 for runs in began(tmp_path).values())
    assert first.wait(20) == 0
