"""Ending what runs and running again what failed. That an item did not run is shown by the file
that it would have written."""

import concurrent.futures
import time

import pytest

import nbqueue as nq
from nbqueue.client.connecting import default_client

pytestmark = pytest.mark.usefixtures("cluster")


@nq.task
def touch(folder, i, gate=None):
    """Writes a line to a file of its own, then waits for the gate."""
    import pathlib
    import time

    with (pathlib.Path(folder) / str(i)).open("a") as file:
        file.write("ran\n")
    while gate is not None and not pathlib.Path(gate).exists():
        time.sleep(0.01)
    return i


@nq.task
def needs(path, x):
    """Fails until a file is there, for odd numbers."""
    import pathlib

    with pathlib.Path(f"{path}.runs").open("a") as file:
        file.write(f"{x}\n")
    if x % 2 and not pathlib.Path(path).exists():
        raise ValueError(f"odd {x}")
    return x


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "ran"
    made.mkdir()
    return made


def ran(folder):
    return {int(path.name) for path in folder.iterdir()}


def queued(until):
    """Wait until a message that was just sent has been queueing for longer than workers trust
    one to be wanted (`worker.executor._OLD_S`)."""
    sent = time.monotonic()
    until(lambda: time.monotonic() - sent > 0.05)


def occupy(folder, gate, until):
    """Both workers are busy until the gate opens."""
    job = touch.map([folder] * 2, [900, 901], [gate] * 2)
    until(lambda: job.counts()["STARTED"] == 2)
    return job


# -- cancel --------------------------------------------------------------------------------------


def test_a_job_is_retried_whose_end_was_not_read_here_before(tmp_path, until):
    client = default_client()
    job = needs.map([str(tmp_path / "gate")] * 2, [1, 2])
    client.follower.unfollow(job._live)  # as if the word of its end were still on its way
    until(lambda: client.joblog.left_and_bad(job.id) == (0, 1))
    (tmp_path / "gate").touch()
    job.retry()
    assert job.result(30) == [1, 2]


def test_cancelled_while_queued_nothing_runs(folder, gate, until):
    busy = occupy(folder, gate, until)
    many = touch.map([folder] * 50, range(50))
    one = touch.submit(folder, 60)
    queued(until)
    assert (many.cancel(), one.cancel()) == (50, 1)
    assert many.wait(20)
    assert one.wait(20)
    assert many.state == one.state == "REVOKED"
    assert many.counts()["REVOKED"] == 50
    gate.touch()
    assert busy.wait(20)
    # What comes after has its turn after them in the queue, so they have had theirs.
    assert touch.map([folder] * 2, [902, 903]).wait(20)
    assert ran(folder) == {900, 901, 902, 903}
    with pytest.raises(concurrent.futures.CancelledError, match="item 0 of job"):
        many.result(0)
    assert many.result(0, errors="drop") == []
    assert all(
        isinstance(e, concurrent.futures.CancelledError) for e in many.result(0, errors="return")
    )


def test_cancelled_while_running_the_rest_does_not_run(folder, gate, until):
    job = touch.map([folder] * 40, range(40), [gate] * 40)
    until(lambda: job.counts()["STARTED"] == 2)
    assert job.cancel() == 40
    assert job.wait(20)
    begun = ran(folder)
    assert len(begun) == 2
    gate.touch()
    assert touch.map([folder] * 2, [900, 901]).wait(20)
    assert ran(folder) == begun | {900, 901}
    assert job.counts()["REVOKED"] == 40
    assert job.to_frame()["state"].unique().tolist() == ["REVOKED"]


def test_a_call_may_be_cancelled_or_found_the_moment_it_was_sent(folder, gate, until):
    busy = occupy(folder, gate, until)
    for i in range(60):
        job = touch.apply_async((folder, i), name=f"quick {i}")
        if i % 2:
            assert job.cancel() == 1
        else:
            assert nq.job(f"quick {i}").id == job.id
    gate.touch()
    assert busy.wait(20)


def test_what_has_ended_stays_as_it_is(folder, gate, until):
    job = nq.task(lambda f, i, g: touch(f, i, g if i >= 3 else None)).starmap(
        (folder, i, gate) for i in range(6)
    )
    until(lambda: job.counts()["SUCCESS"] == 3)
    assert job.cancel() == 3
    assert job.counts()["SUCCESS"] == 3
    assert job.result(5, errors="drop") == [0, 1, 2]
    assert job.cancel() == 0


