"""``job.cancel(terminate=True)`` in hard cases; each test has a cluster of its own, since one that
goes wrong would leave the others without workers."""

import concurrent.futures

import pytest

import nbqueue as nq
from tests.e2e.gates import hold


@pytest.fixture
def workers(local_cluster):
    with local_cluster(workers=2) as made:
        yield made


@pytest.mark.usefixtures("workers")
def test_a_worker_that_dies_after_a_termination_loses_nothing(tmp_path, until):
    """What Celery remembers of the termination must not be taken for the later death's reason."""
    job = hold.map([tmp_path] * 2, [0, 1], [tmp_path / "never"] * 2)
    until(lambda: job.counts()["STARTED"] == 2)
    job.cancel(terminate=True)
    assert nq.task(lambda x: x).map(range(8)).result(60) == list(range(8))

    def dies(folder, i):
        import os
        import pathlib

        path = pathlib.Path(folder) / "died"
        if i == 3 and not path.exists():
            path.touch()
            os._exit(1)
        return i

    job = nq.task(dies).starmap((tmp_path, i) for i in range(20))
    assert job.result(60) == list(range(20))


@pytest.mark.usefixtures("workers")
def test_an_item_that_listens_to_nothing_is_ended(tmp_path, until):
    def deaf(folder, i):
        import pathlib
        import threading

        (pathlib.Path(folder) / f"began-{i}").touch()
        while True:
            try:
                threading.Event().wait(0.5)
            except BaseException:
                continue

    job = nq.task(deaf).map([tmp_path] * 2, [0, 1])
    until(lambda: job.counts()["STARTED"] == 2)
    job.cancel(terminate=True)
    assert nq.task(lambda: "served").submit().result(60) == "served"


@pytest.mark.usefixtures("workers")
def test_an_item_is_ended_however_soon_after_its_beginning(tmp_path, until):
    jobs = [hold.submit(tmp_path, i, tmp_path / "never") for i in range(2)]
    until(lambda: len(list(tmp_path.glob("began-*"))) == 2, poll_s=0.001)
    for job in jobs:
        job.cancel(terminate=True)
    assert nq.task(lambda: "served").submit().result(60) == "served"


def beginnings(folder):
    return sorted(path.name for path in folder.glob("began-*"))


@nq.task
def counted(folder, i, gate):
    """Notes each time it begins; waits if it is one that waits."""
    import os
    import pathlib
    import time

    pathlib.Path(folder, f"began-{i}-{os.urandom(4).hex()}").touch()
    while gate is not None and not pathlib.Path(gate).exists():
        time.sleep(0.01)
    return i


def begun(folder, i):
    return len(list(folder.glob(f"began-{i}-*")))


@pytest.mark.usefixtures("workers")
@pytest.mark.parametrize("chunksize", [None, 10])
def test_one_item_is_ended_and_no_other(tmp_path, until, chunksize):
    stuck = {3: tmp_path / "never"}
    task = counted.with_options(chunksize=chunksize)
    job = task.map([tmp_path] * 20, range(20), [stuck.get(i) for i in range(20)])
    until(lambda: begun(tmp_path, 3))
    assert job.cancel(items=3, terminate=True) == 1
    assert job.counts()["REVOKED"] == 1  # it is recorded when the call returns
    assert job.wait(60)
    assert job.counts()["SUCCESS"] == 19
    assert isinstance(job.exceptions()[3], concurrent.futures.CancelledError)
    assert {i: begun(tmp_path, i) for i in range(20)} == dict.fromkeys(range(20), 1)
    assert nq.task(lambda x: x).map(range(8)).result(60) == list(range(8))


@pytest.mark.usefixtures("workers")
def test_items_beside_it_run_on(tmp_path, until, gate):
    job = counted.map([tmp_path] * 2, range(2), [gate, gate])
    until(lambda: job.counts()["STARTED"] == 2)
    assert job.cancel(items=[0], terminate=True) == 1
    gate.touch()
    assert job.result(60, errors="drop") == [1]
    assert (begun(tmp_path, 0), begun(tmp_path, 1)) == (1, 1)


