"""What CPython documents of executors and its own tests ask of them, beyond a call and its result.

The cases are those of CPython's ``test_concurrent_futures``, asked again of `nq.Executor`.
"""

import asyncio
import concurrent.futures
import gc
import itertools
import os
import pickle
import time
import weakref
from concurrent.futures import Future
from pathlib import Path

import pytest

import nbqueue as nq

pytestmark = pytest.mark.usefixtures("cluster")


@pytest.fixture
def executor():
    with nq.Executor() as made:
        yield made


def wait_for(gate):
    while not Path(gate).exists():
        time.sleep(0.01)
    return gate


def done_with(outcome):
    """A future of nobody's executor that has ended."""
    future = Future()
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
    return future


# -- wait and as_completed ---------------------------------------------------------------------


def test_wait_takes_the_same_future_twice_and_others_beside(executor):
    future, other = executor.submit(str, 1), done_with(2)
    done, not_done = concurrent.futures.wait([future, future, other], 30)
    assert (done, not_done) == ({future, other}, set())


def test_wait_returns_at_the_first_exception_and_not_at_a_cancelled_one(executor, gate):
    cancelled = Future()
    cancelled.cancel()
    slow, failed = executor.submit(wait_for, str(gate)), executor.submit(divmod, 2, 0)
    found = concurrent.futures.wait(
        [cancelled, slow, failed], 30, concurrent.futures.FIRST_EXCEPTION
    )
    assert found.done == {failed}
    assert found.not_done == {slow, cancelled}
    gate.touch()


def test_wait_and_as_completed_stop_when_their_time_is_over(executor, gate):
    slow, quick = executor.submit(wait_for, str(gate)), executor.submit(str, 1)
    assert quick.result(30) == "1"
    assert concurrent.futures.wait([slow, quick], timeout=0).not_done == {slow}
    found = concurrent.futures.as_completed([slow, quick], timeout=0)
    assert next(found) is quick
    with pytest.raises(concurrent.futures.TimeoutError, match=r"1 \(of 2\) futures unfinished"):
        next(found)
    with pytest.raises(concurrent.futures.TimeoutError):
        slow.result(timeout=0.05)
    with pytest.raises(concurrent.futures.TimeoutError):
        slow.exception(timeout=0.05)
    gate.touch()


def test_as_completed_gives_each_future_once(executor):
    future = executor.submit(str, 1)
    assert list(concurrent.futures.as_completed([future, future], 30)) == [future]


# -- futures -----------------------------------------------------------------------------------


def test_callbacks_run_in_order_and_one_that_raises_stops_no_other(executor, gate, until, caplog):
    called = []
    future = executor.submit(wait_for, str(gate))
    future.add_done_callback(lambda _: 1 / 0)
    future.add_done_callback(lambda f: called.append(f.result()))
    gate.touch()
    until(lambda: called == [str(gate)])
    future.add_done_callback(lambda _: called.append("late"))  # at once: it is done
    assert called == [str(gate), "late"]
    assert "exception calling callback" in caplog.text


def test_a_cancelled_future_says_so_everywhere(executor, gate, until):
    running = [executor.submit(wait_for, str(gate)) for _ in range(2)]
    until(lambda: all(future.running() for future in running))
    waiting = executor.submit(str, 1)
    called = []
    waiting.add_done_callback(lambda f: called.append(f.cancelled()))
    assert waiting.cancel()
    assert waiting.cancel()
    assert (waiting.cancelled(), waiting.done(), waiting.running()) == (True, True, False)
    assert called == [True]
    for ask in (waiting.result, waiting.exception):
        with pytest.raises(concurrent.futures.CancelledError):
            ask(30)
    gate.touch()
    assert not any(future.cancel() for future in running)


def test_a_wrapped_future_that_is_cancelled_cancels_the_call(executor, gate, until):
    running = [executor.submit(wait_for, str(gate)) for _ in range(2)]
    until(lambda: all(future.running() for future in running))
    waiting = executor.submit(str, 1)

    async def stop():
        wrapped = asyncio.wrap_future(waiting)
        wrapped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wrapped

    asyncio.run(stop())
    until(waiting.cancelled)
    gate.touch()


def test_what_a_call_raised_comes_with_the_chain_that_led_to_it(executor):
    def lead():
        try:
            {}["first"]
        except KeyError as exc:
            raise ValueError("second") from exc

    raised = executor.submit(lead).exception(30)
    assert type(raised) is ValueError
    assert raised.args == ("second",)
    told = str(raised.__cause__)
    assert isinstance(raised.__cause__, nq.RemoteTraceback)
    assert told.index("KeyError: 'first'") < told.index("direct cause") < told.index("second")
    assert 'raise ValueError("second") from exc' in told


def test_submit_gives_on_whatever_names_a_call_has(executor):
    def given(*args, **kwargs):
        return args, kwargs

    assert executor.submit(given, 1, self=2, fn=3).result(30) == ((1,), {"self": 2, "fn": 3})
    with pytest.raises(TypeError):
        executor.submit(fn=given, arg=1)
    with pytest.raises(TypeError):
        executor.submit()


# -- what cannot travel, and what breaks ---------------------------------------------------------


class Unpicklable:
    def __reduce__(self):
        raise pickle.PicklingError("not me")


class Deadly:
    """Ends whatever process loads it."""

    def __reduce__(self):
        return os._exit, (3,)


