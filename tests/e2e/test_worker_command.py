"""`nbqueue worker` and `nbqueue multi`: Celery's options, and signals that end and restart workers.

Processes are found by their pid files, as those who run workers for a living find them.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import nbqueue as nq
from nbqueue.store import signing
from tests.e2e.gates import began, stay

KEY = signing.generate()
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def url(servers):
    return servers.redis("s3cret")


@pytest.fixture
def client(url):
    with nq.connect(url, key=KEY) as made:
        yield made


@pytest.fixture
def nbqueue(url, tmp_path):
    """Runs a command to its end, in the test's folder; gives what it said."""

    def run(*words, status=0):
        env = {**os.environ, "PYTHONPATH": str(ROOT), "NBQUEUE_KEY": KEY, "NBQUEUE_BROKER": url}
        done = subprocess.run(
            [sys.executable, "-m", "nbqueue", *words],
            cwd=tmp_path,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture
def background(tmp_path, until):
    """Pids in the test's pid files; what is still there at its end is ended."""

    def pids():
        found = {}
        for path in tmp_path.glob("*.pid"):
            with contextlib.suppress(OSError, ValueError):
                found[path.stem] = int(path.read_text())
        return found

    yield pids
    for pid in pids().values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    until(lambda: not pids())


@pytest.fixture
def started(servers, url, tmp_path):
    """Starts a worker with Celery's options on a queue of the test's own; gives process and log."""

    def start(*options, **more):
        return servers.worker(url, KEY, "-Q", tmp_path.name, *options, **more)

    return start


@pytest.fixture
def task(tmp_path, client):
    def make(fn, **options):
        return nq.task(fn, queue=tmp_path.name, **options)

    return make


def where():
    import os

    return os.getpid(), os.getppid()


# -- options --------------------------------------------------------------------------------------


def test_names_queues_logs_and_pid_files_are_celerys(started, task, tmp_path):
    files = ("-f", f"{tmp_path}/%n%I.log", "--pidfile", f"{tmp_path}/%n.pid")
    process, _ = started("-c", "1", "-n", "left@%h", *files, ready=False)

    def shout():
        import logging
        import os

        logging.getLogger("celery").warning("from a child")
        return os.getppid()

    assert task(shout).submit().result(30) == process.pid
    assert (tmp_path / "left.pid").read_text().strip() == str(process.pid)
    assert "ready." in (tmp_path / "left.log").read_text()
    assert "from a child" in (tmp_path / "left-1.log").read_text()
    process.terminate()
    assert process.wait(20) == 0
    assert not (tmp_path / "left.pid").exists()


def test_children_are_replaced_after_so_many_messages(started, task):
    started("-c", "1", "--max-tasks-per-child", "2")
    call = task(where)
    pids = [call.submit().result(20)[0] for _ in range(5)]
    assert len(set(pids)) == 3


def test_an_autoscaled_pool_grows_with_its_work(started, task, tmp_path, until):
    started("--autoscale", "3,1")
    job = task(stay).map([str(tmp_path)] * 3, range(3))
    until(lambda: len(began(tmp_path)) == 3)
    (tmp_path / "gate").touch()
    assert job.result(20) == [0, 1, 2]


def test_a_worker_can_have_beat_in_it(started, task, tmp_path):
    started("-B", "-s", f"{tmp_path}/schedule", "-c", "1")
    assert task(where).submit().result(20)


# -- in the background ----------------------------------------------------------------------------


def test_a_detached_worker_is_found_by_its_pid_file(nbqueue, background, task, tmp_path, until):
    nbqueue(
        "worker",
        "-D",
        "-c",
        "1",
        "-Q",
        tmp_path.name,
        "-n",
        "far@%h",
        "--pidfile",
        f"{tmp_path}/%n.pid",
        "-f",
        f"{tmp_path}/%n%I.log",
        "-l",
        "info",
    )
    until(lambda: background().get("far"))
    assert task(where).submit().result(60)[1] == background()["far"]
    assert "ready." in (tmp_path / "far.log").read_text()


def test_multi_starts_restarts_and_stops_workers(nbqueue, background, task, tmp_path, until):
    files = ("--pidfile=%n.pid", "--logfile=%n%I.log")
    nodes = ("left", "right", "-c", "1", "-Q", tmp_path.name, "-l", "info", *files)

    def are_ready(starts):  # told to end before, one may leave its pid file behind
        logs = [tmp_path / f"{name}.log" for name in ("left", "right")]
        return all(log.exists() and log.read_text().count("ready.") == starts for log in logs)

    said = nbqueue("multi", "start", *nodes)
    assert said.count("OK") == 2
    until(lambda: are_ready(1))
    first = background()
    assert set(first) == {"left", "right"}
    assert task(where).submit().result(20)[1] in first.values()
    nbqueue("multi", "restart", *nodes)
    until(lambda: are_ready(2))
    second = background()
    assert set(second) == {"left", "right"}
    assert not set(first.values()) & set(second.values())
    assert task(where).submit().result(20)[1] in second.values()
    nbqueue("multi", "stopwait", "left", "right", *files)
    assert not background()


def test_multi_shows_commands_and_names_and_never_the_key(nbqueue):
    files = ("--pidfile=%n.pid", "--logfile=%n.log")
    shown = nbqueue("multi", "show", "2", "-c", "3", "-c:1", "8", *files).splitlines()
    assert [re.findall(r"-c (\d+)", line) for line in shown] == [["8"], ["3"]]
    assert KEY not in "".join(shown)
    assert nbqueue("multi", "names", "2", *files).split()[0].startswith("celery1@")


# -- signals --------------------------------------------------------------------------------------


def test_term_ends_a_chunk_of_short_items_soon(started, task, tmp_path, until):
    def nap(folder, i):
        import pathlib
        import time

        (pathlib.Path(folder) / f"began-{i}").touch()
        time.sleep(0.05)
        return i

    process, _ = started("-c", "1", name="old")
    job = task(nap, chunksize=400).map([str(tmp_path)] * 400, range(400))
    until(lambda: len(began(tmp_path)) > 3)
    process.terminate()
    assert process.wait(20) == 0
    assert len(began(tmp_path)) < 200
    started("-c", "4", name="new")
    assert job.result(60) == list(range(400))
    assert set(job.to_frame()["attempts"]) == {1}


def test_an_item_that_is_given_back_again_and_again_is_not_taken_for_a_killer(
    started, task, tmp_path, until
):
    job = task(stay).submit(str(tmp_path), 0)
    for n in range(1, 5):
        process, _ = started("-c", "1", name=f"w{n}")
        until(lambda n=n: len(began(tmp_path).get(0, ())) == n)
        process.send_signal(signal.SIGQUIT)
        process.wait(30)
    started("-c", "1", name="last")
    (tmp_path / "gate").touch()
    assert job.result(20) == 0


def test_a_soft_shutdown_waits_and_then_gives_back(started, task, tmp_path, until):
    process, log = started("-c", "2", "worker_soft_shutdown_timeout=8", name="old")
    job = task(stay).map([str(tmp_path)] * 2, range(2))
    until(lambda: len(began(tmp_path)) == 2)
    process.send_signal(signal.SIGQUIT)
    until(lambda: "Initiating Soft Shutdown" in log.read_text())
    (tmp_path / "gate").touch()
    assert job.result(20) == [0, 1]
    process.wait(40)
    assert all(len(runs) == 1 for runs in began(tmp_path).values())


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_hup_starts_the_same_command_again(started, task, until, pool):
    process, log = started("-c", "1", "-P", pool)
    assert task(where).submit().result(20)
    process.send_signal(signal.SIGHUP)
    until(lambda: log.read_text().count("ready.") == 2)
    assert process.poll() is None
    assert process.pid in task(where).submit().result(20)


def test_usr1_shows_what_all_threads_do(started, until):
    process, log = started("-c", "1")
    process.send_signal(signal.SIGUSR1)
    until(lambda: "MainThread" in log.read_text())
    assert process.poll() is None


# -- edits ----------------------------------------------------------------------------------------


def test_an_edited_module_is_picked_up(started, task, tmp_path, until):
    module = tmp_path / "rates.py"

    def save(text):  # in one step: a file that is empty for a moment may be seen to change twice
        (tmp_path / "rates.new").write_text(text)
        (tmp_path / "rates.new").replace(module)

    save("def rate():\n    return 1\n")
    process, log = started("-c", "1", "--reload", "--reload-dir", str(tmp_path), folder=tmp_path)

    def ask():
        import rates

        return rates.rate()

    call = task(ask)
    assert call.submit().result(30) == 1
    save("def rate(\n")  # saved too early
    until(lambda: log.read_text().count("ready.") == 2)
    save("def rate():\n    return 1 + 1\n")
    until(lambda: log.read_text().count("ready.") == 3)
    assert call.submit().result(30) == 2
    process.terminate()
    assert process.wait(20) == 0


def test_reload_without_watchfiles_says_what_to_install(monkeypatch, capsys):
    from nbqueue import cli

    monkeypatch.setitem(sys.modules, "watchfiles", None)
    assert cli.main(["worker", "--reload"]) == 1
    assert "pip install 'nbqueue[reload]'" in capsys.readouterr().err


def test_processes_that_are_spawned_are_refused_in_a_line(nbqueue):
    said = nbqueue("worker", "--pool-start-method", "spawn", status=1)
    assert "nbqueue: --pool-start-method spawn: the processes of a worker share memory" in said
