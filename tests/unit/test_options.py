"""Options of a task, and what is no option."""

import concurrent.futures
import datetime as dt
import re

import numpy as np
import pandas as pd
import pytest

import nbqueue as nq
from nbqueue.client.options import TaskOptions, check_count, check_timeout, rate_per_s
from nbqueue.core.errors import UsageError
from nbqueue.store.connection.connection import redact, store_url
from nbqueue.worker.process import environment


@pytest.mark.parametrize("size", [1, 10**9, np.int64(5), np.uint8(3)])
def test_a_chunk_size_is_any_positive_whole_number(size):
    options = TaskOptions().updated({"chunksize": size})
    assert options.chunksize == size
    assert type(options.chunksize) is int


@pytest.mark.parametrize("size", [0, -1, True, 1.0, "3", [], np.float64(2), np.int64(0)])
def test_anything_else_is_refused_with_the_value(size):
    with pytest.raises(UsageError, match="chunksize must be"):
        TaskOptions().updated({"chunksize": size})
    with pytest.raises(ValueError, match="n must be"):
        check_count(size, "n")


@pytest.mark.parametrize("rate", ["fast", "10/x", "-1/s", -1, True, [], "nan", "1/s/m", "1/0"])
def test_what_is_no_rate_is_refused(rate):
    with pytest.raises(UsageError, match="rate_limit must be"):
        TaskOptions().updated({"rate_limit": rate})


@pytest.mark.parametrize(
    ("rate", "found"),
    [("10/s", 10), ("30/m", 0.5), ("3600/h", 1), (4, 4), ("7", 7), ("0", None), (None, None)],
)
def test_a_rate_is_read_as_celery_reads_it(rate, found):
    assert rate_per_s(rate) == found


@pytest.mark.parametrize("expires", [0, -1, float("inf"), "60", True, dt.date(2030, 1, 1)])
def test_what_is_no_expiry_is_refused(expires):
    with pytest.raises(UsageError, match="expires must be"):
        TaskOptions().updated({"expires": expires})


@pytest.mark.parametrize("concurrency", [0, -1, 1.5, "2", True])
def test_what_is_no_concurrency_is_refused(concurrency):
    with pytest.raises(UsageError, match="concurrency must be"):
        TaskOptions().updated({"concurrency": concurrency})


def test_an_unknown_option_is_refused_with_those_there_are():
    with pytest.raises(TypeError, match=r"option 'nmae' \(did you mean 'name'\?\); there are"):
        TaskOptions().updated({"nmae": "x"})


def test_options_are_changed_on_a_copy():
    one = TaskOptions(queue="a")
    assert one.updated({"priority": 3}) == TaskOptions(queue="a", priority=3)
    assert one == TaskOptions(queue="a")


@pytest.mark.parametrize(
    "url",
    [
        "redis://:s3cret@host:6379/0",
        "redis://user:s3cret@host",
        "rediss://user:p@s3cret@host/1?ssl_cert_reqs=none",
        "redis://user:s3cret:with/slash@host",
        "amqp://user:s3cret@one//;amqp://user:s3cret@two//",
        "redis+socket:///run/redis.sock?password=s3cret&virtual_host=2",
        "connection to redis://:s3cret@host refused, and to amqp://u:s3cret@other too",
    ],
)
def test_a_url_is_shown_without_its_password(url):
    shown = redact(url)
    assert "s3cret" not in shown
    assert "p@" not in shown
    assert "***" in shown
    for word in ("host", "one", "two", "other", "virtual_host"):
        assert (word in shown) is (word in url)


def test_a_url_without_a_password_is_shown_as_it_is():
    for url in ("redis://host:6379/0", "redis+socket:///a/b@c.sock", "amqp://host//"):
        assert redact(url) == url


def test_celerys_urls_of_a_store_are_understood():
    assert store_url("redis+socket:///a/b.sock?virtual_host=2") == "unix:///a/b.sock?db=2"
    assert store_url("rediss://host/1?ssl_cert_reqs=none") == "rediss://host/1?ssl_cert_reqs=none"
    with pytest.raises(UsageError, match="backend='redis") as caught:
        store_url("amqp://user:s3cret@host")
    assert "s3cret" not in str(caught.value)


def test_a_misspelt_option_says_which_is_meant():
    with pytest.raises(TypeError, match=r"'prioriti' \(did you mean 'priority'\?\)"):
        nq.task(prioriti=3)


def test_a_soft_limit_beyond_the_hard_one_is_refused():
    with pytest.raises(UsageError, match="soft_time_limit is 10 s and time_limit 5 s"):
        nq.task(soft_time_limit=10, time_limit=5)
    task = nq.task(soft_time_limit=10)(len)
    with pytest.raises(UsageError, match="must be the shorter one"):
        task.with_options(time_limit=1)


