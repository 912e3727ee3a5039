"""How long a job is kept: ``result_expires``, and ``forget``. Times to live are looked at, not
waited for."""

from datetime import timedelta

import pytest

import nbqueue as nq
from nbqueue.store import keys

WEEK_S = 7 * 24 * 3600


def double(x):
    return 2 * x


def hold(gate):
    import pathlib
    import time

    while not pathlib.Path(gate).exists():
        time.sleep(0.01)


@pytest.fixture
def connected(cluster, monkeypatch):
    """Connects to the module's cluster as to one elsewhere."""
    made = []

    def connect(**options):
        client = nq.connect(cluster.broker_url, key=cluster._address.key, **options)
        made.append(client)
        return client

    yield connect
    for client in made:
        client.close()


def left_s(client, job):
    """Seconds until each of a job's keys expires; -1 for never."""
    store = client.joblog._store
    found = list(store.scan_iter(keys.base(job.id) + ":*"))
    return {key.decode().rpartition("}:")[2]: store.ttl(key) for key in found}


def test_a_job_is_kept_for_a_week_from_its_end(connected):
    client = connected()
    job = nq.task(double).map([1, 2])
    job.result(20)
    assert set(left_s(client, job)) == {"meta", "log", "args", "done:1"}
    assert all(WEEK_S - 60 < left <= WEEK_S for left in left_s(client, job).values())


@pytest.mark.parametrize("expires", [3600, 3600.0, timedelta(hours=1)])
def test_or_for_as_long_as_the_client_says(connected, expires):
    client = connected(result_expires=expires)
    many, one = nq.task(double).map([1, 2], name='x,"result_expires":5'), nq.task(double).submit(1)
    many.result(20)
    one.result(20)
    client.follower.open_now()
    for job in (many, one):
        assert all(3540 < left <= 3600 for left in left_s(client, job).values())


def test_a_cancelled_job_and_an_empty_one_expire_too(connected):
    client = connected(result_expires=3600)
    job = nq.task(double).with_options(queue="nobody").map([1, 2])
    job.cancel()
    for ended in (job, nq.task(double).map([])):
        assert all(3540 < left <= 3600 for left in left_s(client, ended).values())


def test_a_job_that_runs_does_not_expire(connected, gate, until):
    client = connected(result_expires=1)
    job = nq.task(hold).map([gate])
    until(lambda: job.counts()["STARTED"])
    assert {left_s(client, job)[name] for name in ("meta", "log", "args")} == {-1}
    gate.touch()  # (what came of it may be gone before it is read here)
    until(lambda: not left_s(client, job))
    with pytest.raises(nq.UnknownJob):
        client.job(job.id)


def test_a_retry_is_kept_and_expires_anew(connected, tmp_path):
    client = connected(result_expires=3600)

    def fails(path):
        import pathlib

        if not pathlib.Path(path).exists():
            raise ValueError(path)

    job = nq.task(fails).map([tmp_path / "there"])
    job.wait()
    (tmp_path / "there").touch()
    job.retry().result(20)
    assert all(3540 < left <= 3600 for left in left_s(client, job).values())


def test_a_forgotten_job_is_gone(connected):
    client = connected()
    job = nq.task(double).map([1, 2])
    job.result(20)
    job.forget()
    assert set(left_s(client, job)) == {"meta"}  # so that no straggler opens it again
    with pytest.raises((nq.UnknownJob, nq.Expired)):
        client.job(job.id)


@pytest.mark.parametrize("wrong", [0, -1, 0.5, WEEK_S + 1, "1h", True, timedelta(days=8)])
def test_times_that_make_no_sense_are_refused(connected, wrong):
    with pytest.raises(nq.UsageError, match="result_expires"):
        connected(result_expires=wrong)
