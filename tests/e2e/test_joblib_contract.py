"""What joblib documents of `Parallel`, asked of the backend "nbqueue"."""

import itertools
import multiprocessing
import os
import pathlib
import signal
import threading
import time

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from joblib import Parallel, delayed, parallel_config
from joblib.parallel import BatchedCalls
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV

import nbqueue as nq
from nbqueue.client.connecting import default_client
from nbqueue.client.parallel import NbqueueBackend
from nbqueue.client.task import Task

pytestmark = pytest.mark.usefixtures("cluster")


@pytest.fixture(autouse=True)
def backend(_connected):
    with parallel_config("nbqueue"):
        yield


def square(x):
    return x * x


def wait_for(gate):
    while not pathlib.Path(gate).exists():
        time.sleep(0.01)


@pytest.fixture
def new_jobs():
    """The jobs that are new since the test began."""
    before = set(nq.jobs().index)
    return lambda: [nq.job(found) for found in nq.jobs().index if found not in before]


def test_joblib_names_the_backend_when_it_is_asked_to_talk(capsys):
    assert Parallel(verbose=1)(delayed(square)(i) for i in range(3)) == [0, 1, 4]
    assert "NbqueueBackend" in "".join(capsys.readouterr())


# -- n_jobs ------------------------------------------------------------------------------------


def test_how_many_tasks_run_at_once():
    assert joblib.effective_n_jobs(-1) == 2
    assert joblib.effective_n_jobs(1) == 1
    assert joblib.effective_n_jobs(3) == 3
    with parallel_config("nbqueue", n_jobs=2):
        assert joblib.effective_n_jobs(None) == 2
    with pytest.raises(ValueError, match="n_jobs == 0 in Parallel has no meaning"):
        Parallel(n_jobs=0)([delayed(square)(1)])


def test_one_at_a_time_is_here_as_with_every_backend(new_jobs):
    assert Parallel(n_jobs=1)(delayed(os.getpid)() for _ in range(2)) == [os.getpid()] * 2
    assert new_jobs() == []


@pytest.mark.parametrize("n_jobs", [None, -1, 2])
def test_more_are_on_workers(n_jobs):
    assert os.getpid() not in Parallel(n_jobs=n_jobs)(delayed(os.getpid)() for _ in range(4))


# -- how tasks travel --------------------------------------------------------------------------


def test_batches_have_the_size_that_was_asked_for(new_jobs):
    found = Parallel(batch_size=5, pre_dispatch="all")(delayed(square)(i) for i in range(10))
    assert found == [i * i for i in range(10)]
    assert len(new_jobs()) == 2


def test_batches_of_quick_tasks_grow_by_themselves(new_jobs):
    results = Parallel(return_as="generator")(delayed(square)(i) for i in range(400))
    assert list(results) == [i * i for i in range(400)]
    assert len(new_jobs()) < 300


def test_tasks_are_taken_no_faster_than_pre_dispatch_says(gate):
    taken = []

    def tasks():
        for i in range(40):
            taken.append(i)
            yield delayed(wait_for)(str(gate))

    results = Parallel(n_jobs=2, pre_dispatch=4, batch_size=1, return_as="generator")(tasks())
    assert len(taken) == 4
    gate.touch()
    assert len(list(results)) == 40


def test_a_list_of_results_takes_all_tasks_at_once_as_one_job(gate, new_jobs):
    opener = threading.Timer(0.3, gate.touch)
    opener.start()
    Parallel(n_jobs=2)(delayed(wait_for)(str(gate)) for _ in range(40))
    (job,) = new_jobs()
    assert job.n == 40
    opener.join()


def test_results_come_in_the_order_of_tasks_or_of_their_ends(gate):
    tasks = [delayed(wait_for)(str(gate)), *[delayed(square)(i) for i in range(1, 6)]]
    results = Parallel(return_as="generator_unordered", batch_size=1)(tasks)
    assert {next(results) for _ in range(5)} == {i * i for i in range(1, 6)}
    gate.touch()
    assert next(results) is None
    assert list(Parallel(return_as="generator")(tasks)) == [None, 1, 4, 9, 16, 25]


# -- how it ends -------------------------------------------------------------------------------


