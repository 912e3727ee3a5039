"""``nq.on``: what happens to jobs is told to the notebook's functions, whatever those do."""

import asyncio
import logging
import threading

import pytest

import nbqueue as nq
from nbqueue.client import listening, place

pytestmark = pytest.mark.usefixtures("cluster")


@nq.task
def odd(x):
    if x % 2 == 0:
        raise ValueError(f"{x} is even")
    return x


@nq.task
def wait_for(gate):
    import pathlib
    import time

    while not pathlib.Path(gate).exists():
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    """The end of a block waits for what has happened to be told, also on a busy machine."""
    monkeypatch.setattr(listening, "_DRAIN_S", 60.0)


def listened(*kinds, **filters):
    heard = []
    return heard, nq.on(*kinds, call=heard.append, **filters)


def test_success_and_failure_come_with_results_and_exceptions():
    heard, subscription = listened("success", "failure", task=odd)
    with subscription:
        job = odd.map(range(4), name="mixed")
        job.wait()
    found = {event.item: event for event in heard}
    assert {i: event.kind for i, event in found.items()} == {
        0: "failure", 1: "success", 2: "failure", 3: "success"
    }  # fmt: skip
    assert (found[3].result, found[3].exception) == (3, None)
    assert found[2].result is None
    assert str(found[2].exception) == "2 is even"
    assert {(event.task, event.job.name) for event in heard} == {("odd", "mixed")}


def test_the_end_of_a_job_is_told_once_and_after_its_items():
    heard, subscription = listened("success", "finished")
    with subscription:
        job = odd.map([1, 3, 5])
        job.wait()
    assert [event.kind for event in heard] == ["success"] * 3 + ["finished"]
    assert heard[-1].item is None
    assert heard[-1].result == [1, 3, 5]
    assert heard[-1].job.id == job.id


def test_a_job_without_items_is_finished_at_once():
    heard, subscription = listened("finished")
    with subscription:
        odd.map([])
    assert [event.kind for event in heard] == ["finished"]


def test_a_start_a_cancellation_and_nothing_else(tmp_path, until):
    heard, subscription = listened("started", "revoked")
    with subscription:
        job = wait_for.map([tmp_path / "never"])
        until(lambda: heard)
        job.cancel(terminate=True)
    assert [event.kind for event in heard] == ["started", "revoked"]
    assert "cancelled" in str(heard[1].exception)


def test_retries_are_told():
    @nq.task(autoretry_for=(ValueError,), max_retries=2, default_retry_delay=0.01)
    def stubborn():
        raise ValueError("no")

    heard, subscription = listened("retry", "failure")
    with subscription:
        stubborn.submit().wait()
    assert heard[-1].kind == "failure"
    assert heard[-2].kind == "retry"
    assert heard[-2].retries == 2


def test_filters_by_task_and_job():
    other = nq.task(lambda x: x, name="other")
    by_task, one = listened("success", task="other")
    by_job, two = listened("success", job="mine")
    with one, two:
        nq.gather(odd.map([1], name="mine"), other.map([2], name="yours"))
    assert [event.task for event in by_task] == ["other"]
    assert [event.job.name for event in by_job] == ["mine"]


def test_the_end_of_a_workflow_is_told_to_who_listens_to_one_of_its_tasks():
    other = nq.task(lambda x: x, name="other")
    ends, one = listened("finished", task=odd)
    strange, two = listened("finished", task="third")
    with one, two:
        job = nq.run(other.s(1) | odd.s() | other.s())
        assert job.result(20) == 1
    assert [event.job.id for event in ends] == [job.id]
    assert ends[0].result == 1
    assert strange == []


def test_an_async_function_is_run_to_its_end(caplog):
    heard = []

    @nq.on("success", "finished")
    async def later(event):
        await asyncio.sleep(0)
        heard.append(event.kind)
        if event.kind == "finished":
            raise RuntimeError("in the coroutine")

    with later, caplog.at_level(logging.ERROR, "nbqueue.client"):
        odd.submit(1).result(20)
    assert heard == ["success", "finished"]
    assert "in the coroutine" in caplog.text


