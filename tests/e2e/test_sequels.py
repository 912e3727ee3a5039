"""Jobs that wait for others: begun when all have succeeded, failed when one has not, never lost."""

import os
import signal
from concurrent.futures import CancelledError

import pytest

import nbqueue as nq
from nbqueue.client import dispatch
from nbqueue.client.connecting import default_client
from nbqueue.client.dispatch import Submission
from nbqueue.client.options import TaskOptions
from tests.e2e.gates import wait_for

pytestmark = pytest.mark.usefixtures("cluster")


def follow(function, jobs, rows=(1, 2), name=None):
    client = default_client()
    after = tuple(job.id for job in jobs)
    address = client.code.address(function)
    sub = Submission(function.__name__, address, ("x",), TaskOptions(), name, after=after)
    return dispatch.submit_rows(client, sub, [(row,) for row in rows])


def identity(x):
    return x


def test_a_job_begins_when_all_that_it_follows_have_succeeded(tmp_path):
    first = wait_for.submit(str(tmp_path / "a"))
    second = wait_for.submit(str(tmp_path / "b"))
    job = follow(identity, [first, second])
    (tmp_path / "a").touch()
    assert first.result(20) == 0
    assert not job.wait(0.3)
    assert job.state == "PENDING"
    (tmp_path / "b").touch()
    assert job.result(20) == [1, 2]
    started = job.to_frame()["started"].min()
    assert started >= second.to_frame()["started"].min()


def test_a_job_that_follows_what_has_succeeded_already_begins_at_once():
    first = nq.task(identity).submit(5)
    assert first.result(20) == 5
    assert follow(identity, [first]).result(20) == [1, 2]


def test_a_job_that_follows_a_failure_fails_and_says_which_it_was():
    first = nq.task(lambda: 1 / 0).apply_async(name="prepare")
    job = follow(identity, [first])
    assert job.wait(20)
    exc = job.exceptions()[1]
    assert isinstance(exc, nq.UpstreamFailed)
    assert "'prepare'" in str(exc)
    seen = job.to_frame()[["attempts", "worker", "memory_mb", "started"]]
    assert seen["attempts"].tolist() == [0, 0]
    assert seen.drop(columns="attempts").isna().all(axis=None)
    job.retry()
    assert job.result(20) == [1, 2]


def test_a_chain_of_jobs_behind_a_failure_fails_to_its_end():
    first = nq.task(lambda: 1 / 0).submit()
    job = follow(identity, [follow(identity, [first])])
    assert job.wait(20)
    assert isinstance(job.exceptions()[0], nq.UpstreamFailed)


def test_cancelling_or_forgetting_what_is_followed_ends_what_follows(tmp_path):
    for end in ("cancel", "forget"):
        first = wait_for.submit(str(tmp_path / end))
        job = follow(identity, [first])
        getattr(first, end)()
        assert job.wait(20)
        assert isinstance(job.exceptions()[0], nq.UpstreamFailed)
        (tmp_path / end).touch()


def test_a_waiting_job_may_be_cancelled(tmp_path):
    first = wait_for.submit(str(tmp_path / "a"))
    job = follow(identity, [first])
    assert job.cancel() == 2
    (tmp_path / "a").touch()
    assert first.result(20) == 0
    assert job.state == "REVOKED"
    assert isinstance(job.exceptions()[0], CancelledError)


def test_following_an_unknown_job_sends_nothing():
    class Gone:
        id = "0" * 16

    with pytest.raises(nq.UnknownJob, match="nothing was sent"):
        follow(identity, [Gone], name="never")
    with pytest.raises(nq.UnknownJob):
        nq.job("never")


def test_a_held_job_begins_without_the_client_that_sent_it(notebook, gate):
    process = notebook.start(
        f"""
import time
from nbqueue.client import dispatch
from nbqueue.client.connecting import default_client
from nbqueue.client.dispatch import Submission
from nbqueue.client.options import TaskOptions

@nq.task
def wait():
    import os, time
    while not os.path.exists({str(gate)!r}):
        time.sleep(0.01)

client = default_client()
address = client.code.address(lambda x: -x)
first = wait.submit()
sub = Submission("neg", address, ("x",), TaskOptions(), "orphan", after=(first.id,))
dispatch.submit_rows(client, sub, [(1,), (2,)])
print("sent", flush=True)
time.sleep(100)
"""
    )
    assert process.stdout.readline() == "sent\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    gate.touch()
    assert nq.job("orphan").result(20) == [-1, -2]
