"""Retries that wait: many of them, deaths, cancellation, other pools, cells; on both brokers."""

import os
import signal
import time
from pathlib import Path

import pytest
import redis
from celery import current_task
from celery.exceptions import SoftTimeLimitExceeded

import nbqueue as nq
from nbqueue.store import keys


@pytest.fixture(scope="module")
def worker(servers, wires):
    return servers.worker(wires.broker, wires.key, "-c", "2", backend=wires.backend)


@pytest.fixture
def client(wires):
    with nq.connect(wires.broker, backend=wires.backend, key=wires.key) as made:
        yield made


def note(folder, name):
    """Write down that something has run: one file a time."""
    (Path(folder) / f"{name}-{time.time_ns()}").touch()


@nq.task(bind=True, max_retries=None)
def waits(self, folder, x, countdown=1.0, times=1):
    note(folder, f"{x}-{self.request.retries}")
    if self.request.retries < times:
        raise self.retry(countdown=countdown, exc=OSError("not yet"))
    return os.getpid()


@nq.task(chunksize=1)
def meets(path, x):
    """Wait until two of these run at the same time."""
    Path(f"{path}-{x}").touch()
    while not Path(f"{path}-{1 - x}").exists():
        time.sleep(0.01)
    return x


def runs(folder):
    return sorted(path.name.rpartition("-")[0] for path in Path(folder).iterdir())


@pytest.mark.usefixtures("client", "worker")
def test_a_hundred_of_ten_thousand_items_wait_and_hold_up_nobody(until):
    @nq.task(bind=True)
    def rare(self, x):
        if x % 100 == 7 and self.request.retries == 0:
            self.retry(countdown=10, exc=OSError("busy"))  # all others end meanwhile
        return self.request.retries

    job = rare.map(range(10_000))
    # All others are done while these wait.
    until(lambda: (seen := job.counts())["SUCCESS"] == 9_900 and seen["RETRY"] == 100)
    found = job.result(60)
    assert [i for i, retries in enumerate(found) if retries] == list(range(7, 10_000, 100))
    frame = job.to_frame()
    assert frame["attempts"].sum() == 10_100
    assert frame["queue_s"][frame["attempts"] == 2].min() >= 10


@pytest.mark.usefixtures("client", "worker")
def test_a_service_that_is_down_for_all_items_costs_few_messages(wires, until):
    @nq.task(autoretry_for=(OSError,), retry_kwargs={"countdown": 10})
    def down(x):
        if nq.current().retries == 0:
            raise OSError("down")
        return x

    job = down.map(range(500))
    until(lambda: job.counts()["RETRY"] == 500)
    with redis.Redis.from_url(wires.backend) as store:
        assert 0 < store.zcard(keys.LATER) < 200  # one now and then, for as long as they took
    assert job.result(40) == list(range(500))
    assert set(job.to_frame()["attempts"]) == {2}


def test_an_item_that_waits_outlives_its_worker(servers, wires, client, tmp_path, until):
    first, _ = servers.worker(
        wires.broker, wires.key, "-c", "1", "-Q", "mortal", backend=wires.backend, name="mortal"
    )
    task = waits.with_options(queue="mortal")
    job = task.starmap([(str(tmp_path), 0, 6), (str(tmp_path), 1, 6, 0)])
    until(lambda: job.counts()["RETRY"] == 1 and job.counts()["SUCCESS"] == 1)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    servers.worker(
        wires.broker, wires.key, "-c", "1", "-Q", "mortal", backend=wires.backend, name="heir"
    )
    assert len(job.result(30)) == 2
    assert runs(tmp_path) == ["0-0", "0-1", "1-0"]
    assert job.to_frame()["attempts"].tolist() == [2, 1]


@pytest.mark.usefixtures("client", "worker")
def test_an_item_whose_process_dies_after_another_was_put_off_does_not_run_that_again(
    tmp_path, until, gate
):
    @nq.task(bind=True)
    def deadly(self, folder, x):
        note(folder, f"{x}-{self.request.retries}")
        if x == 0 and self.request.retries == 0:
            self.retry(countdown=3)
        if x == 1 and len(list(Path(folder).glob("1-*"))) == 1:
            while not gate.exists():  # until what came before is recorded
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        return x

    folder = tmp_path / "runs"
    folder.mkdir()
    job = deadly.with_options(chunksize=3).starmap([(str(folder), x) for x in range(3)])
    until(lambda: (seen := job.counts())["RETRY"] or seen["SUCCESS"])
    gate.touch()
    assert job.result(40) == [0, 1, 2]
    assert runs(folder) == ["0-0", "0-1", "1-0", "1-0", "2-0"]


