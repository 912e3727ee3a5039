"""`Job` and `Future` while a job runs and after: waiting, looking, the frame, waits of others."""

import asyncio
import concurrent.futures
import os
import threading
import time
from collections import namedtuple
from dataclasses import dataclass

import pandas as pd
import pytest
from redis.connection import Connection

import nbqueue as nq
from tests.e2e.gates import wait_for

pytestmark = pytest.mark.usefixtures("cluster")


@nq.task
def double(x):
    return 2 * x


@nq.task
def inverse(x):
    return 1 / x


@dataclass
class Fit:
    auc: float
    n: int


Point = namedtuple("Point", "x y")


# -- a job ---------------------------------------------------------------------------------------


def test_a_job_has_length_items_and_slices():
    job = double.map(range(5), name="five")
    assert (len(job), job.n, job.name, job.task) == (5, 5, "five", "double")
    assert len(job.id) == 16
    assert [f.result(20) for f in job] == [0, 2, 4, 6, 8]
    assert job[1].result() == job[-4].result() == 2
    assert [f.result() for f in job[1:4:2]] == [2, 6]
    assert [f.result() for f in job[-2:]] == [6, 8]
    assert job[10:] == []
    assert job[2] is job[2]
    for i in (5, -6):
        with pytest.raises(IndexError, match="5 items"):
            job[i]


def test_waiting_is_bounded_and_says_whether_it_is_over(gate):
    job = wait_for.submit(str(gate))
    began = time.monotonic()
    assert job.wait(0.2) is False
    assert job.wait(0) is False
    assert 0.2 <= time.monotonic() - began < 20  # and not until the gate opens
    with pytest.raises(concurrent.futures.TimeoutError, match=r"0 of 1 items ended within 0\.1 s"):
        job.result(0.1)
    with pytest.raises(concurrent.futures.TimeoutError):
        job[0].result(0.1)
    assert not job.finished
    gate.touch()
    assert job.wait(20) is True
    assert job.wait(0) is True


def test_a_state_goes_from_pending_to_started_to_its_end(gate, until):
    job = wait_for.map([str(gate)] * 3)
    assert job.state in ("PENDING", "STARTED")
    until(lambda: job.counts()["STARTED"] == 2)
    assert job.state == "STARTED"
    gate.touch()
    assert job.wait(20)
    assert job.state == "SUCCESS"


def test_looking_never_asks_the_network(gate, cluster, monkeypatch):
    job = wait_for.submit(str(gate))
    asked = []
    send = Connection.send_packed_command

    def listened(self, *args, **kwargs):
        asked.append(threading.current_thread())
        return send(self, *args, **kwargs)

    monkeypatch.setattr(Connection, "send_packed_command", listened)
    for _ in range(100):
        repr(job), repr(job[0]), job.state, job.counts(), len(job)
    assert threading.current_thread() not in asked
    assert ", 1 item (" in repr(job)
    assert job.name in repr(job)


def test_items_come_in_the_order_in_which_they_end(gate):
    job = nq.task(lambda path, x: wait_for(path, x) if x == 0 else x).starmap(
        (str(gate), x) for x in range(6)
    )
    order = []
    for future in job.as_completed(timeout=20):
        order.append(future.index)
        if len(order) == 5:
            gate.touch()
    assert order[-1] == 0
    assert sorted(order) == list(range(6))


def test_as_completed_has_a_limit(gate):
    job = wait_for.submit(str(gate))
    with pytest.raises(concurrent.futures.TimeoutError):
        list(job.as_completed(timeout=0.1))


def test_a_job_can_be_awaited():
    async def main():
        one, many = await asyncio.gather(double.submit(1), double.map([2, 3]))
        wrapped = await asyncio.wrap_future(double.submit(4)[0])
        with pytest.raises(ZeroDivisionError):
            await inverse.submit(0)
        with pytest.raises(ZeroDivisionError):
            await asyncio.wrap_future(inverse.submit(0)[0])
        return one, many, wrapped

    assert asyncio.run(asyncio.wait_for(main(), 20)) == (2, [4, 6], 8)


def test_awaiting_leaves_the_loop_free_and_can_be_cancelled(gate):
    async def main():
        job = wait_for.submit(str(gate), 7)
        task = asyncio.ensure_future(job._await())
        ticks = 0
        while ticks < 10:
            await asyncio.sleep(0.01)
            ticks += 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.touch()
        return await job

    assert asyncio.run(asyncio.wait_for(main(), 20)) == 7


