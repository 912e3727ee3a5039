"""When a task fails, in every way we could think of: the caller is told, and nobody hangs."""

import asyncio
import concurrent.futures
import json
import os
import socket
import sqlite3
import subprocess
import textwrap
import threading
import traceback
from pathlib import Path

import celery
import numpy as np
import pytest

import nbqueue as nq

pytestmark = pytest.mark.usefixtures("cluster")


class WithTwoArguments(Exception):
    def __init__(self, code, detail):
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class WithKeywordOnly(Exception):
    def __init__(self, *, code):
        super().__init__(f"code {code}")
        self.code = code


class HoldsALock(Exception):
    def __init__(self, text):
        super().__init__(text)
        self.lock = threading.Lock()


class CannotBeShown(Exception):
    def __str__(self):
        raise RuntimeError("not even this")

    __repr__ = __str__


class ChangesOnTheWay(Exception):
    def __reduce__(self):
        return dict, ()


class BreaksWhenItLeaves(Exception):
    def __reduce__(self):
        raise TypeError("Other.__init__() takes no arguments")


class BreaksOnArrival(Exception):
    def __reduce__(self):
        return int, ("no number",)


def caught(job, timeout=20):
    with pytest.raises(BaseException) as info:  # noqa: PT011 - which one is what is looked at
        job.result(timeout)
    return info.value


def raising(make):
    def f():
        raise make()

    return nq.task(f)


@nq.task
def inverse(x):
    half = x / 2
    return 1 / half


# -- one fails, the others do not ----------------------------------------------------------------


def test_a_bad_item_fails_alone():
    job = inverse.map(range(-50, 50))
    assert job.wait(20)
    assert job.counts() == {
        "PENDING": 0, "STARTED": 0, "RETRY": 0, "SUCCESS": 99, "FAILURE": 1, "REVOKED": 0,
    }  # fmt: skip
    assert job.state == "FAILURE"
    assert list(job.exceptions()) == [50]
    assert isinstance(job.exceptions()[50], ZeroDivisionError)
    assert job[49].result(20) == -2.0
    assert isinstance(job[50].exception(20), ZeroDivisionError)


def test_errors_are_raised_returned_or_dropped():
    job = inverse.map([1, 0, 2])
    with pytest.raises(ZeroDivisionError):
        job.result(20)
    first, second, third = job.result(20, errors="return")
    assert (first, third) == (2.0, 1.0)
    assert isinstance(second, ZeroDivisionError)
    assert job.result(20, errors="drop") == [2.0, 1.0]
    with pytest.raises(nq.UsageError, match="'raise', 'return' or 'drop', not 'ignore'"):
        job.result(20, errors="ignore")


def test_errors_of_a_single_call_are_raised_returned_or_dropped():
    job = inverse.submit(0)
    with pytest.raises(ZeroDivisionError):
        job.result(20)
    assert isinstance(job.result(20, errors="return"), ZeroDivisionError)
    assert job.result(20, errors="drop") is None


def test_the_first_failed_item_is_the_one_that_is_raised():
    def f(x):
        raise [KeyError, IndexError, LookupError][x](x)

    assert type(caught(nq.task(f).map([0, 1, 2]))) is KeyError


def test_the_frame_says_why():
    job = inverse.map([1, 0])
    assert job.wait(20)
    frame = job.to_frame()
    assert list(frame["state"]) == ["SUCCESS", "FAILURE"]
    assert frame["error"].isna().tolist() == [True, False]
    assert frame["error"][1] == "ZeroDivisionError: float division by zero"


def test_all_of_many_may_fail():
    def f(x):
        raise ValueError(x)

    job = nq.task(f).map(range(5_000))
    assert job.wait(30)
    assert job.counts()["FAILURE"] == 5_000
    assert [exc.args[0] for exc in job.result(0, errors="return")] == list(range(5_000))
    assert job.to_frame()["error"][4_999] == "ValueError: 4999"