@pytest.mark.usefixtures("client", "worker")
def test_a_retry_whose_process_dies_is_run_again_as_the_same_retry(tmp_path):
    @nq.task(bind=True)
    def deadly(self, folder, x):
        note(folder, f"{x}-{self.request.retries}")
        if self.request.retries == 0:
            self.retry(countdown=0.2, args=(folder, 11) if x else None)
        if len(list(Path(folder).glob(f"{x}-1-*"))) == 1 and x == 11:
            os.kill(os.getpid(), signal.SIGKILL)
        return x, self.request.retries

    job = deadly.with_options(chunksize=2).map([str(tmp_path)] * 2, range(2))
    assert job.wait(40)
    assert job.result() == [(0, 1), (11, 1)]
    # (What ended just before the death was not recorded yet, and may have run again too.)
    assert set(runs(tmp_path)) == {"0-0", "0-1", "1-0", "11-1"}
    assert runs(tmp_path).count("1-0") == runs(tmp_path).count("0-0") == 1
    assert job.to_frame()["attempts"].tolist() == [2, 2]


@pytest.mark.usefixtures("client", "worker")
def test_what_is_cancelled_while_it_waits_is_revoked_and_not_run(tmp_path, until):
    job = waits.starmap([(str(tmp_path), x, 5) for x in range(3)])
    until(lambda: job.counts()["RETRY"] == 3)
    assert job[1].cancel()
    assert job.to_frame()["state"].tolist() == ["RETRY", "REVOKED", "RETRY"]
    assert job.wait(30)
    assert job.to_frame()["state"].tolist() == ["SUCCESS", "REVOKED", "SUCCESS"]
    assert runs(tmp_path) == ["0-0", "0-1", "1-0", "2-0", "2-1"]

    other = tmp_path / "other"
    other.mkdir()
    whole = waits.starmap([(str(other), x, 5) for x in range(3)])
    until(lambda: whole.counts()["RETRY"] == 3)
    assert whole.cancel() == 3
    assert whole.wait(20)
    assert whole.state == "REVOKED"
    # One that is due after it has run when the messages of the cancelled ones have come and gone.
    later = waits.submit(str(tmp_path), "later", 5.1)
    later.result(30)
    assert runs(other) == ["0-0", "1-0", "2-0"]


@pytest.mark.usefixtures("client", "worker")
def test_a_job_is_retried_after_its_items_were_retried_in_vain(tmp_path):
    @nq.task(bind=True, autoretry_for=(OSError,), max_retries=2, default_retry_delay=0.05)
    def needs(self, path, x):
        if x and not Path(path).exists():
            raise OSError(f"after {self.request.retries}")
        return self.request.retries

    path = tmp_path / "there"
    job = needs.starmap([(str(path), 0), (str(path), 1)])
    assert job.wait(30)
    assert str(job.exceptions()[1]) == "after 2"
    job.retry()
    assert job.wait(30)
    assert job.to_frame()["attempts"].tolist() == [1, 6]
    path.touch()
    assert job.retry().result(30) == [0, 0]
    assert job.to_frame()["attempts"].tolist() == [1, 7]


@pytest.mark.usefixtures("client", "worker")
def test_a_job_is_retried_with_another_task_and_its_ways(tmp_path):
    @nq.task
    def brittle(x):
        raise OSError("away")

    @nq.task(bind=True, autoretry_for=(OSError,), default_retry_delay=0.05)
    def mended(self, x):
        if self.request.retries < 2:
            raise OSError("away")
        return self.name

    job = brittle.map([1, 2])
    assert job.wait(30)
    assert job.retry(mended).result(30) == ["mended", "mended"]


@pytest.mark.usefixtures("client", "worker")
def test_a_cell_may_ask_to_be_run_again():
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    shell.run_line_magic("load_ext", "nbqueue")
    cell = (
        "from celery import current_task\n"
        "tries = current_task.request.retries\n"
        "if tries < x:\n"
        "    current_task.retry(countdown=0.1)\n"
    )
    shell.run_cell_magic("enqueue", 'asking --for "x=range(3)" --out tries', cell)
    job = shell.user_ns["asking"]
    assert job.wait(40)
    frame = job.to_frame()
    assert frame["tries"].tolist() == [0, 1, 2]
    assert frame["attempts"].tolist() == [1, 2, 3]


@pytest.mark.usefixtures("client")
def test_items_are_retried_in_a_pool_of_threads(servers, wires):
    servers.worker(
        wires.broker, wires.key, "-c", "4", "-P", "threads", "-Q", "threads",
        backend=wires.backend,
    )  # fmt: skip

    class Base:
        def on_retry(self, exc, task_id, args, kwargs, einfo):
            print("retry", args)

    @nq.task(bind=True, base=Base, queue="threads", max_retries=9)
    def shy(self, x):
        time.sleep(0.005)
        assert current_task.request.item == self.request.item == x
        if self.request.retries < x % 3:
            self.retry(countdown=0.2 if x % 2 else 0)
        return x, self.request.retries

    job = shy.map(range(60))
    assert job.result(40) == [(x, x % 3) for x in range(60)]
    assert job.outputs[4][0]["text"].startswith("retry (4,)")


