"""`nq.Executor` as CPython documents executors, and what takes one."""

import asyncio
import concurrent.futures
import functools
import os
import pathlib
import signal
import threading
import time

import pytest

import nbqueue as nq

pytestmark = pytest.mark.usefixtures("cluster")


@pytest.fixture
def executor():
    with nq.Executor() as made:
        yield made


def wait_for(gate):
    """Wait until a file is there."""
    while not pathlib.Path(gate).exists():
        time.sleep(0.01)
    return gate


def fail(x):
    raise KeyError(x)


def test_a_call_gives_a_future_of_its_result(executor):
    future = executor.submit(divmod, 7, 2)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result(30) == (3, 1)
    assert future.exception() is None
    assert executor.submit(lambda *, x: x, x=3).result(30) == 3


def test_what_a_call_raises_is_its_futures(executor):
    future = executor.submit(fail, 1)
    with pytest.raises(KeyError, match="1"):
        future.result(30)
    assert isinstance(future.exception(), KeyError)


def test_arguments_that_do_not_fit_are_the_futures_too(executor):
    assert isinstance(executor.submit(fail).exception(30), TypeError)
    assert isinstance(executor.submit(print, threading.Lock()).exception(30), nq.NotPicklable)


def test_map_gives_results_in_order_and_the_shortest_iterable_ends_it(executor):
    assert list(executor.map(pow, [2, 3, 4], range(2))) == [1, 3]
    assert list(executor.map(str, [])) == []
    assert list(executor.map(str)) == []
    assert list(executor.map(str.upper, "abc", chunksize=2)) == ["A", "B", "C"]
    with pytest.raises(ValueError, match="chunksize must be at least 1, not 0"):
        executor.map(str, "a", chunksize=0)


def test_map_raises_where_the_item_stands_and_cancels_the_rest(executor, gate):
    def first_fails(i):
        return wait_for(str(gate)) if i else fail(i)

    before = set(nq.jobs().index)
    results = executor.map(first_fails, range(6), chunksize=1)
    with pytest.raises(KeyError):
        next(results)
    (job,) = map(nq.job, set(nq.jobs().index) - before)
    assert job.wait(30)
    assert job.counts()["FAILURE"] == 1
    assert job.counts()["REVOKED"] == 5
    gate.touch()


@pytest.mark.parametrize(
    ("more", "cancelled"),
    [("", "what has not ended of job '{}' is cancelled"), (", buffersize=2", "what was sent")],
)
def test_who_stops_waiting_for_a_map_hears_that_it_is_cancelled(
    notebook, until, gate, more, cancelled
):
    before = set(nq.jobs().index)
    waiter = notebook.start(
        f"""
import pathlib, threading, time

def wait_for(path):
    while not pathlib.Path(path).exists():
        time.sleep(0.01)

def tell():
    while not results.gi_running:  # an interrupt before that is not one of the waiting
        time.sleep(0.01)
    print("waits", flush=True)

with nq.Executor() as executor:
    results = executor.map(wait_for, [{str(gate)!r}] * 4{more})
    threading.Thread(target=tell).start()
    list(results)
"""
    )
    assert waiter.stdout.readline() == "waits\n"
    sent = set(nq.jobs().index) - before
    until(lambda: any(nq.job(job_id).counts()["STARTED"] for job_id in sent))
    waiter.send_signal(signal.SIGINT)
    _, err = waiter.communicate(timeout=30)
    jobs = [nq.job(job_id) for job_id in sent]
    assert {job.state for job in jobs} == {"REVOKED"}
    assert f"stopped; {cancelled.format(jobs[0].name)}" in err
    assert "goes on" not in err


def test_map_stops_waiting_when_its_time_is_over(executor, gate):
    results = executor.map(wait_for, [str(gate)], timeout=0.2)
    with pytest.raises(concurrent.futures.TimeoutError):
        next(results)
    gate.touch()


def test_futures_are_waited_for_as_any(executor, gate, until):
    slow, quick = executor.submit(wait_for, str(gate)), executor.submit(str, 1)
    done, not_done = concurrent.futures.wait([slow, quick], 30, concurrent.futures.FIRST_COMPLETED)
    assert (done, not_done) == ({quick}, {slow})
    called = []
    slow.add_done_callback(called.append)
    gate.touch()
    assert [f.result() for f in concurrent.futures.as_completed([slow], 30)] == [str(gate)]
    until(lambda: called)  # after those who wait for it have been told
    assert called == [slow]


