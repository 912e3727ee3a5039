"""Messages that nobody has: taken out of a queue by a worker that died before it noted that.

They are stolen here, from queues of which the worker learns only then.
"""

import time

import pytest
import redis

import nbqueue as nq
from nbqueue.store import signing

pytestmark = pytest.mark.timeout(120)

SOON_S = 30.0
"""Two looks; a busy machine makes one in six seconds."""


@pytest.fixture(scope="module")
def broker(servers):
    return servers.redis("s3cret-w0rd")


@pytest.fixture(scope="module")
def key():
    return signing.generate()


@pytest.fixture(scope="module")
def worker(servers, broker, key):
    return servers.worker(broker, key, "-Q", "elsewhere", "-c", "2")


@pytest.fixture
def client(broker, key, worker):
    with nq.connect(broker, key=key) as made:
        yield made


@pytest.fixture
def store(broker):
    with redis.Redis.from_url(broker) as made:
        yield made


@pytest.fixture
def queue(tmp_path):
    return tmp_path.name


@pytest.fixture
def consume(client, queue):
    """Has the worker take from the test's queue, until its end."""

    def begin():
        nq.control.add_consumer(queue)

    yield begin
    nq.control.cancel_consumer(queue)


@pytest.fixture
def leave(client, queue, until):
    """Has the worker take no more from the test's queue; one that is busy answers late."""
    return lambda: until(lambda: len(nq.control.cancel_consumer(queue)))


@pytest.fixture
def steal(store, queue, until):
    """Takes a message out of the test's queue, the oldest first."""

    def steal(priority=0):
        name = f"{queue}\x06\x16{priority}" if priority else queue
        return until(lambda: store.rpop(name))

    return steal


def double(x):
    return 2 * x


def begins(folder, x):
    import pathlib

    with (pathlib.Path(folder) / str(x)).open("a") as path:
        path.write("x")
    return x


def test_a_single_call_is_sent_again(queue, consume, steal, worker, until):
    job = nq.task(double, queue=queue).submit(21)
    steal()
    consume()
    stolen = time.monotonic()
    assert job.result(60) == 42
    assert time.monotonic() - stolen < SOON_S
    # (It says so after it has sent it.)
    until(lambda: "a message got lost; its 1 items are sent again" in worker[1].read_text())


def test_a_map_is_sent_again_with_its_priority(queue, consume, steal, store, until):
    job = nq.task(double, queue=queue, priority=5).map(range(100))
    steal(priority=5)
    until(lambda: store.llen(f"{queue}\x06\x165"))
    consume()
    assert job.result(30) == [2 * i for i in range(100)]


def test_what_is_recorded_is_not_run_again(queue, consume, steal, store, tmp_path, until):
    """A chunk of several is lost; the others have been run."""
    job = nq.task(begins, queue=queue, chunksize=5).map([str(tmp_path)] * 20, range(20))
    nq.control.add_consumer(queue)
    assert job.wait(20)
    job = nq.task(begins, queue=queue, chunksize=5).map([str(tmp_path)] * 20, range(20, 40))
    nq.control.cancel_consumer(queue)
    until(lambda: sum(job.counts().values()) == 20)
    consume()
    assert job.result(30) == list(range(20, 40))
    assert {path.read_text() for path in tmp_path.iterdir()} == {"x"}


def test_what_a_message_passed_on_is_missed_while_the_message_is_held(
    queue, consume, steal, store, tmp_path, until
):
    """Its item takes hours; the others were in messages of which one is lost."""

    def waits(folder, gate, x):
        import pathlib
        import time

        folder = pathlib.Path(folder)
        (folder / f"began-{x}").touch()
        while x < 1 and not (folder / gate).exists():
            time.sleep(0.01)
        return x

    consume()
    task = nq.task(waits, queue=queue)
    other = task.submit(str(tmp_path), "other", -1)
    until(lambda: (tmp_path / "began--1").exists())
    job = task.map([str(tmp_path)] * 30, ["gate"] * 30, range(30))
    try:
        until(lambda: (tmp_path / "began-0").exists())  # now both processes are busy
        steal()
        (tmp_path / "other").touch()
        until(lambda: job.counts()["SUCCESS"] == 29)
        assert not job[0].done()
    finally:
        (tmp_path / "gate").touch()
        (tmp_path / "other").touch()
    assert job.result(30) == list(range(30))
    assert other.result(10) == -1


def test_a_retry_is_sent_again(queue, consume, leave, steal, tmp_path):
    def fails(folder, x):
        import pathlib

        if not (pathlib.Path(folder) / "mended").exists():
            raise ValueError(x)
        return x

    consume()
    job = nq.task(fails, queue=queue).map([str(tmp_path)] * 5, range(5))
    assert job.wait(20)
    leave()
    (tmp_path / "mended").touch()
    job.retry()
    steal()
    consume()
    assert job.result(30) == list(range(5))


def test_an_item_that_was_put_off_is_sent_again(queue, consume, leave, steal, until, gate):
    """With its count, and with the arguments that it is to have now."""

    @nq.task(queue=queue, bind=True, max_retries=3)
    def again(self, x):
        while not gate.exists():
            time.sleep(0.01)
        if self.request.retries < 1:
            raise self.retry(countdown=2, args=(x + 1,) if x > 1 else None)
        return self.request.retries, x

    consume()
    job = again.map([1, 2])
    until(lambda: job.counts()["STARTED"] == 2)
    leave()
    gate.touch()
    steal()
    consume()
    assert job.result(30) == [(1, 1), (1, 3)]


def test_a_stage_of_a_workflow_is_sent_again(queue, consume, steal, until):
    task = nq.task(double, queue=queue)
    job = nq.run(task.s(1) | task.s() | task.s())
    steal()
    consume()
    assert job.result(30) == 8


def test_what_waits_in_a_queue_is_not_sent_again(queue, client, store, until, worker):
    """Nor what is held for longer than all looks, nor what is kept."""
    task = nq.task(double, queue=queue, name="patient")
    jobs = [
        task.submit(1),
        task.map(range(10)),
        task.apply_async((3,), countdown=8),
        nq.run(task.s(1) | task.s()),
    ]
    until(lambda: store.llen(queue) == 4)  # eight seconds, and many looks, later
    lost = [line for line in worker[1].read_text().splitlines() if "got lost" in line]
    assert not [line for line in lost if "patient" in line]
    for job in jobs:
        job.cancel()
    store.delete(queue)


def test_a_long_queue_hides_nothing_but_what_may_be_in_it(queue, consume, steal, store, until):
    """A job that was lost before all of a long queue was submitted is found all the same."""
    lost = nq.task(double, queue=queue).submit(1)
    steal()
    until(lambda: store.zscore("nbq:active", lost.id))
    store.hset(f"nbq:{{{lost.id}}}:meta", "submitted", time.time() - 60)
    task = nq.task(double, queue=queue)
    jobs = [task.submit(i) for i in range(1_200)]
    # (At the end of a long queue it is not seen, and is sent again at times.)
    until(lambda: store.llen(queue) >= 1_201)
    assert steal  # the others are all still there
    consume()
    assert lost.result(60) == 2
    assert nq.gather(*jobs, timeout=60) == [2 * i for i in range(1_200)]
