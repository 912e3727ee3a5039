"""joblib's `Parallel`, and scikit-learn through it, on nbqueue."""

import itertools
import multiprocessing
import os
import pathlib
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.tree import DecisionTreeClassifier

import nbqueue as nq
from nbqueue.client.connecting import default_client

pytestmark = pytest.mark.usefixtures("cluster")


@pytest.fixture(autouse=True)
def backend(_connected):
    with parallel_config("nbqueue"):
        yield


def square(x):
    return x * x


def fail(x):
    raise KeyError(x)


def pid(_):
    time.sleep(0.01)
    return os.getpid()


def last_job():
    return nq.job(nq.jobs().index[0])


def test_a_call_of_parallel_is_one_job_with_an_item_a_task():
    assert Parallel()(delayed(square)(i) for i in range(50)) == [i * i for i in range(50)]
    job = last_job()
    assert (job.n, job.task, job.state) == (50, "square", "SUCCESS")
    assert os.getpid() not in Parallel()(delayed(pid)(i) for i in range(10))
    assert Parallel()(()) == []


def test_the_job_has_the_name_and_options_that_the_backend_was_given():
    with parallel_config("nbqueue", name="squares", priority=3):
        Parallel()(delayed(square)(i) for i in range(3))
    assert nq.job("squares").result() == [[0], [1], [4]]
    Parallel(backend="nbqueue", name="more squares")(delayed(square)(i) for i in range(3))
    assert last_job().name == "more squares"
    with pytest.raises(TypeError, match="unknown task option 'prioritiy'"):
        Parallel(backend="nbqueue", prioritiy=3)(delayed(square)(i) for i in range(3))


def test_what_a_task_raises_is_raised_and_the_rest_is_cancelled(gate):
    def wait_for(path):
        while not pathlib.Path(path).exists():
            time.sleep(0.01)

    tasks = [delayed(fail)(1), *[delayed(wait_for)(str(gate))] * 5]
    with pytest.raises(KeyError, match="1"):
        Parallel()(tasks)
    assert last_job().counts()["REVOKED"] == 5
    gate.touch()


def test_what_cannot_travel_is_said():
    with pytest.raises(nq.NotPicklable, match=r"_thread\.lock"):
        Parallel()(delayed(square)(threading.Lock()) for _ in range(2))


@pytest.mark.parametrize("order", ["generator", "generator_unordered"])
def test_results_are_given_one_by_one_of_tasks_without_end(order):
    results = Parallel(return_as=order)(delayed(square)(i) for i in itertools.count())
    found = [next(results) for _ in range(20)]
    with pytest.warns(UserWarning, match="tasks"):  # joblib's: not all were used
        results.close()
    assert set(found) <= {i * i for i in range(200)}
    if order == "generator":
        assert found == [i * i for i in range(20)]


def test_what_fails_on_the_way_to_a_generator_is_raised():
    def tasks():
        yield from (delayed(square)(i) for i in range(10))
        yield delayed(square)(threading.Lock())

    with pytest.raises(nq.NotPicklable, match=r"_thread\.lock"):
        list(Parallel(return_as="generator")(tasks()))
    with pytest.raises(KeyError):
        list(Parallel(return_as="generator")(delayed(fail)(i) for i in range(30)))


def test_time_that_is_over_ends_the_wait_and_the_tasks():
    with pytest.raises(multiprocessing.TimeoutError):
        Parallel(timeout=0.3)(delayed(time.sleep)(300) for _ in range(3))
    job = last_job()
    assert job.wait(30)
    assert job.counts()["REVOKED"] == 3
    assert Parallel()(delayed(square)(i) for i in range(4)) == [0, 1, 4, 9]  # nobody sleeps


def test_parallel_within_a_task_runs_in_its_process():
    def inner(i):
        return [os.getpid(), *Parallel(n_jobs=2)(delayed(os.getpid)() for _ in range(3))]

    for pids in Parallel()(delayed(inner)(i) for i in range(3)):
        assert len(set(pids)) == 1


def test_so_many_tasks_run_at_once_as_n_jobs_says():
    def times(i):  # by a clock that all processes share
        began = time.monotonic()
        time.sleep(0.02)
        return began, time.monotonic()

    with nq.LocalCluster(workers=3) as cluster:
        cluster.connect()
        found = Parallel(n_jobs=2)(delayed(times)(i) for i in range(12))
        assert max(sum(a <= began < b for a, b in found) for began, _ in found) <= 2


def test_an_array_is_sent_once_for_all_tasks_that_take_it(monkeypatch):
    sent = []
    blobs = default_client().blobs
    put = blobs.put
    monkeypatch.setattr(blobs, "put", lambda value: sent.append(len(value)) or put(value))
    array = np.arange(20_000.0)
    found = Parallel()(delayed(np.add)(array, i) for i in range(10))
    assert [row[0] for row in found] == list(range(10))
    assert sum(size > 100_000 for size in sent) == 1


def test_scikit_learn_runs_on_it():
    X, y = load_digits(return_X_y=True)
    tree = DecisionTreeClassifier(random_state=0)
    search = GridSearchCV(tree, {"max_depth": [2, 4, 8]}, cv=3).fit(X, y)
    assert search.best_params_ == {"max_depth": 8}
    assert (last_job().n, last_job().task) == (9, "_fit_and_score")
    assert len(cross_val_score(tree, X, y, cv=4)) == 4
    forest = RandomForestClassifier(20, random_state=0).fit(X, y)
    assert forest.score(X, y) > 0.99
    assert last_job().task == "_parallel_build_trees"


@pytest.mark.parametrize("first", ["nbqueue", "joblib"])
def test_the_backend_is_there_whichever_is_imported_first(first):
    second = "joblib" if first == "nbqueue" else "nbqueue"
    code = (
        f"import sys, {first}, {second}\n"
        "from joblib.parallel import BACKENDS\n"
        "assert 'nbqueue' in BACKENDS\n"
        "assert 'nbqueue.client.parallel' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