def test_the_futures_of_a_job_come_to_a_coroutine_as_they_end(tmp_path):
    async def gathered():
        job = wait_for.map([str(tmp_path / "gate"), str(tmp_path)], [0, 1])
        found = []
        async for future in job:
            assert future.done()
            found.append(future.index)
            (tmp_path / "gate").touch()
        return found

    assert asyncio.run(gathered()) == [1, 0]


def test_the_standard_librarys_waits_take_futures():
    job = double.map(range(20))
    done, not_done = concurrent.futures.wait(list(job), timeout=20)
    assert (len(done), len(not_done)) == (20, 0)
    seen = {f.index: f.result() for f in concurrent.futures.as_completed(list(job), timeout=20)}
    assert seen == {i: 2 * i for i in range(20)}
    mixed = inverse.map([1, 0, 2])
    assert mixed.wait(20)
    done, _ = concurrent.futures.wait(list(mixed), return_when="FIRST_EXCEPTION")
    assert {f.index for f in done} == {0, 1, 2}


def test_callbacks_are_called_once_and_their_errors_do_no_harm(caplog):
    job = double.map(range(3))
    heard = []
    everything = threading.Event()

    def hear(future):
        heard.append(future.index)
        if len(heard) >= 3:
            everything.set()

    for future in job:
        future.add_done_callback(lambda f: 1 / 0)
        future.add_done_callback(hear)
    assert everything.wait(20)
    assert job.result(20) == [0, 2, 4]
    late = []
    job[0].add_done_callback(lambda f: late.append(f.result()))
    assert late == [0]
    assert sorted(heard) == [0, 1, 2]
    caplog.clear()


def test_a_callback_may_submit_and_wait_for_nothing():
    chained = []
    ready = threading.Event()

    def then(future):
        chained.append(double.submit(future.result()))
        ready.set()

    double.submit(1)[0].add_done_callback(then)
    assert ready.wait(20)
    assert chained[0].result(20) == 4


def test_a_callback_may_retry_the_job(tmp_path):
    flag = tmp_path / "flag"

    @nq.task
    def f(path):
        import pathlib

        if not pathlib.Path(path).exists():
            raise ValueError("not yet")
        return "now"

    job = f.map([str(flag)])
    retried = threading.Event()

    def again(future):
        flag.touch()
        job.retry()
        retried.set()

    job[0].add_done_callback(again)
    assert retried.wait(20)
    assert job.wait(20)
    assert job.result(20) == ["now"]


def test_a_future_tells_its_item(gate, until):
    job = wait_for.map([str(gate)] * 2)
    until(lambda: job.counts()["STARTED"] == 2)
    assert job[0].running()
    assert not job[0].done()
    assert not job[0].cancel()
    gate.touch()
    assert job[0].result(20) == 0
    assert job[0].done()
    assert not job[0].running()
    assert job[0].exception() is None
    assert repr(job[0]) == f"<Future 0 of job {job.name!r}: SUCCESS>"


def test_results_are_available_while_others_still_run(gate):
    job = nq.task(lambda path, x: wait_for(path, x) if x == 2 else x).starmap(
        (str(gate), x) for x in range(5)
    )
    for i in (0, 1, 3, 4):
        assert job[i].result(20) == i
    assert not job.finished
    frame = job.to_frame()
    assert frame["state"].tolist()[0] == "SUCCESS"
    assert frame["state"][2] in ("PENDING", "STARTED")
    assert pd.isna(frame["result"][2])
    gate.touch()
    assert job.result(20) == [0, 1, 2, 3, 4]


# -- looking -------------------------------------------------------------------------------------


def test_counts_timings_and_log():
    def f(x):
        import time

        time.sleep(0.02)
        return 1 / x

    job = nq.task(f).map([1, 0, 2])
    assert job.wait(20)
    counts = job.counts()
    assert (counts["SUCCESS"], counts["FAILURE"], sum(counts.values())) == (2, 1, 3)
    timings = job.timings()
    assert timings["run_s"] >= 0.06
    assert 0.02 <= timings["run_s_median"] <= timings["run_s_max"] <= timings["elapsed_s"]
    assert timings["queue_s_max"] >= 0
    assert timings["items_per_s"] > 0
    log = job.log()
    assert any("ZeroDivisionError" in line for line in log)
    assert all(line[:2] == "20" for line in log)
    assert any("ZeroDivisionError" in line for line in job.log(1))
    with pytest.raises(IndexError):
        job.log(3)


