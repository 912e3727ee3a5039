"""A Redis on TCP with a password, and workers by `nbqueue worker`: no embedded cluster here.

Also what must not work: workers with another key, and messages that somebody changed.
"""

import base64
import json
import time

import numpy as np
import pytest
import redis

import nbqueue as nq
from nbqueue.store import signing

KEY = signing.generate()
PASSWORD = "s3cret-w0rd"


@pytest.fixture(scope="module")
def url(servers):
    return servers.redis(PASSWORD)


@pytest.fixture(scope="module")
def worker(servers, url):
    return servers.worker(url, KEY, "-c", "2", "-Q", "celery,other")


@pytest.fixture
def client(url, worker):
    with nq.connect(url, key=KEY) as made:
        yield made


@nq.task
def double(x):
    return 2 * x


@nq.task
def inverse(x):
    return 1 / x


@pytest.mark.usefixtures("client")
def test_everything_works_over_tcp():
    assert double.submit(21).result(20) == 42
    assert double.map(range(1_000)).result(20) == [2 * i for i in range(1_000)]
    job = inverse.map([1, 0, 2])
    assert job.wait(20)
    assert isinstance(job.exceptions()[1], ZeroDivisionError)
    assert job.counts()["SUCCESS"] == 2
    assert len(job.to_frame()) == 3
    assert nq.job(job.id).result(5, errors="drop") == [1.0, 0.5]


def test_large_values_travel_through_the_store(url, client):
    array = np.arange(800_000.0)
    with redis.Redis.from_url(url) as store:
        before = set(store.keys("nbq:blob:*"))
        found = nq.task(lambda i: array + i).map([1, 2, 3]).result(30)
        after = set(store.keys("nbq:blob:*"))
    assert all((a == array + i).all() for i, a in enumerate(found, 1))
    assert len(after - before) == 4  # the captured one, once, and three results
    assert nq.task(lambda x: len(array)).map([1, 2]).result(20) == [800_000] * 2
    with redis.Redis.from_url(url) as store:
        assert set(store.keys("nbq:blob:*")) == after


def test_a_value_that_was_put_travels_through_the_store_once(url, client):
    ref = nq.put(np.arange(800_000.0))
    with redis.Redis.from_url(url) as store:
        before = set(store.keys("nbq:blob:*"))
        assert nq.put(np.arange(800_000.0)) == ref
        assert nq.task(lambda a, k: float(a[k])).starmap([(ref, 1), (ref, 2)]).result(20) == [1, 2]
        assert nq.task(lambda: len(ref)).submit().result(20) == 800_000
        assert set(store.keys("nbq:blob:*")) == before
    assert ref.get()[-1] == 799_999


@pytest.mark.usefixtures("client")
def test_queues_are_separate():
    assert double.with_options(queue="other").map([1, 2]).result(20) == [2, 4]
    nowhere = double.apply_async((1,), queue="nobody listens")
    assert nowhere.wait(0.3) is False
    assert nowhere.cancel() == 1
    with pytest.raises(BaseException, match="cancelled"):
        nowhere.result(20)


@pytest.mark.usefixtures("client")
def test_terminate_works_over_tcp(tmp_path, until):
    def hang(path):
        import pathlib
        import time

        pathlib.Path(path).touch()
        while True:
            time.sleep(0.01)

    job = nq.task(hang).submit(str(tmp_path / "began"))
    until(lambda: job.state == "STARTED")
    job.cancel(terminate=True)
    assert job.wait(20)
    assert double.map(range(20)).result(20) == [2 * i for i in range(20)]


def test_neither_key_nor_password_is_in_the_workers_log_or_the_store(url, client, worker):
    assert double.submit(1).result(20) == 2
    log = worker[1].read_text()
    assert PASSWORD not in log
    assert KEY not in log
    with redis.Redis.from_url(url) as store:
        for key in store.keys("nbq:*"):
            assert KEY.encode() not in (store.dump(key) or b"")


def test_the_worker_is_named_in_the_frame(client, worker):
    job = double.map([1])
    assert job.wait(20)
    assert job.to_frame()["worker"][0]


# -- what must not work --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def strangers(servers):
    """A Redis whose only worker has another key."""
    url = servers.redis(PASSWORD)
    _, log = servers.worker(url, signing.generate(), "-c", "1", name="stranger")
    return url, log