# -- which exceptions arrive, and how ------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: ValueError("bad"),
        lambda: KeyError("missing"),
        lambda: OSError(2, "No such file", "name"),
        lambda: UnicodeDecodeError("utf-8", b"x", 0, 1, "reason"),
        lambda: StopIteration(3),
        lambda: MemoryError(),
        lambda: RecursionError("deep"),
        lambda: TimeoutError("slow"),
        lambda: concurrent.futures.TimeoutError("slow"),
        lambda: concurrent.futures.CancelledError("task's own"),
        lambda: subprocess.CalledProcessError(1, ["false"]),
        lambda: json.JSONDecodeError("bad", "doc", 0),
        lambda: np.linalg.LinAlgError("singular"),
        lambda: sqlite3.OperationalError("no such table"),
        lambda: socket.gaierror(-2, "unknown name"),
        lambda: Warning("w"),
    ],
    ids=lambda make: type(make()).__name__,
)
def test_exceptions_arrive_as_themselves(make):
    exc = caught(raising(make).submit())
    assert type(exc) is type(make())
    assert str(exc) == str(make())
    assert isinstance(exc.__cause__, nq.RemoteTraceback)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SystemExit(3),
        lambda: KeyboardInterrupt("stop"),
        lambda: asyncio.CancelledError("x"),
        lambda: GeneratorExit(),
    ],
    ids=lambda make: type(make()).__name__,
)
def test_what_would_end_the_callers_own_program_arrives_as_a_remote_error(make):
    exc = caught(raising(make).submit())
    assert type(exc) is nq.RemoteError
    assert type(make()).__name__ in str(exc)
    assert isinstance(exc.__cause__, nq.RemoteTraceback)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: WithTwoArguments(404, "gone"), "missing 1 required positional argument: 'detail'"),
        (lambda: WithKeywordOnly(code=5), "takes 1 positional argument but 2 were given"),
    ],
)
def test_an_exception_whose_init_takes_other_arguments_says_how_it_would_arrive(make, why):
    job = raising(make).submit()
    text = str(caught(job))
    assert f"__init__() {why}" in text
    assert "give that all arguments, or define __reduce__" in text
    assert "__reduce__" not in job.to_frame()["error"][0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: HoldsALock("held"),
        lambda: ChangesOnTheWay("text"),
        lambda: BreaksWhenItLeaves("text"),
    ],
)
def test_an_exception_that_does_not_arrive_for_another_reason_says_no_more(make):
    text = str(caught(raising(make).submit()))
    assert text.endswith("(the exception itself could not be pickled)")


def test_an_exception_with_an_init_of_its_own_arrives():
    def f():
        raise WithTwoArguments(404, "gone")

    exc = caught(nq.task(f).submit())
    text = "".join(traceback.format_exception(exc))
    assert "404: gone" in text
    assert "raise WithTwoArguments" in text
    assert isinstance(exc, (WithTwoArguments, nq.RemoteError))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: WithKeywordOnly(code=5), "WithKeywordOnly: code 5"),
        (lambda: HoldsALock("held"), "HoldsALock: held"),
        (lambda: CannotBeShown(1), "CannotBeShown"),
        (lambda: ChangesOnTheWay("text"), "ChangesOnTheWay: text"),
        (lambda: BreaksOnArrival("text"), "BreaksOnArrival: text"),
    ],
)
def test_an_exception_that_cannot_travel_is_stood_in_for(make, name):
    job = nq.task(lambda: (_ for _ in ()).throw(make())).submit()
    exc = caught(job)
    if not isinstance(exc, type(make())):
        assert isinstance(exc, nq.RemoteError)
        assert name in str(exc)
    assert isinstance(exc.__cause__, nq.RemoteTraceback)
    assert name.partition(":")[0] in job.to_frame()["error"][0]


def test_a_chain_of_exceptions_is_in_the_text():
    def f():
        try:
            {}["missing"]
        except KeyError as exc:
            raise ValueError("bad config") from exc

    exc = caught(nq.task(f).submit())
    assert "KeyError: 'missing'" in str(exc.__cause__)
    assert "The above exception was the direct cause" in str(exc.__cause__)


@pytest.mark.skipif("sys.version_info < (3, 11)", reason="groups came with 3.11")
def test_exception_groups_arrive():
    def f():
        raise ExceptionGroup("both", [ValueError(1), KeyError(2)])  # noqa: F821 - from 3.11 on

    exc = caught(nq.task(f).submit())
    assert [type(e) for e in exc.exceptions] == [ValueError, KeyError]


def test_an_endless_message_is_cut():
    exc = caught(raising(lambda: ValueError("x" * 2_000_000)).submit())
    assert isinstance(exc, ValueError)
    job = raising(lambda: ValueError("x" * 2_000_000)).submit()
    job.wait(20)
    assert len(job.to_frame()["error"][0]) < 20_000


def test_infinite_recursion_is_an_error_like_others():
    def f(x):
        return f(x + 1)

    exc = caught(nq.task(f).submit(0))
    assert isinstance(exc, RecursionError)
    assert nq.task(lambda: "alive").submit().result(20) == "alive"