@pytest.mark.usefixtures("client", "worker")
def test_retries_hold_to_the_limits_of_their_task():
    @nq.task(bind=True, rate_limit="50/s", concurrency=1, expires=60)
    def limited(self, x):
        if self.request.retries == 0:
            self.retry(countdown=0.1)
        return self.request.retries

    assert limited.map(range(10)).result(40) == [1] * 10


@pytest.mark.usefixtures("client", "worker")
def test_a_step_of_a_workflow_is_retried_with_what_it_took():
    @nq.task
    def first():
        return 20

    @nq.task(bind=True)
    def second(self, given, more):
        if self.request.retries == 0:
            self.retry(countdown=0.1)
        return given + more

    assert nq.run(nq.chain(first.s(), second.s(1))).result(40) == 21


@pytest.mark.usefixtures("client", "worker")
def test_an_item_that_would_be_retried_for_ever_can_be_cancelled(tmp_path, until):
    @nq.task(bind=True, max_retries=None)
    def endless(self, folder, x):
        if x == 1:
            note(folder, "try")
            time.sleep(0.005)
            self.retry(countdown=0)
        return x

    job = endless.starmap([(str(tmp_path), x) for x in range(50)])
    until(lambda: job.counts()["SUCCESS"] == 49)  # its neighbours are not held up
    assert job.cancel() == 1
    assert job.wait(30)
    assert job.state == "REVOKED"
    # Both processes are free again: one that went on would hold up one of these.
    gate = tmp_path / "gate"
    pair = meets.starmap([(str(gate), x) for x in range(2)])
    assert pair.result(20) == [0, 1]


@pytest.mark.usefixtures("client", "worker")
def test_coroutines_are_bound_and_retried_too():
    @nq.task(bind=True)
    async def fetch(self, x):
        import asyncio

        await asyncio.sleep(0.01)
        if self.request.retries == 0:
            raise self.retry(countdown=0.1 * x)
        return x, self.request.retries

    assert fetch.map([0, 1]).result(30) == [(0, 1), (1, 1)]


@pytest.mark.usefixtures("client", "worker")
def test_an_interrupted_attempt_may_be_retried():
    @nq.task(
        bind=True, autoretry_for=(TimeoutError, SoftTimeLimitExceeded), soft_time_limit=0.3,
        default_retry_delay=0.1,
    )  # fmt: skip
    def slow(self, x):
        if self.request.retries == 0:
            time.sleep(30)
        return self.request.retries

    assert slow.map([0, 1]).result(30) == [1, 1]


@pytest.mark.usefixtures("client", "worker")
def test_large_arguments_of_a_retry_arrive():
    @nq.task(bind=True)
    def grows(self, data):
        if len(data) < 3_000_000:
            self.retry(args=(data * 3,), countdown=0.1)
        return len(data), self.request.retries

    assert grows.submit(b"x" * 1_500_000).result(30) == (4_500_000, 1)
    assert grows.map([b"y" * 1_100_000]).result(30) == [(3_300_000, 1)]


@pytest.mark.usefixtures("client", "worker")
def test_arguments_that_cannot_travel_fail_the_item_and_say_so():
    @nq.task(bind=True)
    def wrong(self, x):
        import threading

        self.retry(args=(threading.Lock(),), countdown=0.1)

    job = wrong.map([1])
    assert job.wait(30)
    assert "lock" in str(job.exceptions()[0])


@pytest.mark.usefixtures("client", "worker")
def test_an_item_that_asks_may_raise_what_does_not_pickle():
    @nq.task(bind=True)
    def odd(self, x):
        class Odd(Exception):
            def __init__(self, a, b):
                super().__init__(f"{a} {b}")

        if self.request.retries == 0:
            self.retry(exc=Odd("very", "odd"), countdown=0.1)
        raise self.retry(exc=Odd("still", "odd"), max_retries=1)

    job = odd.map([1])
    assert job.wait(30)
    assert "still odd" in str(job.exceptions()[0])
    assert any("very odd" in line for line in job.log())


@pytest.mark.usefixtures("client", "worker")
def test_a_bound_item_can_be_run_here_to_debug_it():
    @nq.task(bind=True)
    def shy(self, x):
        if not self.request.called_directly:
            raise ValueError(x)
        return x, self.name

    job = shy.map([1, 2])
    assert job.wait(30)
    assert job.rerun(1) == (2, "shy")