@pytest.mark.usefixtures("workers")
def test_an_item_that_has_just_begun_is_ended(tmp_path, until):
    job = counted.submit(tmp_path, 0, tmp_path / "never")
    until(lambda: begun(tmp_path, 0), poll_s=0.001)
    assert job.cancel(items=0, terminate=True) == 1
    assert nq.task(lambda x: x).map(range(4)).result(60) == [0, 1, 2, 3]
    until(lambda: not nq.control.active().size)


@pytest.mark.usefixtures("workers")
def test_what_was_cancelled_and_runs_on_is_ended_later(tmp_path, until):
    job = counted.submit(tmp_path, 0, tmp_path / "never")
    until(lambda: job.counts()["STARTED"] == 1)
    assert job.cancel(items=0) == 1
    until(lambda: nq.workers()["running"].sum() == 1)
    assert job.cancel(items=0, terminate=True) == 0
    until(lambda: nq.workers()["running"].sum() == 0)


def test_an_item_that_lets_no_thread_run_is_ended(workers, tmp_path, until):
    def deaf(folder):
        import ctypes
        import pathlib

        (pathlib.Path(folder) / "began-0").touch()
        ctypes.PyDLL(None).sleep(60)  # with the interpreter's lock in hand

    job = nq.task(deaf).submit(tmp_path)
    until(lambda: beginnings(tmp_path))
    job.cancel(items=0, terminate=True)
    until(lambda: nq.workers()["running"].sum() == 0)


def test_in_a_pool_of_threads_an_exception_ends_the_item(local_cluster, tmp_path, until, gate):
    with local_cluster(threads=2):
        job = counted.map([tmp_path] * 2, range(2), [tmp_path / "never", gate])
        until(lambda: job.counts()["STARTED"] == 2)
        assert job.cancel(items=0, terminate=True) == 1
        until(lambda: nq.workers()["running"].sum() == 1)
        gate.touch()
        assert job.result(60, errors="drop") == [1]
        whole = counted.map([tmp_path] * 2, range(2, 4), [tmp_path / "never"] * 2)
        until(lambda: whole.counts()["STARTED"] == 2)
        assert whole.cancel(terminate=True) == 2
        until(lambda: nq.workers()["running"].sum() == 0)
        assert nq.task(lambda x: x).map(range(4)).result(60) == [0, 1, 2, 3]


@pytest.mark.usefixtures("workers")
def test_items_that_are_none_are_refused():
    job = nq.task(lambda x: x).map(range(3))
    with pytest.raises(IndexError, match="no item 3"):
        job.cancel(items=3)
    with pytest.raises(nq.UsageError, match="number of an item"):
        job.cancel(items=["a"])
    assert job.result(60) == [0, 1, 2]
    assert job.cancel(items=[0, 1, -1]) == 0


def test_in_a_pool_of_greenlets_too(servers, tmp_path, until, gate):
    url, key = servers.redis("s3cret"), "k" * 64
    servers.worker(url, key, "--pool=gevent", "-c", "4")
    with nq.connect(url, key=key):
        job = counted.map([tmp_path] * 2, range(2), [tmp_path / "never", gate])
        until(lambda: job.counts()["STARTED"] == 2)
        assert job.cancel(items=0, terminate=True) == 1
        until(lambda: nq.workers()["running"].sum() == 1)
        gate.touch()
        assert job.result(60, errors="drop") == [1]
        assert nq.task(lambda x: x).map(range(4)).result(60) == [0, 1, 2, 3]


@pytest.mark.usefixtures("workers")
def test_a_message_that_is_terminated_by_its_id_fails_its_item_and_says_why(tmp_path, until):
    job = hold.map([tmp_path] * 2, [0, 1], [tmp_path / "gate"] * 2)
    until(lambda: job.counts()["STARTED"] == 2)
    ended = job._live.state.running[0]
    nq.control.terminate(ended.message_id)
    until(lambda: job.exceptions())
    (tmp_path / "gate").touch()
    assert job.wait(60)
    assert [type(exc).__name__ for exc in job.exceptions().values()] == ["Terminated"]
    assert job.counts()["SUCCESS"] == 1