@pytest.mark.parametrize(
    "send",
    [lambda: double.submit(1), lambda: double.map([1, 2, 3]), lambda: double.submit("x" * 100_000)],
    ids=["call", "map", "large call"],
)
def test_a_worker_with_another_key_is_an_error_and_no_hang(strangers, send):
    url, log = strangers
    with nq.connect(url, key=KEY):
        for _ in range(5):
            job = send()
            with pytest.raises(nq.BadSignature, match="NBQUEUE_KEY"):
                job.result(30)
            assert job.state == "FAILURE"
            assert job.to_frame()["error"].tolist() == ["BadSignature"] * len(job)
    assert "refused a message" in log.read_text()
    assert KEY not in log.read_text()


def test_when_the_key_is_put_right_a_retry_runs(strangers, servers):
    url, _ = strangers
    with nq.connect(url, key=KEY):
        job = double.with_options(queue="celery").map([1, 2])
        with pytest.raises(nq.BadSignature):
            job.result(30)
        # The stranger listens to `celery` only; a retry goes to the queue of the job, so it
        # has to be gone first.
        stranger = next(p for p in servers._processes if "stranger" in " ".join(map(str, p.args)))
        stranger.terminate()
        stranger.wait(60)  # three seconds, where nothing else runs
        servers.worker(url, KEY, "-c", "1", name="friend")
        assert job.retry().result(20) == [2, 4]


def test_keys_can_be_rotated(servers, url, worker):
    new = signing.generate()
    rotated = double.with_options(queue="rotated")
    servers.worker(url, f"{new},{KEY}", "-c", "1", "-Q", "rotated", name="rotated")
    with nq.connect(url, key=f"{KEY},{new}"):  # first everybody learns to accept the new key
        assert rotated.map([1, 2]).result(20) == [2, 4]
        assert rotated.submit(1).result(20) == 2
    with nq.connect(url, key=f"{new},{KEY}"):  # then they sign with it
        assert rotated.map([1, 2]).result(20) == [2, 4]
    with nq.connect(url, key=new):
        assert rotated.map([1, 2]).result(20) == [2, 4]
    with nq.connect(url, key=KEY):  # one that was forgotten is told, and does not wait for ever
        with pytest.raises(nq.BadSignature):
            rotated.map([1, 2]).result(30)
        with pytest.raises(nq.BadSignature):
            rotated.submit(1).result(30)


def _tampered(raw, change):
    """A message as it lies in the queue, with its envelope changed."""
    message = json.loads(raw)
    args, kwargs, embed = json.loads(base64.b64decode(message["body"]))
    args[0] = change(args[0])
    message["body"] = base64.b64encode(json.dumps([args, kwargs, embed]).encode()).decode()
    message["properties"]["delivery_tag"] = f"tampered-{time.monotonic()}"
    return json.dumps(message)


def _flip_end(envelope):
    raw = bytearray(base64.b64decode(envelope))
    raw[-1] ^= 1
    return base64.b64encode(bytes(raw)).decode()


def _flip_signature(envelope):
    raw = bytearray(base64.b64decode(envelope))
    raw[0] ^= 1
    return base64.b64encode(bytes(raw)).decode()


@pytest.mark.parametrize(
    "change",
    [_flip_end, _flip_signature, lambda e: e[:50], lambda e: "", lambda e: "é", lambda e: None],
    ids=["body", "signature", "cut", "empty", "letters", "nothing"],
)
def test_a_changed_message_is_refused_and_the_worker_serves_on(url, client, worker, change):
    with redis.Redis.from_url(url) as store:
        parked = double.with_options(queue="parked").apply_async(("x",), name="parked")
        raw = store.lpop("parked")
        store.lpush("celery", _tampered(raw, change))
        assert double.submit(2).result(20) == 4
        assert double.map(range(4)).result(20) == [0, 2, 4, 6]
        store.lpush("celery", raw)
    # The original is as good as ever, unless the change was refused in its name first.
    assert parked.wait(20)
    assert parked.result(0, errors="return") == "xx" or isinstance(
        parked.exceptions()[0], nq.BadSignature
    )


def test_a_function_that_was_changed_in_the_store_never_runs(url, client):
    def fresh(x):
        return "never seen by a worker", x

    with redis.Redis.from_url(url) as store:
        before = set(store.keys("nbq:fn:*"))
        job = nq.task(fresh).with_options(queue="parked").map([1])
        (key,) = set(store.keys("nbq:fn:*")) - before
        value = bytearray(store.get(key))
        value[-2] ^= 1
        store.set(key, bytes(value), keepttl=True)
        store.lpush("celery", store.lpop("parked"))
        with pytest.raises(nq.BadSignature, match="submit it again"):
            job.result(20)


