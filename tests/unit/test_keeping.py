"""Functions and blobs of jobs that run for days are kept; those of others expire."""

import json
import os

import pytest

from nbqueue.store import keys
from nbqueue.store.log.joblog import JobLog
from nbqueue.store.signing import Keyring
from nbqueue.store.values import keeping
from nbqueue.store.values.arguments import Arguments
from nbqueue.store.values.blobs import Blobs
from tests.unit.builders import KEY, make_spec

DAY_S = 24 * 3600
NOW = 100 * DAY_S
FUNCTION, STAGED, BLOB, INNER, RESULT, OTHER = (c * 64 for c in "abcde5")


@pytest.fixture
def joblog(store):
    return JobLog(store, Keyring(KEY))


@pytest.fixture
def blobs(store, tmp_path):
    return Blobs(store, Keyring(KEY), tmp_path, remote=True)


@pytest.fixture
def ttl(store):
    for address in (FUNCTION, STAGED):
        store.set(keys.function(address), b"pickled " + BLOB.encode() + b" code", ex=60)
    for address, text in ((BLOB, INNER), (INNER, ""), (RESULT, ""), (OTHER, "")):
        store.rpush(keys.blob(address), b'["%b"]' % text.encode())
        store.expire(keys.blob(address), 60)

    def ttl(address):
        found = [store.ttl(key(address)) for key in (keys.function, keys.blob)]
        return max(found)

    return ttl


def _job(store, joblog, job_id, submitted):
    spec = make_spec(id=job_id, function=FUNCTION, submitted=submitted)
    arguments = Arguments(store, Keyring(KEY), None)
    arguments.put(job_id, 0, b"Pcolumns " + RESULT.encode())
    joblog.open(joblog.opening(spec))
    return spec


def test_what_an_old_job_needs_is_kept_and_what_it_needs_in_turn(store, joblog, blobs, ttl):
    _job(store, joblog, "0" * 16, NOW - 7 * DAY_S)
    assert keeping.keep(store, blobs, NOW) == 4
    assert all(ttl(a) > 7 * DAY_S for a in (FUNCTION, BLOB, INNER, RESULT))
    assert ttl(OTHER) <= 60
    assert ttl(STAGED) <= 60


def test_a_young_job_and_an_ended_one_need_nothing(store, joblog, blobs, ttl):
    _job(store, joblog, "0" * 16, NOW - 60)
    assert keeping.keep(store, blobs, NOW) == 0
    assert ttl(FUNCTION) <= 60


def test_it_is_done_by_one_worker_now_and_then(store, joblog, blobs, ttl):
    _job(store, joblog, "0" * 16, NOW - 7 * DAY_S)
    assert keeping.is_due(store)
    assert keeping.keep(store, blobs, NOW) == 4
    assert not keeping.is_due(store)
    store.delete(keys.KEPT)
    assert keeping.is_due(store)
    assert keeping.keep(store, blobs, NOW) == 4


def test_files_of_an_old_job_and_of_a_schedule_are_kept_and_others_are_swept(
    store, joblog, tmp_path, monkeypatch
):
    here = Blobs(store, Keyring(KEY), tmp_path, remote=False)
    inner = here.put(b"inner")
    needed = here.put(b"an array, and where another is: " + inner.encode())
    scheduled, forgotten = here.put(b"of a schedule"), here.put(b"of nobody")
    for path in tmp_path.iterdir():
        os.utime(path, (1.0, 1.0))
    _job(store, joblog, "0" * 16, NOW - 7 * DAY_S)
    Arguments(store, Keyring(KEY), None).put("0" * 16, 1, b"Pcolumns " + needed.encode())
    store.sadd(keys.SCHEDULES, "weekly")
    store.hset(keys.schedule("weekly"), "kept", json.dumps([keys.blob(scheduled)]))
    assert keeping.keep(store, here, NOW) == 3
    assert here.sweep() == 1
    assert {path.name for path in tmp_path.iterdir()} == {inner, needed, scheduled}
    assert not (tmp_path / forgotten).exists()


def test_nothing_of_a_running_job_expires_whatever_else_does(store, joblog):
    job_id = "0" * 16
    _job(store, joblog, job_id, NOW)
    assert {store.ttl(key) for key in store.scan_iter(keys.base(job_id) + ":*")} == {-1}


def test_blocks_of_a_job_that_never_came_to_be_expire(store):
    Arguments(store, Keyring(KEY), None).put("0" * 16, 0, b"P")
    assert 0 < store.ttl(keys.args("0" * 16)) <= DAY_S
