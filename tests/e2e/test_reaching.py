"""Jobs seen from elsewhere: other processes and clients, an interrupted wait, a closed client."""

import asyncio
import os
import shutil
import signal
import tempfile
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import nbqueue as nq
from nbqueue.client import connecting as clients
from nbqueue.client.bell import Ring
from nbqueue.client.follower import NOTHING_READ
from nbqueue.cluster import embedded
from tests.e2e.gates import wait_for

pytestmark = pytest.mark.usefixtures("cluster")


@nq.task
def double(x):
    return 2 * x


@pytest.fixture
def elsewhere():
    """Where a cluster would be started by mistake; it is ended if it was."""
    folder = Path(tempfile.mkdtemp(prefix="nbq.")) / "h"
    yield folder
    for made in folder.glob("*"):
        embedded.stop(made)
    shutil.rmtree(folder.parent)


def script(text):
    return textwrap.dedent(text)


@nq.task
def fails(x):
    raise ValueError(x)


# -- by name or id -------------------------------------------------------------------------------


def test_a_ring_that_comes_before_a_found_workflow_is_read_takes_nothing_from_it(monkeypatch):
    job = nq.run(fails.si(1).on_error(double.si(2)))
    assert job.wait(20)
    with clients.default_client().again() as other:
        follow, sealed = other.follower.follow, other.joblog.sealed
        entries = other.joblog.read(job.id, "-")
        expanded = next(entry for entry in entries if entry.record.kind == "expanded")

        def and_at_once(live, **how):
            follow(live, **how)
            body, signature = sealed(job.id, expanded.record)
            ring = Ring(job.id, NOTHING_READ, expanded.id, "expanded", signature, body)
            other.follower._take(ring)

        monkeypatch.setattr(other.follower, "follow", and_at_once)
        found = other.job(job.id)
        assert (found.n, found.counts()["SUCCESS"]) == (2, 1)


def test_a_job_is_found_by_id_and_by_name():
    job = double.map([1, 2], name="found")
    assert job.wait(20)
    for key in (job.id, "found"):
        again = nq.job(key)
        assert (again.id, again.name, again.n) == (job.id, "found", 2)
        assert again.result(20) == [2, 4]
        assert again.rerun(1) == 4
        assert again.to_frame()["x"].tolist() == [1, 2]


def test_a_name_means_the_latest_of_that_name():
    first = double.map([1], name="twice")
    second = double.map([2], name="twice")
    assert nq.job("twice").id == second.id
    assert nq.job(first.id).result(20) == [2]


def test_a_name_is_any_text():
    for name in ("a b/c:d", "grid {1}", "é漢字", "nbq:meta", "x" * 300, "0"):
        job = double.apply_async((1,), name=name)
        assert nq.job(name).id == job.id
        assert name in set(nq.jobs()["name"])


def test_an_unknown_name_lists_near_matches():
    assert double.map([1], name="grid-search").wait(20)
    with pytest.raises(nq.UnknownJob, match=r"'grid-serch'.*did you mean 'grid-search'"):
        nq.job("grid-serch")
    with pytest.raises(nq.UnknownJob, match=r"nq\.jobs"):
        nq.job("something else entirely")
    with pytest.raises(LookupError):
        nq.job("")


@pytest.mark.parametrize("given", [None, 0, b"grid"])
def test_what_is_neither_an_id_nor_a_name_is_refused(given):
    with pytest.raises(nq.UsageError, match=rf"id or its name, a text, not by {given!r}; nq\.jo"):
        nq.job(given)


def test_a_job_looked_up_here_while_it_runs_does_not_disturb_the_one_at_hand(gate, until):
    job = wait_for.map([str(gate)] * 2, [1, 2], name="same process")
    until(lambda: job.counts()["STARTED"] == 2)
    again, third = nq.job("same process"), nq.job(job.id)
    gate.touch()
    assert again.result(30) == [1, 2]
    assert third.result(30) == [1, 2]
    assert job.result(30) == [1, 2]


def test_jobs_are_listed_latest_first():
    first, second = double.map([1, 2, 3], name="listed"), nq.task(lambda: 1 / 0).submit()
    assert first.wait(20)
    assert second.wait(20)
    frame = nq.jobs()
    assert list(frame.columns) == [
        "name", "task", "state", "n", "done", "success", "failure", "revoked", "submitted",
        "finished",
    ]  # fmt: skip
    ids = frame.index.tolist()
    assert ids.index(second.id) < ids.index(first.id)
    row = frame.loc[first.id]
    assert (row["name"], row["state"], row["n"], row["success"]) == ("listed", "SUCCESS", 3, 3)
    assert frame.loc[second.id, "state"] == "FAILURE"
    assert str(frame["submitted"].dt.tz) == "UTC"
    assert (row["finished"] - row["submitted"]).total_seconds() < 20