def test_asyncio_takes_executor_and_futures(executor):
    async def both():
        loop = asyncio.get_running_loop()
        return await asyncio.gather(
            loop.run_in_executor(executor, str, 1),
            asyncio.wrap_future(executor.submit(str, 2)),
        )

    assert asyncio.run(both()) == ["1", "2"]


def test_what_has_not_begun_is_cancelled_and_what_runs_is_not(gate, until):
    executor = nq.Executor()
    running = [executor.submit(wait_for, str(gate)) for _ in range(2)]
    until(lambda: all(future.running() for future in running))
    waiting = executor.submit(str, 1)
    results = executor.map(str, range(3))
    assert not running[0].cancel()
    executor.shutdown(wait=False, cancel_futures=True)
    assert waiting.cancelled()
    with pytest.raises(concurrent.futures.CancelledError):
        next(results)
    gate.touch()
    executor.shutdown()
    assert [future.result() for future in running] == [str(gate)] * 2


def test_shutdown_waits_and_nothing_is_taken_after_it():
    with nq.Executor() as executor:
        future = executor.submit(time.sleep, 0.3)
        results = executor.map(str, range(3))
    assert future.done()
    assert list(results) == ["0", "1", "2"]
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(str)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.map(str, [1])


def test_a_process_that_dies_breaks_its_call_and_no_other(executor):
    dead, fine = executor.submit(os._exit, 3), executor.submit(str, 1)
    with pytest.raises(concurrent.futures.BrokenExecutor):
        dead.result(60)
    assert fine.result(30) == "1"
    assert executor.submit(str, 2).result(30) == "2"


def test_an_initializer_runs_once_in_each_process(tmp_path):
    def begin(folder, word):
        os.environ["NBQ_WORD"] = word
        with (pathlib.Path(folder) / str(os.getpid())).open("a") as file:
            file.write("begun\n")

    def word():
        return os.environ["NBQ_WORD"]

    with nq.Executor(initializer=begin, initargs=(str(tmp_path), "hello")) as executor:
        assert [executor.submit(word).result(30) for _ in range(4)] == ["hello"] * 4
        assert set(executor.map(lambda _: word(), range(20))) == {"hello"}
    assert 1 <= len(list(tmp_path.iterdir())) <= 2
    assert {path.read_text() for path in tmp_path.iterdir()} == {"begun\n"}


def test_an_initializer_that_fails_breaks_the_calls():
    with nq.Executor(initializer=fail, initargs=("no",)) as executor:
        broken = executor.submit(str, 1).exception(30)
    assert isinstance(broken, concurrent.futures.BrokenExecutor)
    assert "KeyError('no')" in str(broken)


def test_so_many_calls_run_at_once_and_no_more(tmp_path, until):
    def alone(folder):
        mine = pathlib.Path(folder) / f"{os.getpid()}-{time.time_ns()}"
        mine.touch()
        time.sleep(0.05)
        found = len(list(pathlib.Path(folder).iterdir()))
        mine.unlink()
        return found

    with nq.Executor(max_workers=1) as executor:
        futures = [executor.submit(alone, str(tmp_path)) for _ in range(3)]
        assert [future.result(30) for future in futures] == [1, 1, 1]
        assert executor._max_workers == 1
    until(lambda: nq.Executor()._max_workers == 2)  # a worker that is slow to answer has none
    with pytest.raises(ValueError, match="max_workers must be at least 1"):
        nq.Executor(max_workers=0)


def test_options_of_tasks_are_options_of_the_executor(executor):
    with nq.Executor(time_limit=0.3) as limited:
        killed = limited.submit(time.sleep, 30).exception(30)
    assert "ran for longer than its limit of 0.3 s" in str(killed)
    with pytest.raises(TypeError, match="unknown task option 'tiem_limit'"):
        nq.Executor(tiem_limit=3)


def test_jobs_are_named_after_what_is_called_or_after_the_executor(executor):
    executor.submit(functools.partial(pow, 2), 3).result(30)
    assert nq.jobs()["task"].iloc[0] == "pow"
    with nq.Executor(name="nightly") as named:
        named.submit(pow, 2, 3).result(30)
    assert nq.jobs()["task"].iloc[0] == "nightly"
    assert repr(named) == "<nbqueue.Executor 'nightly'>"
