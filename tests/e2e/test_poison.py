"""Items that ruin their process, among others: exactly those fail, each with its cause."""

import pytest

import nbqueue as nq
from nbqueue.store import signing

pytestmark = pytest.mark.timeout(150)

POISON = {
    10: "segfault",
    40: "exit",
    70: "kill",
    100: "bomb",
    130: "abort",
    160: "loop",
}


def taste(how, i):
    import ctypes
    import os
    import signal

    if how == "segfault":
        ctypes.string_at(0)
    if how == "exit":
        os._exit(7)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "abort":
        os.abort()
    if how == "bomb":
        return len(bytearray(2_000_000_000))
    while how == "loop":
        pass
    return i


@pytest.fixture(scope="module")
def client(servers):
    broker, key = servers.redis("s3cret-w0rd"), signing.generate()
    servers.worker(broker, key, "-c", "2", "--memory", "600")
    with nq.connect(broker, key=key) as made:
        yield made


def test_each_fails_alone_and_says_why(client):
    task = nq.task(taste, time_limit=2.0)
    job = task.starmap((POISON.get(i, "good"), i) for i in range(200))
    assert job.wait(100)
    failed = job.exceptions()
    assert sorted(failed) == sorted(POISON)
    assert job.counts()["SUCCESS"] == 200 - len(POISON)
    said = {how: f"{type(failed[i]).__name__}: {failed[i]}" for i, how in POISON.items()}
    for how, cause in [
        ("segfault", "signal 11 (SIGSEGV)"),
        ("abort", "signal 6 (SIGABRT)"),
        ("exit", "exit code 7"),
        ("kill", "signal 9 (SIGKILL)"),
    ]:
        assert said[how].startswith("WorkerLost: the worker process died "), said
        assert cause in said[how], said
    assert said["bomb"].startswith("MemoryError: "), said
    assert "600 MiB (--memory)" in said["bomb"]
    assert said["loop"].startswith("TimeLimitExceeded"), said


def test_a_process_works_on_after_a_bomb(client):
    task = nq.task(taste)
    with pytest.raises(MemoryError):
        task.submit("bomb", 0).result(30)
    assert task.map(["good"] * 20, range(20)).result(30) == list(range(20))
