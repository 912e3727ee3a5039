"""Work spreads by itself, is seen as it ends, survives its workers, and comes in any number."""

import os
import time

import pytest
import redis

import nbqueue as nq

pytestmark = pytest.mark.usefixtures("cluster")


@nq.task
def work(gate, slow, i):
    """Item ``slow`` waits for the gate; the others are quick."""
    import pathlib
    import time

    while i == slow and not pathlib.Path(gate).exists():
        time.sleep(0.005)
    return i


@nq.task
def naps(seconds):
    import time

    time.sleep(seconds)
    return seconds


@nq.task
def meet(folder, those, i):
    """Items ``those`` wait until all of them have begun; the others are quick."""
    import pathlib
    import time

    folder = pathlib.Path(folder)
    (folder / f"began-{i}").touch()
    give_up = time.monotonic() + 60
    while i in those and not all((folder / f"began-{k}").exists() for k in those):
        assert time.monotonic() < give_up
        time.sleep(0.005)
    return i


@nq.task
def fragile(victim, how, i):
    import os
    import signal

    if i == victim:
        if how == "exit":
            os._exit(1)
        os.kill(os.getpid(), signal.SIGKILL)
    return i


@pytest.fixture
def warm():
    assert naps.map([0.01] * 4).wait(20)


# -- balance -------------------------------------------------------------------------------------


@pytest.mark.parametrize("slow", [0, 7, 19])
def test_a_slow_item_holds_neither_those_before_nor_those_behind(gate, slow, until):
    job = work.starmap((str(gate), slow, i) for i in range(20))
    until(lambda: job.counts()["SUCCESS"] == 19)
    assert not job.finished
    until(job[slow].running)  # what lasts is recorded as begun
    gate.touch()
    assert job.result(20) == list(range(20))


@pytest.mark.usefixtures("warm")
def test_items_before_a_slow_one_are_seen_at_once(gate, until):
    job = work.starmap((str(gate), 5, i) for i in range(6))
    until(lambda: job.counts()["SUCCESS"] == 5)
    assert job.to_frame()["result"][4] == 4


@pytest.mark.usefixtures("warm")
def test_a_long_item_is_shown_as_started_and_by_whom(gate, until):
    job = work.submit(str(gate), 0, 0)
    until(lambda: job.state == "STARTED")
    row = job.to_frame().iloc[0]
    assert (row["state"], row["attempts"]) == ("STARTED", 0)
    assert row["worker"]
    assert row["queue_s"] < 10


@pytest.mark.usefixtures("warm")
def test_mixed_lengths_are_shared_out(tmp_path):
    # (Those that meet are run beside one another: by both workers, at the beginning and the end.)
    pairs = {0: (0, 1), 1: (0, 1), 100: (100, 101), 101: (100, 101)}
    job = meet.starmap((str(tmp_path), pairs.get(i, ()), i) for i in range(102))
    assert job.result(30) == list(range(102))
    workers = job.to_frame()["worker"].astype(str).tolist()
    assert {*workers[:2]} == {*workers[100:]} == {*workers}


@pytest.mark.usefixtures("warm")
def test_a_fixed_chunk_size_is_kept_and_shared_out(tmp_path):
    chunks = meet.with_options(chunksize=3)
    job = chunks.starmap((str(tmp_path), (0, 3), i) for i in range(12))
    assert job.result(30) == list(range(12))
    frame = job.to_frame()
    assert frame["worker"].nunique() == 2
    workers = frame["worker"].astype(str).tolist()
    assert all(len(set(workers[k : k + 3])) == 1 for k in range(0, 12, 3))


def test_urgent_calls_pass_a_long_map(until):
    long = naps.map([0.05] * 2_000)  # 50 s of two workers
    until(lambda: long.counts()["SUCCESS"] > 0)
    assert naps.submit(0).result(20) == 0
    assert not long.finished
    long.cancel()


# -- loss ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_an_item_that_kills_its_worker_fails_alone(how):
    job = fragile.starmap((100, how, i) for i in range(200))
    assert job.wait(40)
    assert job.counts()["SUCCESS"] == 199
    assert list(job.exceptions()) == [100]
    assert isinstance(job.exceptions()[100], nq.WorkerLost)
    assert "died" in str(job.exceptions()[100])
    assert job.result(0, errors="drop") == [i for i in range(200) if i != 100]


