"""Rates, concurrency and expiry over the whole cluster, on Redis and RabbitMQ: two workers each."""

import datetime as dt
import os
import signal
import time

import pytest

import nbqueue as nq


@pytest.fixture(scope="module")
def workers(servers, wires):
    return [servers.worker(wires.broker, wires.key, "-c", "2", backend=wires.backend) for _ in "ab"]


@pytest.fixture(autouse=True)
def client(wires, workers):
    with nq.connect(wires.broker, backend=wires.backend, key=wires.key) as made:
        yield made


@nq.task
def now(x=0):
    return time.time()


@nq.task
def span(seconds):
    begun = time.time()
    time.sleep(seconds)
    return begun, time.time()


@nq.task
def held(gate):
    begun = time.time()
    while not gate.exists():
        time.sleep(0.01)
    time.sleep(0.2)
    return begun, time.time()


def most_at_once(spans):
    steps = sorted([(a, 1) for a, _ in spans] + [(b, -1) for _, b in spans])
    found = running = 0
    for _, step in steps:
        running += step
        found = max(found, running)
    return found


# -- rate_limit ----------------------------------------------------------------------------------


def test_a_map_runs_at_its_rate_whatever_the_number_of_workers():
    begun = sorted(now.with_options(name="paced", rate_limit="100/s").map(range(300)).result(40))
    assert begun[-1] - begun[0] > 2
    # A second's, those that gather while nobody comes, and what four processes that stand still
    # for a moment may have in hand.
    assert max(sum(t <= u < t + 1 for u in begun) for t in begun) <= 100 + 10 + 4 * 10


def test_single_calls_and_maps_of_a_name_share_its_rate():
    task = now.with_options(name="shared", rate_limit="20/s")
    jobs = [task.submit() for _ in range(20)] + [task.map(range(20))]
    begun = sorted(t for x in nq.gather(jobs) for t in (x if isinstance(x, list) else [x]))
    assert begun[-1] - begun[0] > 1.2


def test_chunks_run_at_the_rate_too():
    task = now.with_options(name="chunked", rate_limit="40/s")
    begun = sorted(task.chunks([(i,) for i in range(60)], 10).result(30))
    assert begun[-1] - begun[0] > 0.8


def test_other_jobs_do_not_wait_behind_a_rate():
    slow = now.with_options(name="slow", rate_limit="2/s").map(range(1_000))
    for _ in range(5):
        asked = time.time()
        assert now.submit().result(30) - asked < 20  # and not minutes
    assert slow.cancel() > 900
    assert slow.state == "REVOKED"


def test_a_rate_is_changed_while_the_job_runs(client, until):
    job = now.with_options(name="changed", rate_limit="1/h").map(range(50))
    until(lambda: job.counts()["SUCCESS"] == 1)
    nq.control.ping()  # from now on both workers are waited for, however late they answer
    answer = nq.control.rate_limit("changed", "1000/s", timeout=30)
    assert answer["ok"].tolist() == [True, True]
    assert answer["answer"].iloc[0] == "task 'changed': 1000/s, all workers together"
    assert len(job.result(30)) == 50
    assert client.turns.rates() == {"changed": 1000.0}
    nq.control.rate_limit("changed", None, timeout=30)
    assert client.turns.rates() == {}
    with pytest.raises(nq.UsageError, match="Invalid rate limit string: 'often'"):
        nq.control.rate_limit("changed", "often", timeout=30)


def test_a_rate_that_is_set_for_a_task_that_has_none_holds_at_once(capfd):
    task = now.with_options(name="free")
    nq.control.ping()  # from now on both workers are waited for, however late they answer
    for rate in ("20/s", "40/s"):
        nq.control.rate_limit(task, rate, timeout=30)
        begun = sorted(task.map(range(30)).result(30))
        assert begun[-1] - begun[0] > 0.2
    assert "has been sent yet" not in capfd.readouterr().err
    nq.control.rate_limit(task, None)
    nq.control.rate_limit("fre", 5)
    said = capfd.readouterr().err
    assert "no task 'fre' has been sent yet" in said
    assert "did you mean 'free'?" in said
    nq.control.rate_limit("fre", None)


# -- concurrency -----------------------------------------------------------------------------------


def test_concurrency_of_one_is_a_mutex_over_the_cluster():
    task = span.with_options(name="alone", concurrency=1)
    jobs = [task.map([0.05] * 6), task.submit(0.05), task.map([0.001] * 50)]
    found = nq.gather(jobs)
    spans = [*found[0], found[1], *found[2]]
    assert most_at_once(spans) == 1


def test_as_many_items_run_at_once_as_concurrency_allows(gate, until):
    job = held.with_options(name="three", concurrency=3).map([gate] * 12)
    until(lambda: job.counts()["STARTED"] == 3)
    gate.touch()
    assert most_at_once(job.result(40)) == 3


