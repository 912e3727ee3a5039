"""Old messages that come again: what was signed for one place and time does nothing in another."""

import json
from base64 import b64decode
from dataclasses import replace

import pytest
import redis

import nbqueue as nq
from nbqueue.core.errors import BadSignature
from nbqueue.store import keys, rejections, signing
from nbqueue.store.broker.message import Message, decode
from nbqueue.store.values.arguments import pack_call
from nbqueue.worker.executor import _OLD_S
from tests.e2e.conftest import _until

KEY = signing.generate()
QUARRY = "quarry"


@pytest.fixture(scope="module")
def url(servers):
    found = servers.redis("s3cret-w0rd")
    servers.worker(found, KEY, "-c", "1")
    return found


@pytest.fixture
def client(url):
    with nq.connect(url, key=KEY) as made:
        yield made


@pytest.fixture
def store(url):
    with redis.Redis.from_url(url) as made:
        made.delete(QUARRY)
        yield made


@pytest.fixture
def append(tmp_path):
    """A task that leaves a line for each time it runs; its messages wait for whoever moves them."""
    path = str(tmp_path / "ran")

    def append(i):
        with open(path, "a") as file:  # noqa: PTH123
            file.write(f"{i}\n")
        return i

    made = nq.task(append, queue=QUARRY)
    made.ran = lambda: (tmp_path / "ran").read_text().split() if (tmp_path / "ran").exists() else []
    return made


def deliver(store, text):
    """Put a message before the worker, and wait until it is done with it and all that it passed on.

    A slow worker passes on the rest of a job, to the queue that no worker listens on.
    """
    while text:
        store.lpush("celery", text)
        _until(lambda: not store.llen("celery") and not store.hlen("nbq:unacked"))
        nq.task(int).submit(1).result(timeout=20)  # the worker's one process has ended the other
        text = store.rpop(QUARRY)


def grow_old(client, job):
    """Wait until a worker asks whether a job's messages are still wanted."""
    _until(lambda: client.now() - job._live.state.spec.submitted > 2 * _OLD_S)


def test_an_old_message_does_nothing_to_its_own_job_when_that_has_ended(client, store, append):
    job = append.map(range(3))
    text = store.rpop(QUARRY)
    deliver(store, text)
    assert job.result(timeout=20) == [0, 1, 2]
    length = store.xlen(keys.log(job.id))
    grow_old(client, job)
    deliver(store, text)
    assert append.ran() == ["0", "1", "2"]
    assert store.xlen(keys.log(job.id)) == length


def test_an_old_message_does_nothing_when_its_job_was_forgotten(client, store, append):
    job = append.map(range(3))
    text = store.rpop(QUARRY)
    job.forget()
    deliver(store, text)
    assert append.ran() == []
    assert not store.exists(keys.log(job.id))


def test_an_old_message_of_a_job_that_has_expired_does_nothing_and_that_is_counted(
    client, store, append
):
    job = append.submit(7)
    store.rpop(QUARRY)
    job.cancel()
    store.delete(*store.keys(keys.base(job.id) + "*"))
    old = replace(job._live.state.spec, submitted=client.now() - 25 * 3600, id="0123456789abcdef")
    old = replace(old, route=replace(old.route, queue=None))
    before = rejections.read(store).counts.get("message of a job that is gone", 0)
    opening = client.joblog.opening(old, pack_call((7,), {}, client.blobs, ("i",)))
    client.publisher.send(Message(opening, 0, 1, whole=True))
    _until(
        lambda: rejections.read(store).counts.get("message of a job that is gone", 0) == before + 1
    )
    assert append.ran() == []
    assert not store.exists(keys.log(old.id))


def test_a_message_of_an_earlier_round_does_nothing(client, store, tmp_path):
    path = str(tmp_path / "ran")

    def flaky(i):
        with open(path, "a") as file:  # noqa: PTH123
            file.write(f"{i}\n")
        if i == 1:
            raise ValueError(i)
        return i

    job = nq.task(flaky, queue=QUARRY).map(range(3))
    text = store.rpop(QUARRY)
    deliver(store, text)
    job.wait(20)
    job.retry()
    again = store.rpop(QUARRY)
    assert decode(client.keyring, _envelope(again)).round == 2
    # Until then it is taken for one that is wanted: it would run, and not be recorded.
    grow_old(client, job)
    deliver(store, text)
    assert (tmp_path / "ran").read_text().split() == ["0", "1", "2"]
    deliver(store, again)
    assert (tmp_path / "ran").read_text().split() == ["0", "1", "2", "1"]


def test_arguments_of_another_job_or_place_are_refused(client, store, append):
    one, text = append.map(range(3)), store.rpop(QUARRY)
    other = append.map(range(5, 8))
    store.rpop(QUARRY)
    store.hset(keys.args(one.id), "0", store.hget(keys.args(other.id), "0"))
    deliver(store, text)
    assert {type(e) for e in one.result(timeout=20, errors="return")} == {BadSignature}
    assert append.ran() == []
    other.cancel()


def test_a_log_is_no_other_jobs(client, store, append):
    jobs = []
    for start in (0, 10):
        jobs.append(append.map(range(start, start + 3)))
        deliver(store, store.rpop(QUARRY))
        jobs[-1].result(timeout=20)
    one, other = jobs
    stolen = store.xrange(keys.log(other.id))
    store.delete(keys.log(one.id))
    for entry_id, entry in stolen:
        store.xadd(keys.log(one.id), entry, id=entry_id)
    with client.again() as reader, pytest.raises(nq.Expired, match="another key"):
        reader.job(one.id)
    assert rejections.read(store).counts["log record"] >= 1


def _envelope(text):
    return json.loads(b64decode(json.loads(text)["body"]))[0][0]