def test_a_single_call_that_kills_its_worker_is_an_error():
    with pytest.raises(nq.WorkerLost):
        fragile.submit(0, "exit", 0).result(40)
    assert fragile.submit(1, "exit", 0).result(20) == 0


def test_a_worker_killed_once_from_outside_costs_nothing(tmp_path, until):
    @nq.task
    def once(folder, i):
        import os
        import pathlib
        import signal

        path = pathlib.Path(folder) / "killed"
        if i == 3 and not path.exists():
            path.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return i

    job = once.starmap((str(tmp_path), i) for i in range(50))
    assert job.result(40) == list(range(50))


def test_a_run_that_died_is_counted_if_it_was_long_enough_to_be_noted(tmp_path, until):
    @nq.task
    def once(path):
        import os
        import pathlib
        import signal
        import time

        if not pathlib.Path(path).exists():
            while not pathlib.Path(path).exists():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        return "again"

    job = once.submit(str(tmp_path / "die"))
    until(lambda: job.state == "STARTED")
    (tmp_path / "die").touch()
    assert job.result(40) == "again"
    assert job.to_frame()["attempts"].tolist() == [2]


def test_what_a_dead_worker_leaves_is_shared_out_again(tmp_path):
    """After a death the rest of the range must not be one worker's alone."""

    @nq.task
    def once(folder, i):
        import os
        import pathlib
        import signal
        import time

        path = pathlib.Path(folder) / "killed"
        if i == 0:
            time.sleep(0.01)
            if not path.exists():
                path.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return os.getpid()
        (path.parent / f"runs-{os.getpid()}").touch()
        give_up = time.monotonic() + 60
        while len(list(path.parent.glob("runs-*"))) < 2:  # a process is slow to be replaced
            assert time.monotonic() < give_up
            time.sleep(0.01)
        return os.getpid()

    job = once.starmap((str(tmp_path), i) for i in range(40))
    assert len(set(job.result(40))) >= 2


def test_garbage_in_the_queue_costs_seconds_and_no_job(cluster):
    with redis.Redis.from_url(cluster._address.store_url) as store:
        for garbage in (b"not json", b"{}"):
            store.lpush("celery", garbage)
            assert naps.submit(0).result(25) == 0
            assert naps.map([0] * 10).result(25) == [0] * 10


# -- numbers -------------------------------------------------------------------------------------


def test_a_hundred_thousand_items_are_all_recorded():
    job = nq.task(lambda x: x + 1).map(range(100_000))
    assert job.wait(60)
    assert job.counts()["SUCCESS"] == 100_000
    frame = job.to_frame()
    assert frame["result"].tolist() == list(range(1, 100_001))
    assert (frame["attempts"] == 1).all()
    assert job[99_999].result() == 100_000


def test_a_thousand_calls_in_flight_at_once():
    double = nq.task(lambda x: 2 * x)
    jobs = [double.submit(i) for i in range(1_000)]
    assert nq.gather(*jobs, timeout=60) == [2 * i for i in range(1_000)]
    assert {job.state for job in jobs} == {"SUCCESS"}


def test_a_hundred_jobs_at_once_from_threads():
    from concurrent.futures import ThreadPoolExecutor

    add = nq.task(lambda a, b: a + b)
    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda k: add.map(range(20), [k] * 20), range(100)))
    assert [job.result(30)[1] for job in jobs] == [k + 1 for k in range(100)]


def test_ten_thousand_failures_are_as_quick_to_look_at():
    def f(x):
        raise ValueError(x)

    job = nq.task(f).map(range(10_000))
    assert job.wait(60)
    began = time.process_time()  # whatever else the machine does meanwhile
    assert len(job.to_frame()) == 10_000
    assert len(job.exceptions()) == 10_000
    assert time.process_time() - began < 5.0


def test_threads_instead_of_processes(local_cluster, tmp_path):
    with local_cluster(threads=4):
        job = nq.task(lambda i: (os.getpid(), i)).map(range(100))
        found = job.result(20)
        assert [i for _, i in found] == list(range(100))
        assert len({pid for pid, _ in found}) == 1
        job = meet.starmap((str(tmp_path), range(4), i) for i in range(4))
        assert job.result(30) == list(range(4))