@pytest.mark.parametrize("options", [{}, {"typing": False, "base": celery.Task}])
def test_the_traceback_of_a_task_that_calls_itself_is_folded(options):
    @nq.task(**options)
    def rec(n):
        try:
            return rec(n + 1)
        except RecursionError as exc:
            if n:
                raise
            raise LookupError("too deep") from exc

    text = str(caught(rec.submit(0)).__cause__)
    assert "[Previous line repeated" in text
    assert text.count("return rec(n + 1)") < 20
    assert "__call__" not in text
    assert 'raise LookupError("too deep") from exc' in text


def test_the_traceback_shows_the_tasks_lines_and_not_ours():
    exc = caught(inverse.submit(0))
    text = "".join(traceback.format_exception(exc))
    assert "half = x / 2" not in text
    assert "return 1 / half" in text
    assert "test_task_errors.py" in text
    for ours in ("executor.py", "worker/app.py", "celery/"):
        assert ours not in str(exc.__cause__)
    assert "item 0 of job 'inverse-" in text


def test_the_traceback_of_a_script_shows_the_code_that_ran(notebook):
    out = notebook.run(
        textwrap.dedent("""
        import sys, traceback
        def inner(x):
            return 1 / x  # as it was
        @nq.task
        def f(x):
            return inner(x)
        job = f.submit(0)
        job.wait(20)
        try: job.result()
        except ZeroDivisionError as exc: traceback.print_exception(exc, file=sys.stdout)
        """)
    )
    assert "return 1 / x  # as it was" in out
    assert "return inner(x)" in out


def test_the_traceback_of_an_async_task_shows_its_lines():
    async def f():
        await asyncio.sleep(0)
        raise LookupError("late")

    exc = caught(nq.task(f).submit())
    assert isinstance(exc, LookupError)
    assert 'raise LookupError("late")' in str(exc.__cause__)


def test_each_waiting_gives_a_fresh_exception():
    job = inverse.submit(0)
    first, second = caught(job), caught(job)
    assert first is not second
    assert len(traceback.extract_tb(second.__traceback__)) < 20


# -- what cannot travel --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [threading.Lock, lambda: (i for i in range(3)), lambda: Path("/dev/null").open("w")],  # noqa: SIM115
    ids=["lock", "generator", "file"],
)
def test_a_result_that_cannot_travel_says_so(make):
    job = nq.task(lambda i: make() if i == 1 else i).map(range(3))
    assert job.wait(20)
    exc = job.exceptions()[1]
    assert isinstance(exc, nq.ResultNotPicklable)
    assert "cannot be pickled" in str(exc)
    assert job.result(0, errors="drop") == [0, 2]


class RefusesToLoad:
    def __reduce__(self):
        return int, ("no number",)


def test_a_result_that_cannot_be_read_here_is_an_error_and_no_hang():
    job = nq.task(RefusesToLoad).submit()
    assert job.wait(20)
    with pytest.raises(Exception, match="no number"):
        job.result(20)

    async def wait():
        return await asyncio.wait_for(asyncio.wrap_future(job[0]), 30)

    with pytest.raises(Exception, match="no number"):
        asyncio.run(wait())


@pytest.mark.parametrize("send", [lambda f, v: f.submit(1, v), lambda f, v: f.map([1, 2], [3, v])])
def test_an_argument_that_cannot_travel_is_named_and_nothing_is_sent(send):
    def f(number, thing):
        return number

    before = len(nq.jobs())
    with pytest.raises(nq.NotPicklable, match=r"thing=.*lock.*[Nn]othing was sent"):
        send(nq.task(f), threading.Lock())
    with pytest.raises(TypeError):
        send(nq.task(f), threading.Lock())
    assert len(nq.jobs()) == before


def test_a_variable_that_cannot_travel_is_named():
    guard = threading.Lock()

    def f():
        return guard

    with pytest.raises(nq.NotPicklable, match=r"task '.*f' uses the variable 'guard'.*lock"):
        nq.task(f).submit()


@pytest.mark.parametrize(
    "held", [lambda job: job, lambda job: job[0], lambda job: [job], lambda job: {"of": job[0]}]
)
def test_a_job_or_a_future_that_is_passed_or_captured_says_what_to_pass_instead(held):
    identity = nq.task(lambda x: x)
    value = held(identity.submit(1))
    captures = nq.task(lambda: value)
    for send in (lambda: identity.submit(value), lambda: identity.map([value]), captures.submit):
        with pytest.raises(
            nq.NotPicklable, match=r"(x=|'value': ).*stays with the client"
        ) as caught:
            send()
        said = str(caught.value)
        assert "job.result()" in said
        assert "job | task.s()" in said
        assert "seed" not in said
        assert "_thread" not in said