def test_cancelling_a_finished_job_changes_nothing(folder):
    job = touch.submit(folder, 1)
    assert job.result(20) == 1
    assert job.cancel() == 0
    assert (job.state, job.result(0)) == ("SUCCESS", 1)
    assert job[0].cancel() is False


def test_one_queued_item_is_cancelled_by_its_future(folder, gate, until):
    busy = occupy(folder, gate, until)
    job = touch.map([folder] * 4, range(4))
    queued(until)
    assert job[2].cancel() is True
    assert job[2].cancelled()
    assert job[2].cancel() is True
    with pytest.raises(concurrent.futures.CancelledError):
        job[2].result(20)
    assert not busy[0].cancel()
    gate.touch()
    assert job.wait(20)
    assert job.result(errors="drop") == [0, 1, 3]
    assert 2 not in ran(folder)
    assert job.state == "REVOKED"
    done, _ = concurrent.futures.wait(list(job), timeout=20)
    assert len(done) == 4


def test_terminate_ends_a_running_item_at_once_and_the_cluster_serves_on(folder, gate, until):
    job = touch.map([folder] * 10, range(10), [gate] * 10)
    until(lambda: job.counts()["STARTED"] == 2)
    job.cancel(terminate=True)
    assert job.wait(20)
    # The gate is still shut: only killed workers can serve this.
    assert touch.map([folder] * 4, range(100, 104)).result(30) == [100, 101, 102, 103]
    assert ran(folder) - {100, 101, 102, 103} <= set(range(10))
    assert len(ran(folder)) == 6
    assert job.counts()["REVOKED"] == 10


def test_terminate_of_one_job_leaves_another_alone(folder, gate, until):
    victim = touch.submit(folder, 0, gate)
    other = touch.submit(folder, 1, gate)
    until(lambda: victim.state == other.state == "STARTED")
    victim.cancel(terminate=True)
    assert touch.submit(folder, 2).result(30) == 2
    gate.touch()
    assert other.result(20) == 1
    assert (folder / "1").read_text() == "ran\n"
    assert victim.state == "REVOKED"


def test_forgotten_jobs_are_gone(folder, gate, until):
    job = touch.submit(folder, 1)
    assert job.result(20) == 1
    job.forget()
    with pytest.raises(nq.UnknownJob):
        nq.job(job.id)
    assert job.id not in nq.jobs().index
    running = touch.map([folder] * 6, range(6), [gate] * 6)
    until(lambda: running.counts()["STARTED"] == 2)
    running.forget()
    assert repr(running).endswith("(PENDING 4, STARTED 2); no longer in the store>")
    gate.touch()
    assert touch.submit(folder, 50).result(20) == 50
    assert running.id not in nq.jobs().index


def test_what_runs_of_a_forgotten_job_is_ended(folder, gate, until):
    endless = touch.map([folder] * 2, range(2), [gate] * 2)
    until(lambda: endless.counts()["STARTED"] == 2)
    endless.forget()
    others = touch.map([folder] * 2, range(2, 4))
    assert others.result(30) == [2, 3]


def test_waiting_for_a_forgotten_job_ends_with_the_reason(folder, gate, until):
    job = touch.submit(folder, 1, gate)
    until(lambda: job.state == "STARTED")
    nq.job(job.id).forget()
    with pytest.raises(nq.Expired, match="forgotten"):
        job.result(15)


# -- retry ---------------------------------------------------------------------------------------


def test_only_failed_items_run_again(tmp_path):
    path = tmp_path / "there"
    job = needs.starmap((str(path), x) for x in range(6))
    assert job.wait(20)
    assert job.counts()["FAILURE"] == 3
    path.touch()
    assert job.retry() is job
    assert job.result(20) == list(range(6))
    assert job.counts() == {
        "PENDING": 0, "STARTED": 0, "RETRY": 0, "SUCCESS": 6, "FAILURE": 0, "REVOKED": 0,
    }  # fmt: skip
    assert job.to_frame()["attempts"].tolist() == [1, 2, 1, 2, 1, 2]
    assert job.exceptions() == {}
    runs = (tmp_path / "there.runs").read_text().split()
    assert sorted(runs) == sorted(["0", "1", "2", "3", "4", "5", "1", "3", "5"])
    listed = nq.jobs().loc[job.id]
    assert (listed["state"], listed["success"], listed["failure"]) == ("SUCCESS", 6, 0)


def test_retry_of_nothing_failed_does_nothing():
    job = nq.task(lambda x: x).map([1, 2])
    assert job.wait(20)
    assert job.retry().result(20) == [1, 2]
    assert job.to_frame()["attempts"].tolist() == [1, 1]


