"""Processes that are replaced, after so many messages or for their memory or a hard limit: nothing
is lost, and nothing runs twice that was recorded."""

import contextlib
import os
import time

import pytest
from celery.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded

import nbqueue as nq


@pytest.fixture(scope="module")
def workers(servers, wires):
    for queue, options in {
        "celery": ("-c", "2"),
        "few": ("-c", "2", "--max-tasks-per-child", "3"),
        "lean": ("-c", "1", "--max-memory-per-child", "250000"),
    }.items():
        servers.worker(wires.broker, wires.key, "-Q", queue, *options, backend=wires.backend)


@pytest.fixture(autouse=True)
def client(wires, workers):
    with nq.connect(wires.broker, backend=wires.backend, key=wires.key) as made:
        yield made


@nq.task
def whose(i):
    return i, os.getpid()


def test_a_process_is_replaced_after_so_many_messages_and_all_items_end_well():
    job = whose.with_options(queue="few").chunks([(i,) for i in range(60)], 3)
    found = job.result(60)
    assert [i for i, _ in found] == list(range(60))
    assert len({pid for _, pid in found}) >= 5
    assert set(job.to_frame()["attempts"]) == {1}


def test_a_process_that_has_grown_is_replaced_and_all_items_end_well():
    def grow(i):
        import sys

        sys.kept = bytearray(250_000_000)
        return i, os.getpid()

    found = nq.task(grow, queue="lean").chunks([(i,) for i in range(4)], 1).result(90)
    assert [i for i, _ in found] == list(range(4))
    assert len({pid for _, pid in found}) == 4


def test_the_neighbours_of_an_item_over_its_limits_end_well_in_map_and_chunks():
    # (Far apart: what stands still for longer than that is killed rather than interrupted.)
    @nq.task(soft_time_limit=0.4, time_limit=6)
    def run(x):
        if x == 3:
            time.sleep(60)
        while x == 6:
            with contextlib.suppress(BaseException):
                time.sleep(60)
        return x

    jobs = [run.map(range(10)), run.chunks([(x,) for x in range(10)], 10)]
    for job in jobs:
        assert job.result(60, errors="drop") == [0, 1, 2, 4, 5, 7, 8, 9]
        bad = job.exceptions()
        assert isinstance(bad[3], SoftTimeLimitExceeded)
        assert isinstance(bad[6], TimeLimitExceeded)


def test_a_local_cluster_takes_the_same_numbers(local_cluster):
    with local_cluster(workers=1, max_tasks_per_child=2) as made:
        made.connect()
        found = whose.chunks([(i,) for i in range(8)], 1).result(60)
        assert [i for i, _ in found] == list(range(8))
        assert len({pid for _, pid in found}) >= 4
    with pytest.raises(nq.UsageError, match="max_memory_per_child must be at least 1"):
        nq.LocalCluster(max_memory_per_child=0)
