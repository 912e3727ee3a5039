"""`nq.put`: a value is sent once, and tasks get the value."""

import os
import signal

import numpy as np
import pytest

import nbqueue as nq
from nbqueue.client import connecting as clients
from nbqueue.cluster import embedded
from nbqueue.store import keys

pytestmark = pytest.mark.usefixtures("cluster")


@nq.task
def total(values, times=1):
    return float(np.sum(values)) * times


@nq.task
def kind(thing):
    return type(thing).__name__


def test_a_task_gets_the_value_and_not_the_ref():
    ref = nq.put([1, 2, 3])
    assert kind.submit(ref).result(20) == "list"
    assert kind.submit({"deep": [ref]}).result(20) == "dict"
    assert total.submit(ref, times=2).result(20) == 12
    assert total.submit(values=ref).result(20) == 6
    assert total.map([ref, ref, [4]]).result(20) == [6, 6, 4]
    assert total.starmap([(ref, 1), (ref, 2)]).result(20) == [6, 12]
    assert nq.task(lambda: sum(ref)).submit().result(20) == 6
    assert ref.get() == [1, 2, 3]


def test_a_large_value_is_stored_once_however_many_tasks_use_it():
    folder = clients.default_client().blobs._folder
    array = np.arange(500_000.0)
    before = set(folder.iterdir())
    ref = nq.put(array)
    stored = set(folder.iterdir()) - before
    assert nq.put(array.copy()) == ref
    assert total.map([ref] * 5).result(20) == [array.sum()] * 5
    assert total.submit(ref).result(20) == array.sum()
    assert set(folder.iterdir()) - before == stored


def test_what_one_item_writes_the_next_does_not_see():
    def grow(values):
        values.append(0)
        return len(values)

    assert nq.task(grow).chunks([(nq.put([1]),)] * 4, 4).result(20) == [2] * 4


def test_a_frame_shows_the_ref_and_rerun_calls_with_the_value():
    ref = nq.put(np.zeros(1000))
    job = kind.map([ref, 1])
    assert job.result(20) == ["ndarray", "int"]
    frame = job.to_frame()
    assert frame["thing"].tolist() == [ref, 1]
    assert repr(frame["thing"][0]).startswith("<Ref to a ndarray, 8")
    assert job.rerun(0) == "ndarray"
    assert kind.submit(ref).to_frame()["thing"].tolist() == [ref]


def test_a_ref_inside_an_argument_is_opened_with_it():
    def look(thing):
        found = thing["deep"] if isinstance(thing, dict) else thing[0].value
        found.append(0)
        return type(found).__name__

    class Holder:
        def __init__(self, value):
            self.value = value

    ref = nq.put([1])
    things = [{"deep": ref}, [Holder(ref)], {"deep": ref}]
    job = nq.task(look).map(things)
    assert job.result(20) == ["list"] * 3
    assert job.to_frame()["thing"][0] == {"deep": [1]}
    assert nq.task(look).submit({"deep": ref}).result(20) == "list"
    assert nq.task(lambda: ref).submit().result(20) == [1]


def test_a_ref_inside_an_argument_that_is_gone_is_an_error_and_not_a_hang():
    ref = nq.put(np.ones(200_000))
    (clients.default_client().blobs._folder / ref.address).unlink()
    job = kind.map([[ref], 1])
    assert job.wait(20)
    assert isinstance(job.exceptions()[0], nq.NbqueueError)


def test_equal_refs_share_cached_results():
    cached = kind.with_options(cache=True)
    assert cached.submit(nq.put("some text")).result(20) == "str"
    again = cached.submit(nq.put("some text"))
    assert again.result(20) == "str"
    assert bytes(again._live.state.cached) == b"\x01"


def test_a_value_that_is_gone_fails_its_items_and_no_others():
    ref = nq.put(np.ones(200_000))
    (clients.default_client().blobs._folder / ref.address).unlink()
    job = kind.map([1, ref, "x"])
    assert job.wait(20)
    assert job.counts()["SUCCESS"] == 2
    assert isinstance(job.exceptions()[1], nq.Expired)


def test_a_ref_of_another_cluster_travels_to_this_one(local_cluster):
    here = clients.default_client()
    ref = nq.put([1, 2, 3])
    with local_cluster(workers=1):
        assert clients.default_client() is not here
        assert total.submit(ref).result(30) == 6
        assert total.map([ref]).result(30) == [6]


def test_a_value_that_nobody_has_used_for_long_is_deleted(local_cluster, until):
    with local_cluster(workers=1) as made, made.connect() as client:
        used, unused = nq.put(np.zeros(200_000)), nq.put(np.ones(200_000))
        assert total.submit(used).result(20) == 0.0
        files = {name: made.folder / "blobs" / name for name in (used.address, unused.address)}
        os.utime(files[unused.address], (1.0, 1.0))
        # A new worker is the first to look after what is stored, as after some hours.
        client.joblog._store.delete(keys.KEPT)
        os.kill(embedded.status(made.folder).worker_pid, signal.SIGTERM)
        until(lambda: not files[unused.address].exists())
        assert total.submit(used).result(20) == 0.0
        with pytest.raises(nq.Expired, match="send the value again"):
            total.submit(unused).result(20)