@pytest.mark.parametrize("cell_id", ["a-cell", ""])
def test_a_cell_that_is_run_again_replaces_what_it_had_registered(monkeypatch, cell_id):
    heard = []

    def run(run, where=cell_id):
        monkeypatch.setattr(place, "cell", lambda: place.Cell(where, run))
        text = "@nq.on('success')\ndef _(event): heard.append(run)\nlist(map(add, '12'))\nmade = _"
        add = lambda x: nq.on("success", call=lambda event: heard.append(run + x))  # noqa: E731 - as in a cell
        scope = {"nq": nq, "heard": heard, "run": run, "add": add}
        exec(compile(text, "<cell>", "exec"), scope)
        return scope["made"]

    run("first")
    again = run("second")
    elsewhere = run("elsewhere", "another")
    with again, elsewhere:
        odd.submit(1).result(20)
    kinds = set(heard)
    listening._hub._set(())
    assert kinds == {"second", "second1", "second2", "elsewhere", "elsewhere1", "elsewhere2"}


def test_a_function_that_raises_is_logged_and_breaks_nothing(caplog):
    @nq.on("success")
    def bad(event):
        raise RuntimeError("in the callback")

    heard, good = listened("success")
    with bad, good, caplog.at_level(logging.ERROR, "nbqueue.client"):
        assert odd.map([1, 3]).result(20) == [1, 3]
    assert len(heard) == 2
    assert "in the callback" in caplog.text
    assert "bad" in caplog.text
    job = heard[0].job.name
    said = sorted(record.getMessage() for record in caplog.records)  # either may end first
    assert [f"on success of item {i} of job {job!r}" in said[i] for i in (0, 1)] == [True, True]


def test_a_function_that_raises_of_a_whole_job_is_logged_without_an_item(caplog):
    with nq.on("finished", call=lambda event: 1 / 0), caplog.at_level(logging.ERROR):
        job = odd.map([1])
        job.wait()
    assert f"raised on finished of job {job.name!r}" in caplog.text


def test_nothing_is_told_after_off_and_off_twice_is_fine():
    heard, subscription = listened("success")
    subscription.off()
    subscription.off()
    odd.submit(1).result(20)
    nq.on("success", call=lambda event: None).off()
    assert heard == []


def test_functions_run_in_a_thread_of_their_own_and_may_wait_for_jobs():
    results, threads = [], set()

    @nq.on("finished", task="odd")
    def follow_up(event):
        threads.add(threading.current_thread().name)
        results.append(nq.task(lambda x: x + 1).submit(event.result).result(20))

    with follow_up:
        odd.submit(1).result(20)
    assert results == [2]
    assert threads == {"nbqueue-listener"}
    assert follow_up.__name__ == "follow_up"


def test_a_block_that_ends_before_all_is_told_says_so(monkeypatch, caplog):
    monkeypatch.setattr(listening, "_DRAIN_S", 0.05)
    told, goes_on = threading.Event(), threading.Event()
    with nq.on("finished", call=lambda event: told.set() or goes_on.wait(60)):
        odd.submit(1).result(20)
        assert told.wait(60)
    goes_on.set()
    assert "after 0.05 s it has not been told all that has happened" in caplog.text


def test_what_had_happened_before_is_not_told(notebook):
    notebook.run(
        "import nbqueue as nq\nnq.task(lambda x: x).map(range(3), name='earlier').result()\n"
    )
    heard, subscription = listened("success", "finished")
    with subscription:
        assert nq.job("earlier").result(20) == [0, 1, 2]
    assert heard == []


def test_anothers_job_is_told_from_when_it_is_found(notebook, tmp_path, until):
    gate = tmp_path / "gate"
    notebook.run(
        "import nbqueue as nq, pathlib, sys\n"
        "def hold(gate):\n"
        "    import time, pathlib\n"
        "    while not pathlib.Path(gate).exists(): time.sleep(0.01)\n"
        "    return 7\n"
        "nq.task(hold).submit(sys.argv[1])\n",
        gate,
    )
    heard, subscription = listened("success", task="hold")
    with subscription:
        job = nq.job(nq.jobs().index[0])
        gate.touch()
        assert job.result(20) == 7
    assert [event.result for event in heard] == [7]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: nq.on(),
        lambda: nq.on("done"),
        lambda: nq.on("success", task=3),
        lambda: nq.on("success", job=3.5),
        lambda: nq.on("success", call="text"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(nq.UsageError):
        wrong()


@pytest.mark.parametrize("kinds", [(), ("success",)])
def test_who_gives_the_function_among_the_kinds_hears_where_it_goes(kinds):
    with pytest.raises(nq.UsageError, match=r"not \[<function .*call=.*@nq\.on\('success'\)"):
        nq.on(*kinds, lambda event: None)