def test_one_argument_that_is_no_tuple_of_them_says_how_it_is_written():
    task = nq.task(len)
    for send in (task.apply_async, task.s().apply_async):
        with pytest.raises(TypeError, match=r"not 1: for one, args=\(1,\)"):
            send(1)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("", "''"),
        ("127.0.0.1:16399", "'127.0.0.1:16399'"),
        ("guest:s3cret@host:5672", "'guest:***@host:5672'"),
        ("http://user:s3cret@127.0.0.1", "'http://user:***@127.0.0.1'"),
        ("://host", "'://host'"),
    ],
)
def test_what_is_no_brokers_url_is_shown_with_what_one_looks_like(given, shown, monkeypatch):
    said = f"{re.escape(shown)} is no broker URL: it begins with redis://.*redis://127.0.0.1:6379/0"
    for connect in (
        lambda: nq.connect(given),
        lambda: nq.connect(given, backend="redis://127.0.0.1:1"),
        lambda: environment.urls(given or "no URL"),
    ):
        with pytest.raises(UsageError, match="is no broker URL") as caught:
            connect()
        assert "s3cret" not in str(caught.value)
    with pytest.raises(UsageError, match=said):
        nq.connect(given)
    if given:
        monkeypatch.setenv("NBQUEUE_BROKER", given)
        with pytest.raises(UsageError, match=said):
            nq.connect()


def test_a_queue_has_a_name():
    with pytest.raises(UsageError, match="queue must be the name of a queue, not ''"):
        nq.task(queue="")
    with pytest.raises(UsageError, match="queue must be the name of a queue, not ''"):
        nq.task(len).with_options(queue="")


@pytest.mark.parametrize("timeout", ["a", [], True, dt.timedelta(seconds=1)])
def test_what_is_no_timeout_is_refused_with_the_value(timeout):
    said = re.escape(f"wait for as long as it takes, not {timeout!r}")
    with pytest.raises(UsageError, match=said):
        check_timeout(timeout)
    with pytest.raises(UsageError, match=said):
        nq.wait([], timeout)
    with pytest.raises(UsageError, match=said):
        nq.as_completed([], timeout)


def test_futures_of_another_executor_are_waited_for_too():
    other = concurrent.futures.Future()
    other.set_result(1)
    assert nq.wait([other]).done == {other}
    assert list(nq.as_completed([other])) == [other]
    assert nq.gather(other) == [1]


@pytest.mark.parametrize("wait", [nq.wait, nq.as_completed, nq.gather])
@pytest.mark.parametrize(("jobs", "given"), [(5, 5), ("job", "job"), ([5], 5), (["job"], "job")])
def test_what_is_no_job_is_not_waited_for(wait, jobs, given):
    said = re.escape(f"nq.{wait.__name__} takes jobs and futures, not {given!r}")
    with pytest.raises(UsageError, match=said):
        wait(jobs)


@pytest.mark.parametrize("wrong", ["x", 1.5, True, 0, -1])
@pytest.mark.parametrize("what", ["workers", "threads"])
def test_a_cluster_has_a_whole_number_of_workers(what, wrong):
    with pytest.raises(UsageError, match=rf"{what} must be .*, not {wrong!r}"):
        nq.LocalCluster(**{what: wrong})


@pytest.mark.parametrize("timeout", [None, 0, -1, 2.5, np.int64(3), np.float32(1), float("inf")])
def test_any_number_is_a_timeout(timeout):
    check_timeout(timeout)


@pytest.mark.parametrize("given", ["sum", None, 5])
def test_apply_takes_a_function_and_says_what_pandas_has_by_a_name(given):
    frame = pd.DataFrame({"k": [1, 1], "x": [1, 2]})
    with pytest.raises(UsageError, match=f"nq.apply takes a function, not {given!r}") as caught:
        nq.apply(frame.groupby("k"), given)
    assert ("frame.groupby(...).agg('sum')" in str(caught.value)) is (given == "sum")


class Exp:
    @nq.task
    def run(self, x):
        return 2 * x

    @nq.task
    @staticmethod
    def apart(x):
        return 3 * x


def test_a_task_that_is_called_as_a_method_says_that_it_is_none():
    said = r"no method, so 'self' is not filled in: give the object, Exp.run\(self, ...\)"
    for call in (
        lambda: Exp().run(2),
        lambda: Exp().run.submit(2),
        lambda: Exp().run.map([2]),
    ):
        with pytest.raises(TypeError, match=said):
            call()
    assert Exp.run(Exp(), 2) == 4
    assert Exp().apart(2) == 6