def test_timings_of_what_has_not_begun_are_nan(gate, until):
    blockers = wait_for.map([str(gate)] * 2)
    until(lambda: blockers.counts()["STARTED"] == 2)
    job = double.submit(1)
    timings = job.timings()
    assert timings["run_s"] == 0
    assert pd.isna(timings["run_s_median"])
    assert timings["elapsed_s"] >= 0
    gate.touch()
    nq.gather(blockers, job, timeout=20)


def test_the_frame_has_a_row_an_item_and_proper_types():
    def f(x, word="w"):
        return x * 1.5

    job = nq.task(f).map([3, 1, 2])
    assert job.wait(20)
    frame = job.to_frame()
    assert list(frame.columns) == [
        "x", "word", "state", "result", "error", "started", "queue_s", "run_s", "worker",
        "attempts", "memory_mb",
    ]  # fmt: skip
    assert frame.index.name == "item"
    assert frame["x"].tolist() == [3, 1, 2]
    assert frame["x"].dtype == "int64"
    assert frame["word"].tolist() == ["w", "w", "w"]
    assert frame["result"].dtype == "float64"
    assert frame["result"].tolist() == [4.5, 1.5, 3.0]
    assert isinstance(frame["state"].dtype, pd.CategoricalDtype)
    assert isinstance(frame["worker"].dtype, pd.CategoricalDtype)
    assert str(frame["started"].dt.tz) == "UTC"
    assert (frame["queue_s"] >= 0).all()
    assert (frame["run_s"] >= 0).all()
    assert frame["attempts"].tolist() == [1, 1, 1]
    assert (frame["memory_mb"] > 1).all()
    now = pd.Timestamp.now("UTC")
    assert (abs(frame["started"] - now) < pd.Timedelta(minutes=1)).all()


@pytest.mark.parametrize(
    "make", [lambda x: {"auc": x / 2, "n": x}, lambda x: Fit(x / 2, x)], ids=["dict", "dataclass"]
)
def test_fields_of_results_become_columns(make):
    job = nq.task(lambda x: make(x)).map([1, 2])
    assert job.wait(60)  # a worker imports this module, and pandas with it
    frame = job.to_frame()
    assert frame["auc"].tolist() == [0.5, 1.0]
    assert frame["n"].tolist() == [1, 2]
    assert "result" not in frame
    assert "result" in job.to_frame(expand=False)


def test_named_tuples_expand_and_names_that_clash_are_kept_apart():
    job = nq.task(lambda x: Point(x, -x)).map([1, 2])
    assert job.wait(20)
    frame = job.to_frame()
    assert frame[["x", "x_result", "y"]].to_numpy().tolist() == [[1, 1, -1], [2, 2, -2]]
    clash = nq.task(lambda state, worker: {"error": state}).map([1], [2])
    assert clash.wait(20)
    assert {"state_arg", "worker_arg", "error_result"} <= set(clash.to_frame().columns)


