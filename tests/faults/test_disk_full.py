"""A disk is full: the one on which a worker keeps large values, or the private cluster everything.

It is a small one that is mounted, where that is permitted; elsewhere no file that the worker writes
may be large, which the system refuses in the same place (`RLIMIT_FSIZE`). The table's lines say
which of them it was.
"""

import re
import resource
from pathlib import Path
from types import SimpleNamespace

import pytest

import nbqueue as nq
from nbqueue.client import connecting as clients
from nbqueue.cluster import embedded
from tests.e2e.servers import until
from tests.faults.stage import END_S
from tests.faults.trial import Row, Trial
from tests.namespace import _tool
from tests.small_disk import open_small_disk

LARGE = 1_500_000
"""Bytes of a value that leaves its message."""

SAYS = r"cannot write a value of [\d,]+ bytes to .*blobs on .*: .*; free some space"


@pytest.fixture
def small_disk():
    disk = open_small_disk()
    yield disk
    if disk is not None:
        disk.close()


class Limit:
    """Lets a worker write no large file, as if its disk were full."""

    said = "RLIMIT_FSIZE"

    def __init__(self, folder):
        self.folder = folder
        self.prefix = [_tool("prlimit"), f"--fsize={LARGE // 2}:unlimited"]
        self._worker = None

    def fill(self, worker):
        self._worker = worker  # (it was from its start)

    def free(self):
        for pid in (self._worker.process.pid, *self._worker.children):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)


class Mounted:
    """Fills the disk that a worker has its files on."""

    said = "tmpfs"
    prefix = ()

    def __init__(self, disk):
        self.folder, self._disk = disk.folder, disk

    def fill(self, _worker):
        self._disk.fill()

    def free(self):
        self._disk.free()


@nq.task
def size(value):
    """Say how large something is."""
    return len(value)


@nq.task
def made(n):
    """Give something large."""
    return b"r" * n


def test_a_worker_whose_disk_is_full_says_so_of_each_item_and_lives(
    on_redis, n, small_disk, monkeypatch, record_property
):
    stage = on_redis
    disk = Mounted(small_disk) if small_disk else Limit(stage.folder / "disk")
    for name, folder in (("NBQUEUE_HOME", "home"), ("TMPDIR", "tmp")):
        (disk.folder / folder).mkdir(parents=True)
        monkeypatch.setenv(name, str(disk.folder / folder))
    (worker,) = stage.start_workers(1, 2, prefix=disk.prefix)
    monkeypatch.undo()
    stage.connect()
    disk.fill(worker)
    values = [bytes([i]) * LARGE for i in range(10)]
    large, small = size.map(values), size.map([b"small"] * n)
    assert small.result(END_S) == [5] * n
    assert large.wait(END_S), stage.describe(large)
    errors = large.exceptions()
    assert {type(errors[i]) for i in range(10)} == {nq.InfrastructureError}
    assert all(re.match(SAYS, str(error)) for error in errors.values()), errors[7]
    assert made.map([LARGE] * 2).result(END_S) == [b"r" * LARGE] * 2  # results go to the Redis
    disk.free()
    large.retry()
    assert large.result(END_S) == [LARGE] * 10
    assert worker.process.poll() is None
    line = f"disk of a worker full ({disk.said})"
    record_property("line", f"{line:<50} {stage.broker:<9} {n:>6} only the large failed, then ran")


@pytest.fixture
def private(small_disk):
    """A client of a private cluster on the small disk."""
    if small_disk is None:
        pytest.skip("nothing may be mounted here")
    folder = small_disk.folder / "c"
    with clients.connect_address(embedded.ensure(folder, workers=2)) as client:
        yield client
    embedded.stop(folder)


def test_the_private_clusters_disk_is_full_and_it_goes_on_when_there_is_room(
    private, small_disk, n, tmp_path, said
):
    trial = Trial(SimpleNamespace(folder=tmp_path, describe=repr), n, seconds=3)
    trial.begin()
    large = made.submit(LARGE)
    assert large.result(END_S) == b"r" * LARGE
    trial.until_ran(0.3)
    small_disk.fill()
    saved = re.compile("cannot save its data.*free space where that Redis")
    until(lambda: saved.search(private.outage.text))
    with pytest.raises(nq.StoreRefused, match=r"free space.*nothing was sent"):
        size.submit(b"")
    with pytest.raises(nq.InfrastructureError, match=SAYS):
        nq.put(b"p" * LARGE)
    assert set(nq.jobs()["name"]) >= {trial.job.name, large.name}
    until(lambda: trial.since_fault_s() > 3)
    assert not trial.job.wait(0)
    small_disk.free()
    trial.strike()  # what is promised begins when there is room
    trial.end()
    assert made.submit(LARGE + 1).result(END_S) == b"r" * (LARGE + 1)
    said(Row("disk of the private cluster full for 3 s (tmpfs)", "private", trial.account(private)))
    assert [path.name for path in Path(small_disk.folder / "c").glob("*.aside")] == []
