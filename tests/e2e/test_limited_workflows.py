"""Limits, times and routes of a workflow's steps: each step's own."""

import itertools
import time

import pytest

import nbqueue as nq


@pytest.fixture(scope="module")
def names(servers, wires):
    for queue in ("celery", "gpu"):
        servers.worker(wires.broker, wires.key, "-c", "2", "-Q", queue, backend=wires.backend)


@pytest.fixture(autouse=True)
def client(wires, names):
    with nq.connect(wires.broker, backend=wires.backend, key=wires.key) as made:
        yield made


@nq.task
def now(*_):
    return time.time()


@nq.task
def span(_):
    begun = time.time()
    time.sleep(0.1)
    return begun, time.time()


@nq.task
def collect(found):
    return sorted(found)


def test_a_step_runs_at_the_rate_of_its_task():
    paced = now.with_options(name="step", rate_limit="20/s")
    begun = nq.run(nq.map(paced, range(25)) | collect.s()).result(40)
    assert len(begun) == 25
    assert begun[-1] - begun[0] > 0.9


def test_a_step_keeps_to_its_concurrency():
    alone = span.with_options(name="lonely", concurrency=1)
    found = nq.run(nq.group(alone.s(i) for i in range(5)) | collect.s()).result(40)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(found))


def test_a_step_has_its_own_queue_and_beginning():
    late = now.with_options(queue="gpu", countdown=0.5, priority=5)
    asked = time.time()
    job = nq.run(now.s() | late.s())
    assert job.result(40) - asked > 0.4
    workers = job.to_frame()["worker"].tolist()
    assert workers[0] != workers[1]


def test_a_step_that_expires_is_revoked_and_what_follows_does_not_run():
    job = nq.run(now.s() | now.with_options(countdown=2, expires=0.3).s() | now.s())
    assert job.wait(40)
    states = job.to_frame()["state"].tolist()
    assert states[:2] == ["SUCCESS", "REVOKED"]
    assert states[2] != "SUCCESS"