def test_what_cannot_be_pickled_is_a_pickling_error_either_way(executor):
    with pytest.raises(pickle.PicklingError, match="not me"):
        executor.submit(id, Unpicklable()).result(30)
    with pytest.raises(pickle.PicklingError, match="not me"):
        executor.submit(Unpicklable).result(30)
    with pytest.raises(pickle.PicklingError, match="not me"):
        executor.map(id, [Unpicklable()])
    assert executor.submit(str, 1).result(30) == "1"


def test_an_argument_that_kills_whoever_loads_it_breaks_its_call_alone(executor):
    dead = executor.submit(id, Deadly())
    with pytest.raises(concurrent.futures.BrokenExecutor):
        dead.result(60)
    assert executor.submit(str, 1).result(30) == "1"


def test_an_executor_whose_initializer_failed_takes_no_more(until):
    def fail():
        raise KeyError("no")

    with nq.Executor(initializer=fail) as executor:
        results = executor.map(str, range(3))
        with pytest.raises(concurrent.futures.BrokenExecutor, match="initializer failed"):
            next(results)
        until(lambda: executor._broken)
        for send in (executor.submit, executor.map):
            with pytest.raises(concurrent.futures.BrokenExecutor, match="KeyError"):
                send(str, "a")


def test_the_executor_keeps_nothing_that_a_call_was_made_of(executor, until):
    class Owner:
        def method(self):
            return 1

    owner = Owner()
    gone = weakref.ref(owner)
    assert executor.submit(owner.method).result(30) == 1
    del owner
    until(lambda: gc.collect() >= 0 and gone() is None)
    for i in range(100):
        executor.submit(lambda i=i: i)
    assert len(executor._tasks) <= 64


def test_map_keeps_no_result_that_was_taken(executor):
    class Result:
        pass

    for found in executor.map(lambda _: Result(), range(3)):
        gone = weakref.ref(found)
        del found
        gc.collect()
        assert gone() is None


# -- map ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunksize", [1, 6, 40, 50])
def test_map_in_chunks_gives_what_map_gives(executor, chunksize):
    found = executor.map(pow, range(40), range(40), chunksize=chunksize)
    assert list(found) == list(map(pow, range(40), range(40)))


def test_map_sends_all_without_being_asked_for_a_result(tmp_path):
    with nq.Executor() as executor:
        executor.map(lambda i: (tmp_path / str(i)).touch(), range(5))
    assert len(list(tmp_path.iterdir())) == 5


def test_map_that_was_late_cancels_the_call_that_was_waited_for_too(gate, until):
    with nq.Executor() as executor:
        running = [executor.submit(wait_for, str(gate)) for _ in range(2)]
        until(lambda: all(future.running() for future in running))
        before = set(nq.jobs().index)
        results = executor.map(str, range(2), timeout=0)
        with pytest.raises(concurrent.futures.TimeoutError):
            next(results)
        (job,) = map(nq.job, set(nq.jobs().index) - before)
        assert job.wait(30)
        assert job.counts()["REVOKED"] == 2
        gate.touch()


def test_map_with_a_buffer_sends_no_more_than_is_taken(executor):
    taken = itertools.count()
    results = executor.map(str, taken, buffersize=3)
    assert next(taken) == 3
    assert [next(results) for _ in range(4)] == ["0", "1", "2", "4"]
    assert next(taken) < 12
    results.close()
    chunked = executor.map(str, range(7), chunksize=2, buffersize=1)
    assert list(chunked) == [str(i) for i in range(7)]
    assert list(executor.map(str, [], buffersize=2)) == []
    with pytest.raises(ValueError, match="buffersize must be at least 1, not 0"):
        executor.map(str, "a", buffersize=0)


def test_a_buffer_is_filled_no_more_after_shutdown(executor):
    results = executor.map(str, itertools.count(), buffersize=1)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        list(results)


# -- the end -----------------------------------------------------------------------------------


def test_shutdown_does_not_wait_for_what_is_no_longer_heard_of(cluster, gate):
    client = cluster.connect()
    executor = nq.Executor()
    future = executor.submit(wait_for, str(gate))
    client.close()
    executor.shutdown()
    with pytest.raises(nq.UsageError, match="client of this job is closed"):
        future.result(0)
    gate.touch()


LEAVES = """
import atexit, pathlib, sys, time
import nbqueue as nq

@atexit.register
def last():
    try:
        executor.submit(str, 1)
    except RuntimeError as exc:
        print(exc)

at_the_end = pathlib.Path("at the end").absolute()

def slow():
    while not at_the_end.exists():
        time.sleep(0.01)
    time.sleep(0.5)
    return "slept"

executor = nq.Executor()
executor.submit(slow).add_done_callback(lambda future: print(future.result()))
if "shutdown" in sys.argv:
    executor.shutdown(wait=False)
print("end")
at_the_end.touch()
"""


@pytest.mark.parametrize("words", [(), ("shutdown",)])
def test_a_script_ends_when_its_calls_have_ended_and_takes_none_then(notebook, words):
    end, slept, refused = notebook.run(LEAVES, *words).splitlines()
    assert (end, slept) == ("end", "slept")
    assert refused.startswith("cannot schedule new futures after ")


def test_a_kernel_ends_without_waiting(monkeypatch):
    from nbqueue.client import endings

    class Shell:
        kernel = object()

    monkeypatch.setattr("IPython.get_ipython", Shell)
    monkeypatch.setattr(endings, "_held", {Future()})
    monkeypatch.setattr(endings, "_over", False)
    endings._wait()  # at once
    assert endings.is_over()
