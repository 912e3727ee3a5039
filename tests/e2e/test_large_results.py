"""Results that are larger than memory are walked through in little of it."""

import gc
import weakref

import pytest

import nbqueue as nq

pytestmark = pytest.mark.usefixtures("cluster")

WALK = """
import re, sys
from pathlib import Path

def memory_mb(field):
    return int(re.search(rf"{field}:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

def begin():
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    return memory_mb("VmRSS")

def look(what, futures):
    total = 0
    for future in futures:
        value = future.result()
        assert value == bytes([future.index % 256]) * len(value)
        total += len(value)
    print(what, total, memory_mb("VmHWM") - before)

n, size = map(int, sys.argv[1:])
big = nq.task(lambda i, size: bytes([i % 256]) * size)
big.map([0] * 4, [10] * 4).result()
before = begin()
job = big.map(range(n), [size] * n)
look("as they end:", job.as_completed())
look("in order:", job)
name, job = job.id, None
nq.connect().close()
_c(_e(_P(FOLDER)))
job = nq.job(name)
look("found again:", job)
job.forget()
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("size", [900_000, 1_200_000])  # in the job's log, and as blobs
def test_results_larger_than_memory_are_walked_through_in_little_of_it(notebook, cluster, size):
    n = 250
    out = notebook.run(WALK.replace("FOLDER", repr(str(cluster.folder))), n, size)
    lines = [line.rpartition(":")[2].split() for line in out.splitlines()]
    assert [int(total) for total, _ in lines] == [n * size] * 3
    assert max(float(grown) for _, grown in lines) < 120, out  # of 225 MB and more


def test_nobody_holds_the_futures_of_items_that_have_ended():
    job = nq.task(lambda x: x).map(range(100))
    first, *others = job.as_completed(timeout=20)
    heard = weakref.ref(others[0])
    assert job[first.index] is first
    del others
    gc.collect()
    assert heard() is None
    assert sorted(future.result() for future in job) == list(range(100))


def test_an_item_that_ends_again_comes_once(tmp_path):
    def at_second_try(folder, x):
        import pathlib

        ran = pathlib.Path(folder, str(x))
        if x == 3 and not ran.exists():
            ran.touch()
            raise ValueError(x)
        return x

    job = nq.task(at_second_try).map([str(tmp_path)] * 20, range(20))
    assert job.wait(20)
    seen = []
    for future in job.as_completed(timeout=20):
        if not seen:
            job.retry()
        seen.append(future.index)
    assert sorted(seen) == list(range(20))
    assert job.result(20) == list(range(20))