def test_a_store_without_jobs_lists_none(local_cluster):
    with local_cluster(workers=1):
        frame = nq.jobs()
        assert len(frame) == 0
        assert "state" in frame
        with pytest.raises(nq.UnknownJob):
            nq.job("any")


# -- from another process ------------------------------------------------------------------------


def test_another_process_sees_a_job_while_it_runs_and_after(notebook, gate, until):
    job = wait_for.map([str(gate)] * 3, range(3), name="seen")
    until(lambda: job.counts()["STARTED"] == 2)
    watcher = notebook.start(
        script("""
        job = nq.job("seen")
        print(job.state, job.counts()["STARTED"], flush=True)
        print(job.result(30))
        """)
    )
    assert watcher.stdout.readline() == "STARTED 2\n"
    gate.touch()
    out, err = watcher.communicate(timeout=30)
    assert (out, err) == ("[0, 1, 2]\n", "")
    assert job.wait(20)
    assert notebook.run("print(nq.job('seen').result(0), len(nq.jobs()) > 0)") == "[0, 1, 2] True\n"


def test_the_job_of_a_process_that_ended_is_finished_and_found(notebook):
    out = notebook.run(
        script("""
        import time
        def slow(x):
            time.sleep(0.3)
            return x
        job = nq.task(slow).map(range(4), name="orphan")
        print(job.id)
        """)
    )
    job = nq.job("orphan")
    assert job.id == out.strip()
    assert job.result(20) == [0, 1, 2, 3]


def test_the_single_call_of_a_process_that_ended_is_found(notebook):
    out = notebook.run("print(nq.task(lambda x: -x).apply_async((5,), name='left').id)")
    assert nq.job("left").id == out.strip()
    assert nq.job("left").result(20) == -5


def test_another_process_cancels_and_retries(notebook, gate, until, tmp_path):
    job = wait_for.map([str(gate)] * 6, name="remote control")
    until(lambda: job.counts()["STARTED"] == 2)
    assert notebook.run("print(nq.job('remote control').cancel())") == "6\n"
    assert job.wait(30)
    assert job.counts()["REVOKED"] == 6
    gate.touch()
    flag = tmp_path / "flag"
    bad = nq.task(lambda path: Path(path).read_text()).map([str(flag)], name="to mend")
    assert bad.wait(20)
    flag.touch()
    assert notebook.run("print(nq.job('to mend').retry().result(20))") == "['']\n"
    assert nq.job("to mend").result(20) == [""]
    # The job at hand had ended before; it learns of its second round all the same.
    until(lambda: bad.state == "SUCCESS")


def test_a_notebooks_own_class_is_stood_in_for_elsewhere(notebook):
    notebook.run(
        script("""
        class Mine(Exception):
            pass
        class Thing:
            x = 5
        def make(i):
            if i: raise Mine("here")
            return Thing()
        print(nq.task(make).map([0, 1], name="foreign").wait(20))
        """)
    )
    job = nq.job("foreign")
    assert job[0].result(20).x == 5
    assert type(job[1].exception(5)).__name__ == "Mine"
    assert "here" in str(job[1].exception(5))


def test_a_callback_that_waits_for_another_job_is_served_or_refused(until):
    slow = nq.task(lambda: __import__("time").sleep(0.3) or "slow").submit()
    heard = []

    def wait(future):
        try:
            heard.append(slow.result(30))
        except nq.NbqueueError as exc:  # "would wait for ever here" is a good answer too
            heard.append(exc)
        except BaseException as exc:
            heard.append(exc)
            raise

    double.submit(1)[0].add_done_callback(wait)
    until(lambda: heard)
    assert heard == ["slow"] or isinstance(heard[0], nq.NbqueueError)


# -- interrupted, closed, forked -----------------------------------------------------------------


@pytest.mark.parametrize(
    "wait",
    [
        "job.result()",
        "job.wait()",
        "nq.gather(job)",
        "job[0].result()",
        "nq.wait([job])",
        "nq.wait(list(job))",
        "list(nq.as_completed([job]))",
        "list(job.as_completed())",
    ],
)
def test_an_interrupt_stops_the_waiting_and_not_the_job(notebook, gate, until, wait):
    waiter = notebook.start(
        script(f"""
        import pathlib, sys, threading, time, traceback
        def wait_for(path):
            while not pathlib.Path(path).exists():
                time.sleep(0.01)
            return "done"
        def waits(code):
            return code.co_name == "attend" or code is threading.Condition.wait.__code__
        def say_when_it_waits(main):  # an interrupt that comes before is nobody's
            def stack():
                return traceback.walk_stack(sys._current_frames()[main])
            while not (started and any(waits(frame.f_code) for frame, _ in stack())):
                time.sleep(0.01)
            print(job.id, flush=True)
        job = nq.task(wait_for).map([{str(gate)!r}], name="interrupted")
        started = False  # to start a thread is a wait, too
        threading.Thread(target=say_when_it_waits, args=[threading.get_ident()]).start()
        started = True
        try:
            {wait}
        except KeyboardInterrupt:
            print("stopped", flush=True)
        print(job.result(20))
        """)
    )
    job_id = waiter.stdout.readline().strip()
    until(lambda: nq.jobs().loc[job_id, "done"] == 0 and nq.job(job_id).counts()["STARTED"])
    waiter.send_signal(signal.SIGINT)
    assert waiter.stdout.readline() == "stopped\n"
    gate.touch()
    out, err = waiter.communicate(timeout=30)
    assert out == "['done']\n"
    assert "stopped waiting" in err
    assert "'interrupted' goes on" in err
    assert "job.cancel() ends it" in err


