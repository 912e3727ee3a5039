"""Jobs that begin later: ``countdown`` and ``eta``, on Redis and RabbitMQ."""

import datetime as dt
import os
import signal
import time

import pytest

import nbqueue as nq
from nbqueue.core.errors import UsageError


@pytest.fixture(scope="module")
def worker(servers, wires):
    return servers.worker(wires.broker, wires.key, "-c", "2", backend=wires.backend)


@pytest.fixture(autouse=True)
def client(wires, worker):
    with nq.connect(wires.broker, backend=wires.backend, key=wires.key) as made:
        yield made


@nq.task
def when(x=0):
    return time.time()


def test_a_call_begins_after_its_countdown():
    waits = when.apply_async(countdown=60)
    assert waits.state == "PENDING"
    assert f"; begins at {time.localtime().tm_year}-" in repr(waits)
    waits.cancel()
    asked = time.time()
    job = when.apply_async(countdown=0.7)
    assert 0.69 <= job.result(30) - asked < 20


def test_a_map_begins_after_its_countdown_with_all_its_items():
    asked = time.time()
    job = when.with_options(countdown=0.5).map(range(200))
    begun = job.result(20)
    assert len(begun) == 200
    assert min(begun) - asked >= 0.49


def test_an_eta_is_a_moment_whatever_its_time_zone(client):
    east = dt.timezone(dt.timedelta(hours=9))
    moment = dt.datetime.now(east) + dt.timedelta(seconds=0.6)
    assert when.apply_async(eta=moment).result(20) >= moment.timestamp() - 0.01
    naive = moment.astimezone(dt.timezone.utc).replace(tzinfo=None)
    assert client.timestamp(naive) == pytest.approx(moment.timestamp())


def test_an_eta_in_the_past_begins_now():
    past = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=3)
    assert when.apply_async(eta=past).result(20) > 0


def test_a_waiting_job_can_be_cancelled_and_stays_cancelled(until, tmp_path):
    mark = tmp_path / "ran"
    job = nq.task(lambda path: path.touch()).apply_async((mark,), countdown=0.6)
    begun = time.monotonic()
    assert job.cancel() == 1
    assert job.state == "REVOKED"
    until(lambda: time.monotonic() - begun > 1.0)  # its time comes, and nothing happens
    assert when.submit().result(20)
    assert not mark.exists()


def test_a_sequel_waits_for_its_eta_too(client):
    from nbqueue.client import dispatch
    from nbqueue.client.dispatch import Submission
    from nbqueue.client.options import TaskOptions

    first = when.submit()
    asked = time.time()
    options = TaskOptions().updated({"countdown": 0.6})
    sub = Submission("when", client.code.address(when.function), ("x",), options, after=(first.id,))
    second = dispatch.submit_call(client, sub, (), {})
    assert second.result(20) - asked >= 0.59


def test_a_countdown_survives_the_death_of_the_worker_that_was_there(
    client, servers, wires, worker
):
    job = when.apply_async(countdown=1.5)
    process, _ = worker
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    servers.worker(wires.broker, wires.key, "-c", "2", backend=wires.backend)
    assert job.result(30)


@pytest.mark.parametrize(
    "options",
    [
        {"countdown": -1},
        {"countdown": float("nan")},
        {"countdown": "5"},
        {"eta": 5},
        {"eta": dt.date(2030, 1, 1)},
        {"countdown": 1, "eta": dt.datetime(2030, 1, 1, tzinfo=dt.timezone.utc)},
    ],
)
def test_what_is_no_time_is_refused(options):
    with pytest.raises(UsageError):
        when.apply_async(**options)
