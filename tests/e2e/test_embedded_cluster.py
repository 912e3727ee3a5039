"""The embedded cluster's life with real processes: its start, how it is found, and its end.

A real Redis, and a stand-in where the worker runs. Each test has a folder of its own and leaves no
process behind; what it leaves is looked for.
"""

import concurrent.futures
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

import nbqueue as nq
from nbqueue.cluster import embedded, redis_server
from nbqueue.cluster.folder import FileLock, wait_until
from nbqueue.cluster.state import mark_of

STAND_IN = ("sleep", "1000")
LIMIT_S = 60.0


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


def test_a_cluster_starts_and_answers_and_is_found_again(bare):
    first = bare.ensure()
    with redis.Redis.from_url(first.store_url) as client:
        assert client.set("a", 1)
        assert client.config_get("port")["port"] == "0"
        assert client.config_get("appendonly")["appendonly"] == "yes"
    again = bare.ensure(workers=7)
    assert (again.socket, again.key) == (first.socket, first.key)
    status = bare.whole()
    assert status.clients == 1
    assert status.workers != 7
    assert (bare.folder / "state.json").stat().st_mode & 0o777 == 0o600
    assert oct(first.socket.stat().st_mode & 0o077) == "0o0"


def test_it_is_found_from_another_process_and_outlives_the_one_that_started_it(bare):
    starter = result_of(in_another_process(bare.folder))
    status = bare.until(lambda s: s.clients == 0)
    assert status.running
    assert result_of(in_another_process(bare.folder)) == starter
    assert bare.ensure().key == starter["key"]
    assert bare.status.pid == starter["pid"]