def test_items_may_fail_again_and_again(tmp_path):
    path = tmp_path / "never"
    job = needs.starmap((str(path), x) for x in range(3))
    for attempt in (1, 2, 3):
        assert job.wait(20)
        assert job.to_frame()["attempts"].tolist() == [1, attempt, 1]
        assert list(job.exceptions()) == [1]
        job.retry()
    assert job.wait(20)


def test_retry_with_a_mended_task(tmp_path):
    job = needs.starmap((str(tmp_path / "never"), x) for x in range(4))
    assert job.wait(20)

    @nq.task(name="mended")
    def mended(path, x):
        return -x

    assert job.retry(mended).result(20) == [0, -1, 2, -3]
    assert job.task == "mended"
    assert job.rerun(1) == -1


def test_retry_with_a_task_that_does_not_fit_is_refused(tmp_path):
    job = needs.starmap((str(tmp_path / "never"), x) for x in range(2))
    assert job.wait(20)
    with pytest.raises(TypeError):
        job.retry(nq.task(lambda x: x))
    assert job.state == "FAILURE"
    assert job.counts()["FAILURE"] == 1


def test_retry_of_a_single_call(tmp_path):
    path = tmp_path / "there"
    job = needs.submit(str(path), 1)
    assert job.wait(20)
    path.touch()
    assert job.retry().result(20) == 1
    big = nq.task(lambda path, text: (needs(path, 1), len(text)))
    path.unlink()
    job = big.submit(str(path), "x" * 100_000)
    assert job.wait(20)
    path.touch()
    assert job.retry().result(20) == (1, 100_000)


def test_futures_of_retried_items_are_new(tmp_path):
    path = tmp_path / "there"
    job = needs.starmap((str(path), x) for x in range(2))
    assert job.wait(20)
    before, kept = job[1], job[0]
    path.touch()
    job.retry()
    assert job[1] is not before
    assert job[0] is kept
    assert job[1].result(20) == 1
    assert isinstance(before.exception(), ValueError)


def test_retry_while_the_job_still_runs(tmp_path, gate, until):
    def f(path, gate, x):
        return touch(path, x, gate) if x == 5 else needs(f"{path}/there", x)

    job = nq.task(f).starmap((str(tmp_path), str(gate), x) for x in range(6))
    until(lambda: job.counts()["FAILURE"] == 2 and job.counts()["SUCCESS"] == 3)
    (tmp_path / "there").touch()
    job.retry()
    until(lambda: job.counts()["SUCCESS"] == 5)
    assert not job.finished
    gate.touch()
    assert job.result(20) == list(range(6))


def test_retry_after_cancel_runs_what_had_failed(tmp_path, folder, gate, until):
    def f(path, folder, gate, x):
        return touch(folder, x, gate) if x >= 2 else needs(path, x)

    path = tmp_path / "there"
    job = nq.task(f).starmap((str(path), str(folder), str(gate), x) for x in range(8))
    until(lambda: job.counts()["SUCCESS"] == job.counts()["FAILURE"] == 1)
    until(lambda: job.counts()["STARTED"] == 2)
    job.cancel()
    assert job.wait(20)
    path.touch()
    gate.touch()
    job.retry()
    assert job.wait(20)
    counts = job.counts()
    assert (counts["SUCCESS"], counts["FAILURE"], counts["REVOKED"]) == (2, 0, 6)
    assert job.result(0, errors="drop") == [0, 1]


def test_two_that_retry_at_once_make_one_round(tmp_path, cluster):
    path = tmp_path / "there"
    job = needs.starmap((str(path), x) for x in range(40))
    assert job.wait(20)
    path.touch()

    def retry(one):
        try:
            one.retry()
        except nq.UsageError as exc:
            return str(exc)
        return None

    with cluster.connect("other") as other, concurrent.futures.ThreadPoolExecutor(2) as pool:
        second = other.job(job.id)
        said = list(pool.map(retry, [job, second]))
        assert job.wait(20)
        assert second.wait(20)
        assert job.result() == second.result() == list(range(40))
        assert job.to_frame()["attempts"].max() == 2
        assert said.count(None) >= 1
        assert all("retried by another client" in text for text in said if text)


def test_log_tells_of_rounds(tmp_path):
    path = tmp_path / "there"
    job = needs.starmap((str(path), x) for x in range(2))
    assert job.wait(20)
    path.touch()
    assert job.retry().wait(20)
    assert any("round 2" in line for line in job.log(1))
    assert not any("round 2" in line for line in job.log(0))
