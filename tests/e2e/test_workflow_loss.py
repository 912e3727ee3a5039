"""Workflows whose processes die: what was to begin begins all the same, and nothing is lost."""

import os
import signal

import pytest

import nbqueue as nq
from nbqueue.client.connecting import default_client
from nbqueue.store import keys

pytestmark = pytest.mark.usefixtures("cluster")


@nq.task
def double(x):
    return 2 * x


@nq.task
def total(xs):
    return sum(xs)


def test_workers_begin_what_nobody_has_sent(monkeypatch):
    # As if this process had died between the opening of the workflow and the sending.
    client = default_client()
    monkeypatch.setattr(client.sequels, "release", lambda: None)
    monkeypatch.setattr(client.follower, "on_sweep", lambda: None)
    job = nq.run(nq.map(double, range(5)) | total.s())
    assert job.result(30) == 20


def test_a_claim_of_a_process_that_died_runs_out():
    client = default_client()
    store = client.joblog._store
    client.plans, plans = _Dead(client.plans), client.plans
    try:
        job = nq.run(nq.map(double, range(3)) | total.s())
    finally:
        client.plans = plans
    assert store.get(keys.claim(job.id)) == b"a process that has died"
    store.pexpire(keys.claim(job.id), 500)
    assert job.result(30) == 6


class _Dead:
    """Opens workflows, claims what begins, and dies before it sends it."""

    def __init__(self, plans):
        self._plans = plans

    def open(self, opening, planned):
        job_id, dead = opening.spec.id, "a process that has died"
        # Before it is there: a worker that looks just then would claim it.
        self._plans._joblog._store.set(keys.claim(job_id), dead, px=60_000)
        self._plans.open(opening, planned)
        self._plans._joblog.run("advance", job_id, 60_000, dead)
        return False


def test_a_worker_process_that_dies_in_a_step_delays_the_workflow_and_no_more(tmp_path):
    flag = str(tmp_path / "died")

    @nq.task
    def dies_once(xs, flag):
        if not os.path.exists(flag):  # noqa: PTH110
            open(flag, "w").close()  # noqa: PTH123
            os.kill(os.getpid(), signal.SIGKILL)
        return sum(xs)

    job = nq.run(nq.map(double, range(10)) | dies_once.s(flag) | double.s())
    assert job.result(60) == 180
    assert job.counts()["SUCCESS"] == 12


@nq.task
def odd(x):
    if x % 2:
        raise ValueError(x)
    return x


@pytest.mark.parametrize("single", [True, False])
def test_what_follows_a_failed_job_is_not_retried_before_that_one(single):
    first = odd.submit(1) if single else odd.map(range(4), name="some are odd")
    follower = first | nq.task(str, name="see").s()
    assert follower.wait(30)
    assert first.name in str(follower.exceptions()[0])
    with pytest.raises(nq.UsageError, match="retry that one first"):
        follower.retry()
    assert follower.state == "FAILURE"
    first.retry(nq.task(lambda x: x, name="mended"))
    assert first.wait(30)
    assert follower.retry().result(30) == ("1" if single else "[0, 1, 2, 3]")


def test_a_step_that_never_began_has_no_times():
    job = nq.run(odd.s(1) | double.s())
    assert job.wait(30)
    frame = job.to_frame()
    assert frame["started"].isna().tolist() == [False, True]
    assert frame["run_s"].isna().tolist() == [False, True]


def test_only_a_task_can_take_the_place_of_another():
    job = odd.submit(1)
    assert job.wait(30)
    with pytest.raises(nq.UsageError, match="takes a task"):
        job.retry(5)
