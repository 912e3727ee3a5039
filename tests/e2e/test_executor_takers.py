"""What takes an executor, on nbqueue's: dask's collections, asyncio, tqdm."""

import asyncio
import os
import re

import dask
import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import pandas as pd
import pytest

import nbqueue as nq

pytestmark = pytest.mark.usefixtures("cluster")


@pytest.fixture(scope="module")
def executor(cluster):
    cluster.connect()
    with nq.Executor() as made:
        yield made


@pytest.fixture
def scheduler(executor):
    with dask.config.set(scheduler=executor):
        yield


def test_the_event_loop_runs_calls_in_it(executor):
    async def several():
        loop = asyncio.get_running_loop()
        loop_s = [loop.run_in_executor(executor, pow, 2, i) for i in range(3)]
        return await asyncio.gather(*loop_s, asyncio.wrap_future(executor.submit(str, 2)))

    assert asyncio.run(several()) == [1, 2, 4, "2"]


def test_what_a_call_raises_is_raised_where_it_is_awaited(executor):
    async def one():
        await asyncio.get_running_loop().run_in_executor(executor, divmod, 1, 0)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(one())


@pytest.mark.parametrize("shown", [True, False])
def test_tqdm_maps_on_it(shown, capsys):
    # thread_map and process_map, for any class of executors
    from tqdm.contrib.concurrent import _executor_map as tqdm_map

    found = tqdm_map(
        nq.Executor, str, range(5), max_workers=2, chunksize=2, disable=not shown, desc="words"
    )
    assert found == ["0", "1", "2", "3", "4"]
    moved = [int(percent) for percent in re.findall(r"words: +(\d+)%", capsys.readouterr().err)]
    assert (max(moved, default=0) > 50) == shown


def test_map_sends_each_call_by_a_submit_that_was_replaced(executor):
    class Counting(nq.Executor):
        sent = 0

        def submit(self, fn, /, *args, **kwargs):
            self.sent += 1
            return super().submit(fn, *args, **kwargs)

    with Counting() as counting:
        assert list(counting.map(pow, [2, 3], [5, 2])) == [32, 9]
        assert counting.sent == 2


@pytest.mark.usefixtures("scheduler")
def test_dask_computes_arrays():
    x = da.arange(10_000, chunks=1_000)
    assert (x + 1).sum().compute() == sum(range(1, 10_001))
    square = da.ones((40, 40), chunks=10)
    assert (square @ square.T).mean().compute() == 40


@pytest.mark.usefixtures("scheduler")
def test_dask_computes_bags():
    words = db.from_sequence(["a b", "b c"] * 10, npartitions=4)
    counted = words.map(str.split).flatten().frequencies().compute()
    assert dict(counted) == {"a": 10, "b": 20, "c": 10}
    evens = db.range(100, npartitions=5).filter(lambda i: i % 2 == 0)
    assert evens.sum().compute() == sum(range(0, 100, 2))


@pytest.mark.usefixtures("scheduler")
def test_dask_computes_data_frames():
    frame = pd.DataFrame({"kind": list("abcd") * 25, "x": range(100)})
    cut = dd.from_pandas(frame, npartitions=4)
    means = cut.groupby("kind")["x"].mean().compute()
    pd.testing.assert_series_equal(means, frame.groupby("kind")["x"].mean(), check_index_type=False)
    assert cut.merge(cut, on="x").compute().shape == (100, 3)


@pytest.mark.usefixtures("scheduler")
def test_dask_computes_delayed_calls_elsewhere_and_raises_what_they_raise():
    doubled = [dask.delayed(lambda i: 2 * i)(i) for i in range(4)]
    assert dask.delayed(sum)(doubled).compute() == 12
    assert dask.compute(*doubled) == (0, 2, 4, 6)
    assert dask.delayed(os.getpid)().compute() != os.getpid()
    with pytest.raises(ZeroDivisionError):
        dask.delayed(lambda: 1 / 0)().compute()


@pytest.mark.usefixtures("scheduler")
def test_dask_keeps_what_it_persists_here():
    x = (da.arange(100, chunks=10) * 2).persist()
    assert x.sum().compute() == 9900
