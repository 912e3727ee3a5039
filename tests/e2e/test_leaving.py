"""A worker that leaves in the middle of a job, on both brokers: nobody waits, nothing is lost."""

import signal
import time

import pytest

import nbqueue as nq
from tests.e2e.gates import began, stay


@pytest.fixture
def client(wires):
    with nq.connect(wires.broker, backend=wires.backend, key=wires.key) as made:
        yield made


@pytest.fixture
def started(servers, wires, tmp_path):
    """Starts a worker on a queue of the test's own."""

    def start(name):
        options = ("-c", "1", "-Q", tmp_path.name)
        return servers.worker(wires.broker, wires.key, *options, backend=wires.backend, name=name)[
            0
        ]

    return start


@pytest.fixture
def task(tmp_path, client):
    return lambda fn, **options: nq.task(fn, queue=tmp_path.name, **options)


def test_term_lets_an_item_end_and_hands_on_its_chunk(started, task, tmp_path, until):
    old = started("old")
    job = task(stay, chunksize=20).map([str(tmp_path)] * 20, range(20))
    until(lambda: began(tmp_path))
    old.terminate()
    new = started("new")
    until(lambda: len(began(tmp_path)) == 2)  # the new one has begun while the old still runs
    assert old.poll() is None
    (tmp_path / "gate").touch()
    assert job.result(30) == list(range(20))
    assert old.wait(20) == 0
    assert all(len(runs) == 1 for runs in began(tmp_path).values())
    assert [began(tmp_path)[i] for i in (0, 1)] == [[str(old.pid)], [str(new.pid)]]


def test_quit_gives_back_what_runs_at_once(started, task, tmp_path, until):
    old = started("old")
    job = task(stay).submit(str(tmp_path), 0)
    until(lambda: began(tmp_path))
    old.send_signal(signal.SIGQUIT)
    old.wait(40)
    new = started("new")
    until(lambda: len(began(tmp_path)[0]) == 2)
    (tmp_path / "gate").touch()
    assert job.result(20) == 0
    assert began(tmp_path)[0] == [str(old.pid), str(new.pid)]


def test_a_worker_that_is_told_to_shut_down_hands_on_too(started, task, tmp_path, until, client):
    old = started("old")
    job = task(stay, chunksize=20).map([str(tmp_path)] * 20, range(20))
    until(lambda: began(tmp_path))
    names = until(lambda: [name for name in nq.workers().index if name.startswith("old")])
    client.app.control.shutdown(destination=names)
    new = started("new")
    until(lambda: len(began(tmp_path)) == 2)
    (tmp_path / "gate").touch()
    assert job.result(30) == list(range(20))
    assert old.wait(20) == 0
    assert began(tmp_path)[1] == [str(new.pid)]


def test_term_in_a_rush_of_messages_takes_a_moment(started, task, until):
    """A process whose last result nobody has read does not wait long for somebody to do so."""
    old = started("old")
    job = task(lambda i: i, chunksize=1).map(range(400))
    until(lambda: job.counts()["SUCCESS"] > 20)
    told = time.monotonic()
    old.terminate()
    assert old.wait(40) == 0
    assert time.monotonic() - told < 25  # half a minute, where Celery has its way
    started("new")
    assert job.result(30) == list(range(400))
