"""Retries and time limits, by the item: what overruns or raises fails alone."""

import contextlib
import time

import pytest
from celery.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded

import nbqueue as nq
from nbqueue.client import dispatch
from nbqueue.client.connecting import default_client
from nbqueue.client.dispatch import Submission
from nbqueue.client.options import TaskOptions

pytestmark = pytest.mark.usefixtures("cluster")


def submit(function, rows, max_retries=0, **options):
    client = default_client()
    sub = Submission(
        function.__name__,
        client.code.address(function),
        ("x",),
        TaskOptions().updated(options),
        max_retries=max_retries,
    )
    return dispatch.submit_rows(client, sub, [(row,) for row in rows])


def test_an_item_that_raises_is_run_again_as_often_as_is_allowed(tmp_path):
    folder = str(tmp_path)

    def flaky(x):
        from pathlib import Path

        mark = Path(folder) / f"{x}"
        mark.write_text(mark.read_text() + "." if mark.exists() else ".")
        if len(mark.read_text()) < x:
            raise ValueError(f"not yet {x}")
        return len(mark.read_text())

    job = submit(flaky, [1, 2, 3, 9], max_retries=2)
    assert job.result(30, errors="drop") == [1, 2, 3]
    assert list(job.exceptions()) == [3]
    assert str(job.exceptions()[3]) == "not yet 9"
    assert job.to_frame()["attempts"].tolist() == [1, 2, 3, 3]
    text = job.outputs[2][0]["text"]
    assert "attempt 1 of 3 ended in ValueError: not yet 3; trying again" in text
    assert text.count("trying again") == 2
    assert 0 not in job.outputs


def test_the_traceback_of_a_limited_item_begins_with_the_task(cluster):
    def broken(x):
        return 1 / x

    job = submit(broken, [0], max_retries=1, soft_time_limit=20)
    job.wait(30)
    lines = str(job.exceptions()[0].__cause__)
    assert "worker/calling/limits.py" not in lines
    assert "worker/execution.py" not in lines
    assert "return 1 / x" in lines


def test_an_item_over_its_soft_limit_is_interrupted_and_the_others_are_not():
    @nq.task(soft_time_limit=4)
    def nap(x):
        time.sleep(x)
        return x

    began = time.monotonic()
    job = nap.map([0, 60, 0.01])
    assert job.result(50, errors="drop") == [0, 0.01]
    assert time.monotonic() - began < 50
    exc = job.exceptions()[1]
    assert isinstance(exc, SoftTimeLimitExceeded)
    assert "limit of 4 s" in str(exc)


def test_limits_and_retries_hold_for_coroutines_too():
    async def nap(x):
        import asyncio

        await asyncio.sleep(x)
        return x

    job = submit(nap, [60, 0], max_retries=1, soft_time_limit=4)
    assert job.result(30, errors="drop") == [0]
    assert isinstance(job.exceptions()[0], SoftTimeLimitExceeded)
    assert job.to_frame()["attempts"].tolist() == [2, 1]


def test_an_item_that_catches_its_interruption_may_clean_up_and_return():
    @nq.task(soft_time_limit=4)
    def careful():
        try:
            time.sleep(60)
        except SoftTimeLimitExceeded:
            return "cleaned up"

    assert careful.submit().result(30) == "cleaned up"


def test_an_item_over_its_hard_limit_loses_its_process_and_the_others_end_well():
    @nq.task(time_limit=4)
    def stubborn(x):
        while x:
            with contextlib.suppress(BaseException):
                time.sleep(60)
        return x

    job = stubborn.map([0, 1, 0, 0])
    assert job.result(60, errors="drop") == [0, 0, 0]
    exc = job.exceptions()[1]
    assert isinstance(exc, TimeLimitExceeded)
    assert "limit of 4 s" in str(exc)


def test_items_within_their_limits_are_left_alone():
    @nq.task(soft_time_limit=5, time_limit=6)
    def quick(x):
        return x

    assert quick.map(range(500)).result(30) == list(range(500))


@pytest.mark.parametrize("value", [0, -1, "5", True, float("inf"), float("nan")])
def test_a_limit_that_is_no_time_is_refused_where_it_is_given(value):
    with pytest.raises(nq.UsageError, match="number of seconds above 0"):
        nq.task(time_limit=value)(len)


def test_a_soft_limit_reaches_items_of_a_pool_of_threads(local_cluster):
    with local_cluster(threads=2) as threads:
        threads.connect()

        @nq.task(soft_time_limit=4)
        def spin(x):
            end = time.monotonic() + 30 * x
            while time.monotonic() < end:
                time.sleep(0.01)
            return x

        job = spin.map([1, 0])
        assert job.result(60, errors="drop") == [0]
        assert isinstance(job.exceptions()[0], SoftTimeLimitExceeded)