def test_failed_items_leave_gaps():
    def f(x):
        return {"n": 10 // x}

    job = nq.task(f).map([1, 0, 5])
    assert job.wait(20)
    frame = job.to_frame()
    assert frame["n"].isna().tolist() == [False, True, False]
    assert frame["n"].dropna().tolist() == [10, 2]


def test_keywords_and_variable_arguments_are_columns_too():
    def f(a, *rest, b=2, **more):
        return a

    frame = nq.task(f).submit(1, 7, 8, c=3)
    assert frame.wait(20)
    row = frame.to_frame().iloc[0]
    assert (row["a"], row["rest"], row["b"]) == (1, (7, 8), 2)
    assert row["more"] == {"c": 3}


def test_an_item_is_run_again_here_to_debug_it(tmp_path):
    job = inverse.map([1, 0])
    assert job.wait(20)
    assert job.rerun(0) == 1.0
    with pytest.raises(ZeroDivisionError) as caught:
        job.rerun(-1)
    assert caught.value.__cause__ is None
    assert caught.traceback[-1].name == "inverse"
    assert job.counts()["FAILURE"] == 1
    with pytest.raises(IndexError):
        job.rerun(2)


def test_before_an_item_that_ended_its_process_is_run_here_a_line_says_so(capsys):
    here = os.getpid()

    @nq.task(name="deadly")
    def deadly(x):
        if x and os.getpid() != here:
            os._exit(3)
        return "alive"

    job = deadly.map([0, 1])
    assert job.wait(60)
    assert job.rerun(0) == "alive"
    assert "may end" not in capsys.readouterr().err
    assert job.rerun(1) == "alive"
    assert "item 1 ended the process that ran it, and may end or" in capsys.readouterr().err


def test_what_is_no_number_of_an_item_is_refused_with_the_value():
    job = double.map([1, 2])
    for ask in (lambda: job["a"], lambda: job.rerun("a"), lambda: job.why("a")):
        with pytest.raises(TypeError, match="items go by their number, from 0, not by 'a'"):
            ask()
    assert job[pd.Series([1])[0]].result(20) == 4


def test_what_is_no_timeout_is_refused_whether_or_not_there_is_to_wait():
    job = double.map([1, 2])
    for _ in range(2):
        for ask in (
            job.wait,
            job.result,
            job[0].result,
            job[0].exception,
            lambda timeout: list(job.as_completed(timeout)),
            lambda timeout: nq.gather(job, timeout=timeout),
        ):
            with pytest.raises(nq.UsageError, match=r"timeout must be a number .* not 'a'"):
                ask("a")
        assert job.wait(20)


# -- many jobs -----------------------------------------------------------------------------------


def test_gather_gives_results_in_the_order_given():
    jobs = [double.map([1, 2]), double.submit(5), double.map([3])[0]]
    assert nq.gather(*jobs, timeout=20) == [[2, 4], 10, 6]
    assert nq.gather() == []
    with pytest.raises(ZeroDivisionError):
        nq.gather(double.submit(1), inverse.submit(0), timeout=20)
    assert nq.gather(inverse.map([0, 1]), errors="drop", timeout=20) == [[1.0]]


def test_gather_returns_errors_of_futures_too():
    found = nq.gather(inverse.map([0])[0], errors="return", timeout=20)
    assert isinstance(found[0], ZeroDivisionError)


def test_wait_for_many_jobs(gate):
    slow, quick = wait_for.submit(str(gate)), double.submit(1)
    done, not_done = nq.wait([slow, quick], timeout=20, return_when="FIRST_COMPLETED")
    assert (done, not_done) == ({quick}, {slow})
    done, not_done = nq.wait([slow, quick[0]], timeout=0.1)
    assert (done, not_done) == ({quick[0]}, {slow})
    gate.touch()
    assert nq.wait([slow, quick], timeout=20).not_done == set()
    bad = inverse.submit(0)
    assert bad in nq.wait([bad, slow], timeout=20, return_when="FIRST_EXCEPTION").done


def test_as_completed_over_many_jobs(gate):
    slow, quick = wait_for.submit(str(gate), "slow"), double.map([1, 2])
    seen = []
    for future in nq.as_completed([slow, quick], timeout=20):
        seen.append(future.result())
        if len(seen) == 2:
            gate.touch()
    assert sorted(seen[:2]) == [2, 4]
    assert seen[2] == "slow"
    assert list(nq.as_completed([])) == []


# -- misuse that is told at once -----------------------------------------------------------------


def test_gather_takes_one_list_as_well_as_many_arguments(cluster):
    jobs = [nq.task(abs).submit(-1), nq.task(abs).submit(-2)]
    assert nq.gather(jobs) == nq.gather(*jobs) == [1, 2]
    with pytest.raises(nq.UsageError, match="jobs and futures, not 3"):
        nq.gather(3)


def test_map_over_something_that_is_no_iterable_says_what_to_do(cluster):
    with pytest.raises(TypeError, match=r"abs\.map\(\) takes iterables, not 5 .*submit.*nothing"):
        nq.task(abs).map(5)
    with pytest.raises(TypeError, match=r"starmap\(\) takes iterables, not 5"):
        nq.task(abs).starmap(5)


def test_retrying_with_a_task_of_other_parameters_names_it_and_the_item(cluster):
    job = nq.task(lambda x: 1 / 0).map([1, 2])
    job.wait(20)

    def other(a, b):
        return a

    with pytest.raises(TypeError, match=r"other\(a, b\) does not take the arguments of item 0"):
        job.retry(nq.task(other))
    assert job.state == "FAILURE"