def test_closing_with_running_jobs_says_that_they_go_on(cluster, gate, until, capfd):
    with cluster.connect("other") as other:
        job = wait_for.submit(str(gate), 3)
        until(lambda: job.state == "STARTED")
    assert clients._default is not other
    err = capfd.readouterr().err
    assert "1 unfinished job(s) go on without this client" in err
    assert repr(job.name) in err
    assert f"nq.job({job.name!r})" in err
    other.close()
    assert capfd.readouterr().err == ""
    cluster.connect()
    gate.touch()
    assert nq.job(job.name).result(20) == 3


def test_waiting_on_a_closed_client_is_an_error_and_no_hang(cluster, gate, until):
    with cluster.connect("other"):
        job = wait_for.submit(str(gate), 3)
        until(lambda: job.state == "STARTED")
    with pytest.raises(nq.NbqueueError, match="closed"):
        job.result(10)

    async def awaited():
        return await job

    with pytest.raises(nq.NbqueueError, match="closed"):
        asyncio.run(asyncio.wait_for(awaited(), 10))


def test_whoever_waits_for_items_hears_when_the_client_is_closed(cluster, gate, until):
    with cluster.connect("other") as other, ThreadPoolExecutor() as threads:
        job = wait_for.submit(str(gate), 3)
        until(lambda: job.state == "STARTED")
        waits = [
            threads.submit(job[0].result),
            threads.submit(job[0].exception),
            threads.submit(nq.wait, [job]),
            threads.submit(next, nq.as_completed([job])),
        ]
        other.close()
        with pytest.raises(nq.UsageError, match="closed"):
            waits[0].result(10)
        assert isinstance(waits[1].result(10), nq.UsageError)
        assert waits[2].result(10).done == {job}
        assert waits[3].result(10) is job[0]
    assert not job.finished


def test_closing_is_quiet_when_nothing_runs(cluster, capfd):
    with cluster.connect("other"):
        assert double.submit(1).result(20) == 2
    assert capfd.readouterr().err == ""


def test_a_cluster_without_a_name_says_what_is_lost_with_it(local_cluster, gate, capfd, until):
    with local_cluster(workers=1):
        job = wait_for.submit(str(gate))
        until(lambda: job.state == "STARTED")
        double.map([1, 2], name="queued")
        client = clients.default_client()

        def open_when_it_is_said():  # the worker may finish what it runs, and begins what waits
            until(lambda: client.closed)
            gate.touch()

        threading.Thread(target=open_when_it_is_said).start()
    err = capfd.readouterr().err
    assert "2 unfinished job(s) are lost with this cluster" in err
    assert "'queued'" in err
    assert "go on without" not in err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_works_on_the_same_cluster(notebook, elsewhere):
    out = notebook.run(
        script("""
        import multiprocessing, os, warnings
        warnings.simplefilter("ignore")
        double = nq.task(lambda x: (2 * x, os.getppid()))
        workers = double.submit(1).result(20)[1]
        def child(queue):
            try:
                queue.put(double.submit(21).result(20))
                queue.put(double.map([1, 2]).result(20))
            except BaseException as exc:
                queue.put(repr(exc))
        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        process = context.Process(target=child, args=(queue,))
        process.start()
        found = queue.get(timeout=30)
        print(found[0], found[1] == workers)
        print([value for value, _ in queue.get(timeout=30)])
        process.join(10)
        print(process.exitcode, double.submit(3).result(20)[0])
        """),
        NBQUEUE_HOME=elsewhere,
    )
    assert out == "42 True\n[2, 4]\n0 6\n"
    assert not elsewhere.exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_job_taken_into_a_forked_process_does_not_hang_there(notebook):
    out = notebook.run(
        script("""
        import os, sys, time, warnings
        warnings.simplefilter("ignore")
        job = nq.task(lambda: time.sleep(0.5) or "late").submit()
        pid = os.fork()
        if pid == 0:
            try:
                print(job.result(10), flush=True)
            except nq.NbqueueError as exc:
                print("late" if "fork" in str(exc) else exc, flush=True)
            except BaseException as exc:
                print("child:", repr(exc), flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        print(job.result(10))
        """)
    )
    assert out == "late\nlate\n"