def _changed(store, key):
    """Flip a bit of what a key holds: a string, or the last part of a list."""
    if store.type(key) == b"string":
        value = bytearray(store.get(key))
        value[-2] ^= 1
        store.set(key, bytes(value), keepttl=True)
    else:
        value = bytearray(store.lindex(key, -1))
        value[-2] ^= 1
        store.lset(key, -1, bytes(value))


@pytest.mark.parametrize("harm", [_changed, lambda store, key: store.delete(key)])
@pytest.mark.parametrize("kind", ["fn", "blob"])
def test_code_that_was_damaged_or_evicted_is_whole_when_it_is_submitted_again(
    url, client, harm, kind
):
    weight = f"{harm} {kind}" * 100_000  # large: it travels as a blob of its own

    def fresh(x):
        return len(weight), x

    task = nq.task(fresh)
    with redis.Redis.from_url(url) as store:
        before = set(store.keys(f"nbq:{kind}:*"))
        parked = task.with_options(queue="parked").map([1])
        (key,) = set(store.keys(f"nbq:{kind}:*")) - before
        harm(store, key)
        store.lpush("celery", store.lpop("parked"))
        with pytest.raises((nq.BadSignature, nq.Expired)):
            parked.result(20)
    assert task.map([2, 3]).result(20) == [(len(weight), 2), (len(weight), 3)]


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("harm", [_changed, lambda store, key: store.delete(key)])
def test_an_argument_that_was_damaged_or_evicted_is_whole_when_it_is_submitted_again(
    url, client, harm
):
    text = f"{harm}" * 100_000
    with redis.Redis.from_url(url) as store:
        before = set(store.keys("nbq:blob:*"))
        parked = double.with_options(queue="parked").submit(text)
        (key,) = set(store.keys("nbq:blob:*")) - before
        harm(store, key)
        store.lpush("celery", store.lpop("parked"))
        with pytest.raises((nq.BadSignature, nq.Expired)):
            parked.result(20)
    assert double.submit(text).result(20) == 2 * text


def test_arguments_that_were_changed_in_the_store_are_never_read(url, client):
    with redis.Redis.from_url(url) as store:
        job = double.with_options(queue="parked").map(["a", "b"])
        key = f"nbq:{{{job.id}}}:args"
        value = bytearray(store.hget(key, "0"))
        value[-2] ^= 1
        store.hset(key, "0", bytes(value))
        store.lpush("celery", store.lpop("parked"))
    with pytest.raises(nq.BadSignature):
        job.result(20)


def test_a_log_entry_that_was_forged_is_ignored(url, client):
    job = double.map([1, 2])
    assert job.wait(20)
    with redis.Redis.from_url(url) as store:
        # (A slow worker says that an item has begun, and may write an item at a time.)
        log = store.xrange(f"nbq:{{{job.id}}}:log")
        outcomes = [(entry_id, entry) for entry_id, entry in log if entry[b"k"] == b"outcomes"]
        assert outcomes
        for entry_id, entry in outcomes:
            forged = bytearray(entry[b"b"])
            forged[-3] ^= 1
            store.xdel(f"nbq:{{{job.id}}}:log", entry_id)
            store.xadd(
                f"nbq:{{{job.id}}}:log", {b"k": b"outcomes", b"b": bytes(forged), b"s": entry[b"s"]}
            )
    with nq.connect(url, key=KEY) as other:
        assert other.job(job.id).counts()["SUCCESS"] == 0
        assert other.joblog.bad_signatures >= 1


@pytest.mark.usefixtures("client")
def test_what_tasks_put_out_comes_from_celerys_own_workers_too():
    def f():
        import logging
        import subprocess
        import warnings

        print("one")
        subprocess.run(["echo", "two"], check=True)
        logging.getLogger("mine").warning("three")
        warnings.warn("four", stacklevel=1)

    job = nq.task(f).submit()
    job.result(20)
    first, second = job.outputs[0]
    assert first["text"] == "one\ntwo\n"
    assert second["text"].startswith("three\n")
    assert "UserWarning: four" in second["text"]
