"""What workers reply, as data: also from workers that reply nonsense."""

import pytest

from nbqueue.client import listing
from nbqueue.client.remote.survey import Queue, queues_of, read_workers


def make_reply(**changes):
    reply = {
        "pid": 7,
        "pool": "prefork",
        "processes": 2,
        "leaving": 0,
        "resizable": True,
        "queues": ["celery", "gpu"],
        "running": [],
        "n_running": 0,
        "done": 40,
        "memory_mb": 120.5,
        "up_s": 60.0,
    }
    return {**reply, **changes}


def make_running(what="grid[0:100] of job abc", **changes):
    said = {"id": "m1", "task": "fit", "what": what, "for_s": 9.0, "item": None, "item_for_s": 9.0}
    return {**said, **changes}


def the_run(**changes):
    [worker] = read_workers({"w@host": make_reply(running=[make_running(**changes)])})
    return worker.running[0]


def test_a_worker_is_read():
    [worker] = read_workers({"gpu@box": make_reply()})
    assert (worker.name, worker.host, worker.pid) == ("gpu@box", "box", 7)
    assert (worker.pool, worker.processes, worker.resizable) == ("prefork", 2, True)
    assert worker.queues == ("celery", "gpu")
    assert (worker.done, worker.memory_mb, worker.up_s) == (40, 120.5, 60.0)


def test_workers_are_in_order_of_their_names_and_errors_are_not_workers():
    replies = {"b@x": make_reply(), "a@x": make_reply(), "c@x": {"error": "no such command"}}
    assert [worker.name for worker in read_workers(replies)] == ["a@x", "b@x"]


@pytest.mark.parametrize(
    ("changes", "label", "item", "for_s"),
    [
        ({}, "grid 0–99", None, 9.0),
        ({"item": 17, "item_for_s": 2.0}, "grid 17", 17, 2.0),
        ({"item": 0, "item_for_s": 2.0}, "grid 0", 0, 2.0),
        ({"what": "grid[5:6] of job abc"}, "grid 5", 5, 9.0),
        ({"what": "load[0:1] of job abc"}, "load", 0, 9.0),
        ({"what": "a [b] of job c[3:5] of job abc"}, "a [b] of job c 3–4", None, 9.0),
        ({"what": "(1, 2)"}, "fit", 0, 9.0),
    ],
)
def test_what_runs_is_told_by_job_and_item(changes, label, item, for_s):
    run = the_run(**changes)
    assert (run.label, run.item, run.for_s) == (label, item, for_s)


def test_a_job_that_runs_is_known_by_its_id():
    run = the_run(what="a[b][3:5] of job 0123")
    assert (run.job, run.job_id, run.start, run.stop) == ("a[b]", "0123", 3, 5)
    assert the_run(what="anything").job_id == ""


@pytest.mark.parametrize(
    "nonsense",
    [
        {},
        dict.fromkeys(make_reply(), None),
        dict.fromkeys(make_reply(), "x" * 10_000),
        {key: [[]] for key in make_reply()},
        dict.fromkeys(make_reply(), float("nan")),
        {"running": [{}, 3, {"what": 5, "item": "x", "for_s": "y"}]},
    ],
)
def test_nonsense_is_read_as_nothing(nonsense):
    [worker] = read_workers({"w@host": nonsense})
    assert worker.processes == 0
    assert len(worker.pool) <= 300
    assert len(listing.workers_frame([worker])) == 1


def test_queues_are_those_of_workers_and_of_senders():
    workers = read_workers({"a@x": make_reply(), "b@x": make_reply(queues=["celery"])})
    found = queues_of(workers, ["celery", "nobody"], {"celery": (3, 0), "nobody": (1, 0)})
    assert found == (Queue("celery", 3, 2), Queue("gpu", 0, 1), Queue("nobody", 1, 0))


def test_the_broker_may_know_of_consumers_that_do_not_reply():
    assert queues_of([], ["celery"], {"celery": (3, 1)}) == (Queue("celery", 3, 1),)


def test_frames_have_their_columns_even_when_empty():
    types = listing.workers_frame([]).dtypes
    full = listing.workers_frame(read_workers({"w@host": make_reply()}))
    assert list(types.items()) == list(full.dtypes.items())
    assert full.index.name == "worker"
    assert full.loc["w@host", "longest_s"] != full.loc["w@host", "longest_s"]  # NaN: idle
    assert list(listing.queues_frame([]).columns) == ["waiting", "consumers"]