def test_other_jobs_do_not_wait_behind_a_mutex(gate):
    task = held.with_options(name="long", concurrency=1)
    jobs = [task.submit(gate) for _ in range(6)]
    assert now.submit().result(30)
    gate.touch()
    assert most_at_once(nq.gather(jobs)) == 1


def test_a_cancelled_job_that_waits_for_a_slot_leaves_it_to_the_next(gate, until):
    task = held.with_options(name="leaves", concurrency=1)
    first = task.submit(gate)
    until(lambda: first.state == "STARTED")
    unwanted = [task.submit(gate) for _ in range(20)]
    wanted = task.submit(gate)
    for job in unwanted:
        job.cancel()
    gate.touch()
    assert wanted.result(30)[0] - first.result(30)[1] < 5  # a lease lasts for longer


def test_a_rate_and_a_concurrency_hold_together():
    task = span.with_options(name="both", concurrency=1, rate_limit="10/s")
    spans = task.map([0.01] * 12).result(30)
    assert most_at_once(spans) == 1
    assert max(b for b, _ in spans) - min(b for b, _ in spans) > 0.9


def test_the_slot_of_a_killed_worker_comes_back_in_seconds(servers, wires, tmp_path, until):
    env = ("-c", "1", "-Q", "doomed")
    process, _ = servers.worker(wires.broker, wires.key, *env, backend=wires.backend)
    task = nq.task(lambda path: path.exists() or time.sleep(60), name="slot", concurrency=1)
    stuck = task.with_options(queue="doomed").submit(tmp_path / "none")
    until(lambda: stuck.state == "STARTED")
    waits = task.submit(tmp_path)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    died = time.monotonic()
    assert waits.result(40) is True
    assert time.monotonic() - died < 30
    stuck.cancel()


def test_items_that_kill_their_processes_cost_neither_items_nor_slots(tmp_path):
    def dies_once(i, folder):
        mark = folder / f"{i}"
        if i % 10 == 3 and not mark.exists():
            mark.touch()
            os._exit(1)
        return i

    task = nq.task(dies_once, name="dies", rate_limit="60/s", concurrency=2)
    job = task.map(range(40), [tmp_path] * 40)
    assert job.result(60) == list(range(40))
    assert len(list(tmp_path.iterdir())) == 4


def test_a_terminated_item_gives_its_slot_back(until):
    task = span.with_options(name="ended", concurrency=1)
    stuck = task.submit(60)
    until(lambda: stuck.state == "STARTED")
    behind = task.submit(0.01)
    stuck.cancel(terminate=True)
    assert behind.wait(30)


def test_an_item_that_runs_for_longer_than_a_lease_keeps_its_slot():
    task = span.with_options(name="lease", concurrency=1)
    assert most_at_once(nq.gather(task.submit(8), task.submit(0.1))) == 1


# -- expires ---------------------------------------------------------------------------------------


def test_what_is_not_begun_in_time_is_revoked_and_says_why(tmp_path, until):
    gate = tmp_path / "gate"

    def wait(path):
        while not path.exists():
            time.sleep(0.01)

    blocking = nq.task(wait).map([gate] * 4)
    until(lambda: blocking.counts()["STARTED"] == 4)
    call, job = now.apply_async(expires=0.3), now.with_options(expires=0.3).map(range(5))
    fine = now.apply_async(expires=60)
    asked = time.monotonic()
    until(lambda: time.monotonic() - asked > 0.4)
    gate.touch()
    assert fine.result(20)
    assert call.wait(20)
    assert job.wait(20)
    assert (call.state, job.state) == ("REVOKED", "REVOKED")
    assert job.counts()["REVOKED"] == 5
    assert "expired: not begun by 20" in str(call.exceptions()[0])
    assert job.to_frame()["error"].str.startswith("expired").all()


def test_what_expires_before_its_eta_is_revoked_then():
    asked = time.monotonic()
    job = now.apply_async(countdown=60, expires=0.5)
    assert job.wait(30)
    assert job.state == "REVOKED"
    assert 0.4 < time.monotonic() - asked < 30


def test_a_moment_in_the_past_has_expired():
    past = dt.datetime.now(dt.timezone.utc) - dt.timedelta(seconds=1)
    job = now.apply_async(expires=past)
    assert job.wait(20)
    assert job.state == "REVOKED"


def test_the_rest_of_a_chunk_expires_and_what_has_begun_does_not(gate, until):
    job = held.with_options(expires=5).chunks([(gate,)] * 40, 10)
    asked = time.monotonic()
    until(lambda: job.counts()["STARTED"])
    until(lambda: time.monotonic() - asked > 5.1)
    gate.touch()
    assert job.wait(20)
    counts = job.counts()
    assert counts["SUCCESS"] + counts["REVOKED"] == 40
    assert 1 <= counts["SUCCESS"] <= 4  # of four processes
    job.retry()
    assert job.counts()["REVOKED"] == counts["REVOKED"]