def test_many_that_start_at_once_start_one(bare):
    processes = [in_another_process(bare.folder) for _ in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        threads = [pool.submit(bare.ensure) for _ in range(4)]
        found = {json.dumps(result_of(process)) for process in processes}
        assert len({thread.result(LIMIT_S).key for thread in threads}) == 1
    assert len(found) == 1
    log = bare.folder / "supervisor.log"
    assert wait_until(lambda: "Redis is up" in log.read_text(), LIMIT_S)
    assert log.read_text().count("Redis is up") == 1


def test_the_worker_gets_the_users_umask_and_environment(bare, monkeypatch):
    monkeypatch.setenv("NBQUEUE_TEST_WORD", "hello")
    out = bare.folder.parent / "out"
    bare.ensure(worker_command=("/bin/sh", "-c", f"echo $NBQUEUE_TEST_WORD > {out}; exec sleep 99"))
    assert wait_until(lambda: out.exists() and out.read_text(), LIMIT_S)
    assert out.read_text() == "hello\n"
    umask = os.umask(0o022)
    os.umask(umask)
    assert out.stat().st_mode & 0o777 == 0o666 & ~umask


def test_the_worker_finds_the_socket_in_the_state_when_it_starts(bare):
    out = bare.folder.parent / "out"
    copy = ("/bin/sh", "-c", f"cp {bare.folder}/state.json {out}; exec sleep 99")
    address = bare.ensure(worker_command=copy)
    assert wait_until(lambda: out.exists() and out.read_text().endswith("}"), LIMIT_S)
    assert json.loads(out.read_text())["socket"] == str(address.socket)


def test_stop_ends_everything_and_keeps_the_data(bare):
    address = bare.ensure()
    address.keepalive.set("kept", "yes")
    before = bare.whole()
    bare.leave()
    assert embedded.stop(bare.folder)
    assert not bare.status.running
    assert not mark_of(before.redis_pid)
    assert not mark_of(before.worker_pid)
    assert not address.socket.exists()
    assert not (bare.folder / "state.json").exists()
    assert bare.ensure().keepalive.get("kept") == b"yes"


def test_stop_and_status_when_nothing_runs(tmp_path):
    assert not embedded.stop(tmp_path / "none")
    status = embedded.status(tmp_path / "none")
    assert (status.running, status.phase, status.pid) == (False, "stopped", None)
    assert not (tmp_path / "none").exists()


def test_a_worker_that_will_not_end_is_killed(bare, monkeypatch):
    ready = bare.folder.parent / "ready"
    stubborn = f"trap '' TERM; touch {ready}; while true; do sleep 0.05; done"
    bare.ensure(worker_command=("/bin/sh", "-c", stubborn))
    assert wait_until(ready.exists, LIMIT_S)
    before = bare.whole()
    bare.leave()
    assert embedded.stop(bare.folder, timeout_s=0.3)  # the supervisor itself is killed then
    assert wait_until(lambda: not mark_of(before.worker_pid), LIMIT_S)
    assert not mark_of(before.redis_pid)


def test_it_ends_by_itself_after_the_last_client(bare):
    bare.ensure(keep_alive_s=0)
    before = bare.whole()
    bare.leave()
    after = bare.until(lambda s: not s.running)
    assert after.phase == "stopped"
    assert not mark_of(before.redis_pid)
    assert "nothing is left to do" in (bare.folder / "supervisor.log").read_text()


def test_it_does_not_end_before_the_last_job(bare):
    address = bare.ensure(keep_alive_s=0)
    address.keepalive.zadd("nbq:active", {"job": 1})
    bare.until(lambda s: s.clients == 1 and s.active_jobs == 1)
    bare.leave()
    bare.until(lambda s: s.clients == 0)
    with redis.Redis.from_url(address.store_url) as unnamed:
        began = time.monotonic()
        while time.monotonic() - began < 0.5:  # several of the supervisor's looks
            assert unnamed.ping()
        unnamed.zrem("nbq:active", "job")
    bare.until(lambda s: not s.running)


def test_it_ends_when_nobody_ever_comes(bare):
    bare.ensure(keep_alive_s=0, first_client_s=0.2)
    bare.leave()
    bare.until(lambda s: not s.running)


def test_whoever_attaches_while_it_ends_gets_a_cluster_that_stays(bare):
    """Clients come at every moment of an end: too early, in the middle of it, and too late."""
    for step in range(16):
        address = bare.ensure(keep_alive_s=0)
        began = time.monotonic()
        while time.monotonic() - began < 0.15:  # longer than between two looks of the supervisor
            assert address.keepalive.ping()
        bare.leave()
        # The next one comes then; the last two come when it has ended, however long that takes.
        wait_until(lambda: not bare.status.running, step * 0.01 if step < 14 else LIMIT_S)
    ends = (bare.folder / "supervisor.log").read_text().count("ending: nobody")
    assert ends > 1


def test_the_supervisor_does_not_end_while_somebody_holds_the_start_lock(bare):
    bare.ensure(keep_alive_s=0)
    bare.whole()
    lock = FileLock(bare.folder / "lock")
    assert lock.acquire(LIMIT_S)
    bare.leave()
    bare.until(lambda s: s.clients == 0)
    with redis.Redis(unix_socket_path=str(bare.status.socket)) as unnamed:
        began = time.monotonic()
        while time.monotonic() - began < 0.4:
            assert unnamed.ping()
    lock.release()
    bare.until(lambda s: not s.running)


def test_a_long_path_gets_its_socket_elsewhere(tmp_path, bare_at, processes_of):
    long = bare_at(tmp_path / ("x" * 100) / "c")
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


def test_spaces_and_odd_letters_in_the_path_do_no_harm(tmp_path, bare_at):
    odd = bare_at(tmp_path / "Application Support é%20")
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


def test_redis_answers_well_below_a_third_of_a_second(bare):
    began = time.monotonic()
    bare.ensure()
    cold = time.monotonic() - began
    began = time.monotonic()
    bare.ensure()
    warm = time.monotonic() - began
    print(f"cold {cold:.3f} s, warm {warm:.3f} s")
    assert cold < 10.0  # a loaded machine; 0.1 s on a quiet one
    assert warm < 5.0


def test_an_enabled_schedule_keeps_a_cluster_and_brings_a_beat(bare):
    address = bare.ensure(keep_alive_s=0.5)
    bare.whole()
    with redis.Redis(unix_socket_path=str(address.socket)) as nobody:
        nobody.zadd(redis_server.ENTRIES, {"nbq:beat:x": 1e12, "nbq:beat:over": -1})
        bare.leave()
        assert bare.until(lambda s: s.beat_pid).schedules == 1
        assert not wait_until(lambda: not bare.status.running, 2.0)
        nobody.zrem(redis_server.ENTRIES, "nbq:beat:x")
    bare.until(lambda s: not s.running)


def test_a_task_sends_more_work_to_its_own_cluster_and_does_not_keep_it_open(local_cluster):
    @nq.task
    def sends(x):
        return nq.task(lambda y: y + 1).map([x], name="more").id

    with local_cluster(workers=1, keep_alive_s=0) as own:
        own.connect()
        assert nq.job(sends.submit(1).result(30)).result(30) == [2]