def test_time_that_is_over_ends_a_generator_too(new_jobs):
    results = Parallel(return_as="generator", timeout=0.3)(delayed(time.sleep)(300) for _ in "ab")
    with pytest.raises(multiprocessing.TimeoutError):
        list(results)
    assert all(job.wait(30) and job.state == "REVOKED" for job in new_jobs())


def test_what_is_left_of_a_generator_is_cancelled_when_nobody_wants_it(gate, new_jobs):
    results = Parallel(return_as="generator", batch_size=1)(
        itertools.chain([delayed(square)(3)], [delayed(wait_for)(str(gate))] * 5)
    )
    assert next(results) == 9
    with pytest.warns(UserWarning, match="tasks"):  # joblib's: not all were used
        results.close()
    assert all(job.wait(30) for job in new_jobs())
    assert sum(job.counts()["REVOKED"] for job in new_jobs()) >= 2


def test_what_is_being_sent_as_all_is_given_up_is_cancelled_too(gate, new_jobs, monkeypatch):
    backend, send = NbqueueBackend(), Task.map

    def given_up_meanwhile(*args, **kwargs):
        job = send(*args, **kwargs)
        backend.abort_everything()  # as the main thread does, when a callback's thread sends
        return job

    monkeypatch.setattr(Task, "map", given_up_meanwhile)
    backend.start_call()
    backend.submit(BatchedCalls([(wait_for, (str(gate),), {})], ("nbqueue", 2)), print)
    (job,) = new_jobs()
    assert job.wait(30)
    assert job.state == "REVOKED"


INTERRUPTED = """
import sys, time
import joblib
import nbqueue as nq
from nbqueue.client import onlooking
from pathlib import Path

waiting = onlooking.waiting

def say_that_it_waits(job):
    print("waits", flush=True)
    return waiting(job)

onlooking.waiting = say_that_it_waits

def slow(i):
    Path(sys.argv[1] + str(i)).touch()
    time.sleep(300)

try:
    with joblib.parallel_config("nbqueue", name="interrupted"):
        joblib.Parallel()(joblib.delayed(slow)(i) for i in range(4))
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_ends_the_tasks_too_and_says_so(notebook, tmp_path, until):
    begun = tmp_path / "begun"
    process = notebook.start(INTERRUPTED.replace("sys.argv[1]", repr(str(begun))))
    until(lambda: pathlib.Path(f"{begun}0").exists())
    assert process.stdout.readline() == "waits\n"  # one that comes before finds no job
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert out == "interrupted\n", err
    assert "stopped; job 'interrupted' is cancelled" in err
    job = nq.job("interrupted")
    assert job.wait(30)
    assert job.counts()["REVOKED"] == 4
    assert Parallel()(delayed(square)(i) for i in range(4)) == [0, 1, 4, 9]  # nobody sleeps


# -- large arguments -----------------------------------------------------------------------------


def stored_bytes():
    """How much is kept apart, all in all."""
    return sum(file.stat().st_size for file in default_client().blobs.folder.iterdir())


@pytest.mark.parametrize(
    "large",
    [
        np.random.default_rng(1).random(200_000),
        pd.DataFrame(np.random.default_rng(2).random((20_000, 10))),
        pl.DataFrame({"x": np.random.default_rng(3).random(200_000)}),
        pa.table({"x": np.random.default_rng(4).random(200_000)}),
    ],
    ids=["numpy", "pandas", "polars", "arrow"],
)
def test_a_large_argument_is_in_the_store_once(large):
    before = stored_bytes()
    size = 200_000 * 8
    found = Parallel()(delayed(lambda value, i: (len(value), i))(large, i) for i in range(20))
    assert found == [(len(large), i) for i in range(20)]
    assert size <= stored_bytes() - before < 1.2 * size


def test_data_of_a_grid_search_are_in_the_store_once():
    X, y = load_digits(return_X_y=True)
    before = stored_bytes()
    forest = RandomForestClassifier(4, random_state=0, n_jobs=2)  # Parallel within Parallel
    search = GridSearchCV(forest, {"max_depth": [3, 9]}, cv=3, refit=False).fit(X, y)
    assert search.best_params_ == {"max_depth": 9}
    assert X.nbytes <= stored_bytes() - before < 1.1 * X.nbytes