def test_an_open_file_that_is_captured_is_named():
    with Path("/dev/null").open("w") as log, pytest.raises(nq.NotPicklable, match="'log'"):
        nq.task(lambda: log.write("x")).submit()


# -- what a worker cannot load -------------------------------------------------------------------


def test_a_package_that_the_worker_lacks_is_named(notebook, tmp_path):
    site = tmp_path / "here" / "site-packages"  # counts as installed: it goes by name
    site.mkdir(parents=True)
    (site / "onlyhere.py").write_text("class Thing:\n    pass\ndef f(x): return x\n")
    out = notebook.run(
        textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(site)!r})
        import onlyhere
        def say(job):
            assert job.wait(20)
            try: job.result(0)
            except nq.FunctionNotLoadable as exc: print(exc)
        say(nq.task(lambda x: onlyhere.f(x)).submit(1))
        say(nq.task(lambda x: onlyhere.f(x)).map(range(100)))
        say(nq.task(lambda x: x).submit(onlyhere.Thing()))
        job = nq.task(lambda x: x if x == 1 else __import__("onlyhere")).map([1, 2])
        print(job.result(20, errors="return"))
        """)
    )
    lines = out.splitlines()
    assert len(lines) == 4
    for line in lines:
        assert "onlyhere" in line
    assert "pip install onlyhere" in lines[0]
    assert lines[3].startswith("[1, ModuleNotFoundError")


def test_a_function_of_another_python_is_refused_with_the_reason(notebook):
    # A real second Python is not on every machine; what is compared is this name.
    out = notebook.run(
        textwrap.dedent("""
        from nbqueue.store.code import functions
        functions.PYTHON = "3.6"
        job = nq.task(lambda x: x).map(range(10))
        assert job.wait(20)
        print(len(job.exceptions()), type(job.exceptions()[0]).__name__, job.exceptions()[0])
        """)
    )
    assert out.startswith("10 FunctionNotLoadable '<lambda>' comes from Python 3.6")


def test_arguments_that_a_worker_cannot_read_fail_with_the_reason():
    job = nq.task(lambda x: 1).map([RefusesToLoad(), 2])
    assert job.wait(20)
    assert all(isinstance(e, nq.FunctionNotLoadable) for e in job.exceptions().values())
    assert "no number" in str(job.exceptions()[0])


def test_arguments_that_need_what_was_installed_after_the_worker_started_say_so(
    local_cluster, tmp_path, monkeypatch
):
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
    with local_cluster(workers=1) as made:
        made.connect()
        assert inverse.submit(2).result(60) == 1  # the worker has started
        (site / "pyarrow").mkdir()
        exc = caught(nq.task(lambda x: 1).submit(RefusesToLoad()))
    assert isinstance(exc, nq.FunctionNotLoadable)
    assert "no number" in str(exc)
    assert "installed where this worker runs after it started" in str(exc)


def test_a_function_whose_loading_raises_anything_fails_with_the_reason():
    class Odd:
        def __reduce__(self):
            return (lambda: (_ for _ in ()).throw(SystemExit("on load"))), ()

    odd = Odd()
    job = nq.task(lambda: odd).submit()
    assert job.wait(20)
    assert isinstance(caught(job), nq.FunctionNotLoadable)


def test_data_that_is_gone_says_so(cluster):
    array = np.arange(500_000)
    job = nq.task(lambda: array * 2).submit()
    assert job.wait(20)
    for path in (cluster.folder / "blobs").iterdir():
        path.unlink()
    # Another client: the one that sent the array may still have it at hand.
    with cluster.connect("other") as other, pytest.raises(nq.Expired, match="any more"):
        other.job(job.id).result(20)


class Evil:
    def __reduce__(self):
        return (int, ("x",))


def test_one_result_that_cannot_be_loaded_here_leaves_the_others_readable():
    job = nq.task(lambda x: Evil() if x == 1 else x, name="evil").map([0, 1, 2])
    assert job.wait(20)
    with pytest.raises(nq.ResultNotLoadable, match=r"item 1 of job .* cannot be loaded here"):
        job.result()
    returned = job.result(errors="return")
    assert (returned[0], returned[2]) == (0, 2)
    assert isinstance(returned[1], nq.ResultNotLoadable)
    assert job.result(errors="drop") == [0, 2]
    assert isinstance(job.to_frame()["result"][1], nq.ResultNotLoadable)
    assert job.to_frame()["result"][2] == 2
