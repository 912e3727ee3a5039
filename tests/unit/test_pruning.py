"""The lists of jobs do not grow with jobs that have expired."""

import pytest

from nbqueue.store import keys
from nbqueue.store.log.joblog import JobLog
from nbqueue.store.log.pruning import Pruner
from nbqueue.store.signing import Keyring
from tests.unit.builders import KEY, make_spec


@pytest.fixture
def joblog(store):
    return JobLog(store, Keyring(KEY))


def opened(joblog, name, job_id):
    joblog.open(joblog.opening(make_spec(1, id=job_id, name=name)))


def expire(store, job_id):
    store.delete(keys.meta(job_id), keys.log(job_id))


def ids(store):
    return {job_id.decode() for job_id in store.zrange(keys.JOBS, 0, -1)}


def names(store):
    return {name.decode(): job_id.decode() for name, job_id in store.hgetall(keys.NAMES).items()}


def test_expired_jobs_leave_both_lists(store, joblog):
    opened(joblog, "old", "a" * 16)
    opened(joblog, "new", "b" * 16)
    expire(store, "a" * 16)
    assert Pruner(store).prune() == 2
    assert (ids(store), names(store)) == ({"b" * 16}, {"new": "b" * 16})


def test_a_name_that_another_job_has_by_now_stays(store, joblog):
    opened(joblog, "grid", "a" * 16)
    opened(joblog, "grid", "b" * 16)
    expire(store, "a" * 16)
    assert Pruner(store).prune() == 1
    assert (ids(store), names(store)) == ({"b" * 16}, {"grid": "b" * 16})


def test_one_worker_does_it_at_a_time(store, joblog):
    opened(joblog, "old", "a" * 16)
    expire(store, "a" * 16)
    assert [Pruner(store).prune(), Pruner(store).prune()] == [2, 0]
    assert 0 < store.ttl(keys.PRUNED) <= 5


def test_many_thousands_that_have_expired_go_in_one_go(store):
    dead = {f"{i:016x}": float(i) for i in range(5_000)}
    store.zadd(keys.JOBS, dead)
    store.hset(keys.NAMES, mapping={f"name {job_id}": job_id for job_id in dead})
    assert Pruner(store).walk() == 10_000
    assert not store.exists(keys.JOBS, keys.NAMES)


def test_where_hardly_any_has_expired_all_are_looked_at_after_a_while(store):
    alive = {f"{i:016x}": float(i) for i in range(2_000)}
    expired = f"{1234:016x}"
    store.zadd(keys.JOBS, alive)
    store.hset(keys.NAMES, mapping={f"name {job_id}": job_id for job_id in alive})
    pipe = store.pipeline()
    for job_id in alive.keys() - {expired}:
        pipe.hset(keys.meta(job_id), "n", 1)
    pipe.execute()
    pruner = Pruner(store)
    assert sum(pruner.walk() for _ in range(40)) == 2
    assert expired not in ids(store) | set(names(store).values())
    assert len(ids(store)) == len(names(store)) == 1_999


def test_what_a_stranger_put_there_does_no_harm(store):
    store.hset(keys.NAMES, mapping={b"\xff": b"\xfe", b"": b""})
    Pruner(store).walk()
