"""``job.cancel(terminate=True)`` in hard cases; each test has a cluster of its own, since one that
goes wrong would leave the others without workers."""

import pytest

import nbqueue as nq

pytestmark = pytest.mark.timeout(60)


@nq.task
def hold(folder, i, gate):
    import pathlib
    import time

    (pathlib.Path(folder) / f"began-{i}").touch()
    while not pathlib.Path(gate).exists():
        time.sleep(0.01)
    return i


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
    assert nq.task(lambda x: x).map(range(8)).result(20) == list(range(8))

    def dies(folder, i):
        import os
        import pathlib

        path = pathlib.Path(folder) / "died"
        if i == 3 and not path.exists():
            path.touch()
            os._exit(1)
        return i

    job = nq.task(dies).starmap((tmp_path, i) for i in range(20))
    assert job.result(20) == list(range(20))


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
    assert nq.task(lambda: "served").submit().result(10) == "served"


@pytest.mark.usefixtures("workers")
def test_an_item_is_ended_however_soon_after_its_beginning(tmp_path, until):
    jobs = [hold.submit(tmp_path, i, tmp_path / "never") for i in range(2)]
    until(lambda: len(list(tmp_path.glob("began-*"))) == 2, poll_s=0.001)
    for job in jobs:
        job.cancel(terminate=True)
    assert nq.task(lambda: "served").submit().result(10) == "served"
