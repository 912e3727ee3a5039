"""The supervisor's decisions, its children and the account it gives: no Redis is started here."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from nbqueue.cluster import child as children
from nbqueue.cluster import launch, state
from nbqueue.cluster.child import Child
from nbqueue.cluster.embedded import Address, attach
from nbqueue.cluster.folder import wait_until
from nbqueue.cluster.guard import Guard
from nbqueue.cluster.need import BEAT_LINGERS_S, Beat, Quiet
from nbqueue.cluster.state import Process, State, mark_of
from nbqueue.core.errors import ClusterError, UsageError


def test_quiet_is_over_some_time_after_the_last_client():
    quiet = Quiet(keep_alive_s=10, first_client_s=60, busy_at=0)
    assert not quiet.over(5, clients=1, active_jobs=0)
    assert not quiet.over(14, clients=0, active_jobs=0)
    assert quiet.over(15, clients=0, active_jobs=0)


def test_an_unfinished_job_keeps_the_cluster():
    quiet = Quiet(keep_alive_s=10, first_client_s=60, busy_at=0)
    quiet.over(0, clients=1, active_jobs=1)
    assert not quiet.over(1000, clients=0, active_jobs=1)
    assert not quiet.over(1009, clients=0, active_jobs=0)
    assert quiet.over(1010, clients=0, active_jobs=0)


def test_with_no_keep_alive_it_ends_with_the_last_client_but_waits_for_the_first():
    quiet = Quiet(keep_alive_s=0, first_client_s=60, busy_at=0)
    assert not quiet.over(59, clients=0, active_jobs=0)
    assert quiet.over(60, clients=0, active_jobs=0)
    assert not quiet.over(61, clients=1, active_jobs=0)
    assert quiet.over(61.1, clients=0, active_jobs=0)


def test_a_client_that_left_between_two_looks_has_been_seen():
    quiet = Quiet(keep_alive_s=0, first_client_s=60, busy_at=0)
    assert quiet.over(1, clients=0, active_jobs=0, somebody_came=True)


def test_an_enabled_schedule_keeps_the_cluster_and_its_end_starts_the_quiet_period():
    quiet = Quiet(keep_alive_s=10, first_client_s=60, busy_at=0, client_seen=True)
    assert not quiet.over(1000, clients=0, active_jobs=0, schedules=1)
    assert not quiet.over(1009, clients=0, active_jobs=0)
    assert quiet.over(1010, clients=0, active_jobs=0)


def test_a_schedule_does_not_keep_a_cluster_that_ends_with_its_last_client():
    quiet = Quiet(keep_alive_s=0, first_client_s=60, busy_at=0, client_seen=True)
    assert quiet.over(1, clients=0, active_jobs=0, schedules=1)


def test_a_beat_is_wanted_while_there_are_schedules_and_a_little_longer():
    beat = Beat()
    assert not beat.wanted(0, schedules=0)
    assert beat.wanted(1, schedules=2)
    assert beat.wanted(1 + BEAT_LINGERS_S / 2, schedules=0)
    assert not beat.wanted(1 + BEAT_LINGERS_S, schedules=0)


def test_keep_alive_none_never_ends():
    assert not Quiet(None, 60, 0).over(1e9, clients=0, active_jobs=0)


def test_clients_that_lost_their_connection_with_redis_are_waited_for():
    quiet = Quiet(keep_alive_s=0, first_client_s=60, busy_at=0)
    quiet.over(1, clients=2, active_jobs=0)
    quiet.redis_came_back(100)
    assert not quiet.over(101, clients=0, active_jobs=0)
    assert quiet.over(160, clients=0, active_jobs=0)


def test_the_first_new_start_is_at_once_and_the_pauses_grow_to_a_limit():
    assert [children.pause_s(n) for n in range(1, 6)] == [0, 0.5, 1, 2, 4]
    assert children.pause_s(10_000) == children.LONGEST_PAUSE_S


def test_an_end_is_told_in_words():
    assert children.reason(3) == "exit code 3"
    assert children.reason(-9) == "signal 9 (SIGKILL)"
    assert children.reason(-99) == "signal 99"


@pytest.fixture
def make_child(tmp_path):
    made = []
    guard = Guard()
    guard.start()

    def make(*command, **options):
        child = Child(
            "the worker",
            command,
            log=tmp_path / "worker.log",
            guard=guard,
            env=os.environ,
            umask=0o022,
            **options,
        )
        made.append(child)
        return child

    make.guard = guard
    yield make
    for child in made:
        child.stop(grace_s=0)
    os.close(guard._pipe)
    os.waitpid(guard.pid, 0)


def test_a_crashing_child_is_started_again_with_growing_pauses(make_child):
    child = make_child("/bin/sh", "-c", "echo boom; exit 3")
    now = 100.0
    child.start(now)
    for restarts, pause in enumerate([0.0, 0.5, 1.0]):
        assert wait_until(lambda: child.check(now), 30)  # noqa: B023
        assert not child.runs
        assert "exit code 3" in child.message
        assert child.message.count("boom") == 1
        assert child.due_in_s(now) == pause
        if pause:
            assert not child.check(now + pause - 0.01)
        now += pause
        assert child.check(now)
        assert child.restarts == restarts + 1


def test_a_child_that_was_healthy_starts_its_count_anew(make_child):
    child = make_child("/bin/sh", "-c", "exit 1")
    child.failures = 7
    child.start(0.0)
    assert wait_until(lambda: child.check(children.HEALTHY_S), 30)
    assert child.failures == 1


def test_a_command_that_cannot_be_run_is_a_failure_like_any_other(make_child):
    child = make_child("/no/such/program")
    child.start(0.0)
    assert not child.runs
    assert "/no/such/program" in child.message
    assert child.failures == 1


def test_a_child_that_ignores_the_request_is_killed_with_its_own_children(make_child, tmp_path):
    script = f"trap '' TERM; sleep 1000 & echo $! > {tmp_path}/pid; touch {tmp_path}/up; wait; wait"
    child = make_child("/bin/sh", "-c", script)
    child.start(0.0)
    assert wait_until((tmp_path / "up").exists, 30)
    grandchild = int((tmp_path / "pid").read_text())
    child.stop(grace_s=0.05)
    assert "killed" in child.message
    assert wait_until(lambda: not mark_of(grandchild), 30)


def test_grandchildren_do_not_outlive_a_killed_child(make_child, tmp_path):
    child = make_child("/bin/sh", "-c", f"sleep 1000 & echo $! > {tmp_path}/pid; wait")
    child.start(0.0)
    assert wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), 30)
    os.kill(child.identity.pid, signal.SIGKILL)
    assert wait_until(lambda: child.check(0.0), 30)
    grandchild = int((tmp_path / "pid").read_text())
    assert wait_until(lambda: not mark_of(grandchild), 30)


def test_a_guard_that_died_is_replaced_and_told_everything(make_child):
    child = make_child("sleep", "1000")
    child.start(0.0)
    first = make_child.guard.pid
    assert not make_child.guard.check()
    os.kill(first, signal.SIGKILL)
    assert wait_until(make_child.guard.check, 30)
    assert make_child.guard.pid != first
    die_as_a_supervisor(make_child.guard)
    assert wait_until(lambda: not mark_of(child.identity.pid), 30)
    make_child.guard.start()


def test_a_child_that_has_something_to_write_is_asked_to_end_when_the_supervisor_dies(
    make_child, tmp_path
):
    script = f"trap 'touch {tmp_path}/written; exit' TERM; touch {tmp_path}/up; while :; do :; done"
    child = make_child("/bin/sh", "-c", script, is_asked=True)
    child.start(0.0)
    assert wait_until((tmp_path / "up").exists, 30)
    die_as_a_supervisor(make_child.guard)
    assert (tmp_path / "written").exists()
    assert not mark_of(child.identity.pid)
    make_child.guard.start()


def die_as_a_supervisor(guard):
    os.close(guard._pipe)  # what the kernel does
    guard._pipe = -1
    os.waitpid(guard.pid, 0)


@pytest.mark.parametrize("mark", [mark_of, state._mark_from_ps])
def test_a_mark_is_of_one_process_and_gone_with_it(mark):
    process = subprocess.Popen(["sleep", "1000"])
    try:
        assert mark(process.pid)
        assert mark(process.pid) == mark(process.pid)
    finally:
        process.kill()
        assert wait_until(lambda: mark(process.pid) == "", 30)  # not waited for: a zombie has ended
        process.wait()
    assert mark(process.pid) == ""


def test_a_process_that_got_an_old_pid_is_never_signalled():
    process = subprocess.Popen(["sleep", "1000"])
    try:
        assert not Process(process.pid, "another boot:1").kill()
        assert not Process(process.pid, "").kill()
        assert process.poll() is None
        assert Process(process.pid, mark_of(process.pid)).kill()
    finally:
        process.kill()
        assert process.wait(30) == -signal.SIGKILL


def test_the_state_is_read_back_and_closed_to_others(tmp_path):
    written = State(supervisor=Process(1, "a"), redis=Process(2, "b"), socket="/s", workers=3)
    state.write(tmp_path, written)
    assert state.read(tmp_path) == written
    assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o600


def test_a_state_of_a_newer_version_is_understood_as_far_as_possible(tmp_path):
    state.write(tmp_path, State(workers=3))
    found = json.loads((tmp_path / "state.json").read_text())
    (tmp_path / "state.json").write_text(json.dumps({**found, "news": 1}))
    assert state.read(tmp_path).workers == 3


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"redis": 1}', '{"worker": {"pid": "x"}}'])
def test_a_damaged_state_is_no_state(tmp_path, text):
    (tmp_path / "state.json").write_text(text)
    assert state.read(tmp_path) is None


def test_a_launch_survives_the_command_line(tmp_path):
    told = launch.plan(
        tmp_path, tmp_path / "s", "redis", concurrency=2, threads=True, keep_alive_s=None
    )
    assert launch.Launch.load(told.dump()) == told
    words = ["-m", "nbqueue.worker", "--folder", str(tmp_path), "--socket", str(tmp_path / "s")]
    expected = [sys.executable, *words, "--concurrency", "2", "--threads"]
    assert list(told.worker_command) == expected


def test_a_python_without_an_executable_is_told_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(ClusterError, match=r"sys\.executable is empty.*nbqueue worker"):
        launch.plan(tmp_path, tmp_path, "r", concurrency=1, threads=False, keep_alive_s=0)


def test_an_address_shows_no_key_and_quotes_its_path(tmp_path):
    address = Address(tmp_path, tmp_path / "a b" / "redis.sock", "c0ffee" * 10)
    assert "c0ffee" not in repr(address)
    assert address.broker_url == f"redis+socket://{tmp_path}/a%20b/redis.sock"
    assert address.store_url == f"unix://{tmp_path}/a%20b/redis.sock"


@pytest.mark.parametrize(
    "options",
    [
        {"workers": 0},
        {"threads": -1},
        {"workers": 1, "threads": 1},
        {"keep_alive_s": -1},
        {"keep_alive_s": float("nan")},
    ],
)
def test_wrong_numbers_are_refused_before_anything_is_started(tmp_path, options):
    with pytest.raises(UsageError):
        attach(tmp_path / "cluster", **options)
    assert not (tmp_path / "cluster").exists()


def test_the_supervisor_imports_the_standard_library_and_nothing_more():
    code = (
        f"import sys; sys.argv = ['-c', {str(launch._PACKAGE)!r}, '']\n"
        f"source = {launch._BOOT!r}.replace('; main(sys.argv[2])', '')\n"
        "exec(source)\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules} - sys.stdlib_module_names))\n"
        "print(*[name for name in sys.modules if name.startswith('nbqueue.')])"
    )
    began = time.monotonic()
    found = subprocess.run(
        [sys.executable, "-s", "-S", "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert found[0].split() == ["__main__", "nbqueue"]
    rooms = {name.split(".")[1] for name in found[1].split()}
    assert rooms == {"cluster", "core"}
    assert time.monotonic() - began < 60  # a process's start takes seconds on a busy machine
