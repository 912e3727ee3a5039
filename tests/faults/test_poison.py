"""Items that end their process, fill its memory or never end, among thousands of good ones."""

import re

import pytest

import nbqueue as nq
from tests.faults.stage import END_S

KINDS = {
    "segfault": r"WorkerLost: .*signal 11",
    "exit": r"WorkerLost: .*exit code 3",
    "kill": r"WorkerLost: .*signal 9",
    "abort": r"WorkerLost: .*signal 6",
    "memory": r"MemoryError: .*400 MiB \(--memory\)",
    "bomb": r"MemoryError: .*400 MiB \(--memory\)",
    "endless": r"TimeLimitExceeded: .*limit of 10 s",
}
"""What its error says of each kind of poison, as a pattern."""

MEMORY_MIB = "400"


@nq.task(time_limit=10)  # a good item on a worker that stands still for a while must not meet it
def item(i, kind):
    """Be good, or what ``kind`` says."""
    import ctypes
    import os
    import signal
    import time

    if kind == "segfault":
        ctypes.string_at(0)
    elif kind == "exit":
        os._exit(3)
    elif kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "abort":
        os.abort()
    elif kind == "bomb":
        return len(bytearray(2_000_000_000))
    elif kind == "memory":
        kept = bytearray(1_000_000)
        while True:
            kept = kept + kept
    elif kind == "endless":
        while True:
            pass
    time.sleep(0.004)
    return i


def named(error):
    """Say how an item's error names its cause."""
    return f"{type(error).__name__}: {error}"


def test_poison_fails_alone_and_says_why(stage, n, record_property):
    poison = {n // (len(KINDS) + 1) * (k + 1): kind for k, kind in enumerate(KINDS)}
    stage.start_workers(2, 4, "--memory", MEMORY_MIB)
    stage.connect()
    job = item.starmap((i, poison.get(i)) for i in range(n))
    assert job.wait(END_S), job.counts()
    errors = job.exceptions()
    assert {i: named(error) for i, error in errors.items() if i not in poison} == {}
    for i, kind in poison.items():
        assert re.match(KINDS[kind], named(errors[i])), (kind, named(errors[i]))
    assert job.result(0, errors="drop") == [i for i in range(n) if i not in poison]
    line = f"poison ({', '.join(KINDS)})"
    record_property("line", f"{line:<50} {stage.broker:<9} {n:>6} only those failed, each named")


def test_a_process_works_on_after_a_bomb(stage):
    stage.start_workers(1, 1, "--memory", MEMORY_MIB)
    stage.connect()
    with pytest.raises(MemoryError):
        item.submit(0, "bomb").result(END_S)
    assert item.starmap((i, None) for i in range(20)).result(END_S) == list(range(20))
