"""Polars frames and Arrow tables: applied to on the workers, and carried as any value is."""

import math
import os
import pickle

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal, assert_series_equal

import nbqueue as nq
from nbqueue.client.connecting import default_client

pytestmark = [
    pytest.mark.usefixtures("cluster"),
    # Of what the tests compare with.
    pytest.mark.filterwarnings("ignore::polars.exceptions.PolarsInefficientMapWarning"),
]

FRAME = pl.DataFrame(
    {
        "kind": list("abcab") * 8,
        "x": range(40),
        "y": [*np.linspace(0, 1, 39), None],
        "when": pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2024, 2, 9), eager=True),
    }
)
TABLE = FRAME.to_arrow()


def spread(group):
    return group.select(pl.first("kind"), (pl.max("x") - pl.min("x")).alias("spread"))


# -- nq.apply ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        lambda row: row[1] * 2,
        lambda row: (row[0], row[1] + 0.5),
        lambda row: str(row[3]),
    ],
    ids=["a value", "a tuple", "text"],
)
def test_rows(function):
    assert_frame_equal(nq.apply(FRAME, function), FRAME.map_rows(function))
    assert_frame_equal(nq.apply(FRAME, function, pieces=3), FRAME.map_rows(function))


def test_values(recwarn):
    assert_series_equal(nq.apply(FRAME["x"], math.sqrt), FRAME["x"].sqrt())
    assert_series_equal(nq.apply(FRAME["y"], lambda y: y * 2), FRAME["y"] * 2)  # the last: null
    assert_series_equal(nq.apply(FRAME["kind"], str.upper), FRAME["kind"].str.to_uppercase())
    assert not list(recwarn)


def test_pieces():
    def doubled(piece, by):
        return piece.select(pl.col("x") * by)

    found = nq.apply(FRAME, doubled, 3, axis="pieces", pieces=7, name="pieces of polars")
    assert_frame_equal(found, FRAME.select(pl.col("x") * 3))
    assert nq.job("pieces of polars").n == 7


def test_what_came_back_has_the_type_that_polars_finds():
    def nothing_then_text(row):
        return None if row[1] < 20 else str(row[1])

    found = nq.apply(FRAME, nothing_then_text, pieces=8)
    assert_frame_equal(found, FRAME.map_rows(nothing_then_text))


def test_pieces_of_other_types_are_put_together_as_polars_widens_them():
    def first_whole_then_broken(piece):
        return piece.select("x") if piece["x"][0] < 20 else piece.select(pl.col("x") + 0.5)

    found = nq.apply(FRAME, first_whole_then_broken, axis="pieces", pieces=4)
    assert found["x"].to_list() == [x if x < 20 else x + 0.5 for x in range(40)]


def test_groups():
    grouped = FRAME.group_by("kind", maintain_order=True)
    assert_frame_equal(nq.apply(grouped, spread), grouped.map_groups(spread))
    assert_frame_equal(nq.apply(grouped, spread, pieces=2), grouped.map_groups(spread))


def test_groups_by_an_expression():
    grouped = FRAME.group_by("kind", pl.col("x") % 3, maintain_order=True)
    assert_frame_equal(nq.apply(grouped, spread), pl.concat(spread(group) for _, group in grouped))


def test_groups_of_time():
    grouped = FRAME.sort("when").group_by_dynamic("when", every="1w")

    def counted(group):
        return group.select(pl.len())

    assert nq.apply(grouped, counted)["len"].to_list() == [len(group) for _, group in grouped]


def test_nothing_to_apply_to():
    empty = FRAME.clear()
    for data, theirs in ((empty, empty.map_rows), (empty["y"], empty["y"].map_elements)):
        with pytest.raises(pl.exceptions.ComputeError, match="cannot be determined"):
            theirs(math.sqrt)
        with pytest.raises(pl.exceptions.ComputeError, match="cannot be determined"):
            nq.apply(data, math.sqrt)
    assert nq.apply(empty, lambda piece: piece.select("x"), axis="pieces").shape == (0, 1)
    assert nq.apply(TABLE.slice(0, 0), lambda piece: piece, axis="pieces").num_rows == 0


@pytest.mark.parametrize("table", [TABLE, TABLE.combine_chunks().to_batches()[0]])
def test_pieces_of_a_table(table):
    def some(piece):
        return piece.select(["x", "kind"]).filter(pa.compute.greater(piece["x"], 5))

    found = nq.apply(table, some, axis="pieces", pieces=5)
    assert found.equals(pa.Table.from_batches([some(table)]) if table is not TABLE else some(TABLE))


def test_a_piece_of_a_table_travels_without_the_rest():
    numbers = pa.table({"x": np.arange(2_000_000)})

    def weight(piece):
        return pa.table({"bytes": [len(pickle.dumps(piece))]})

    weights = nq.apply(numbers, weight, axis="pieces", pieces=10)["bytes"].to_pylist()
    assert max(weights) < 0.15 * numbers.nbytes


def test_it_happens_elsewhere_and_what_is_raised_is_raised_here():
    pids = nq.apply(FRAME, lambda row: os.getpid())["map"]
    assert os.getpid() not in pids.to_list()
    with pytest.raises(ZeroDivisionError):
        nq.apply(FRAME, lambda row: 1 / (row[1] - 39))


def test_what_it_does_not_take():
    with pytest.raises(nq.UsageError, match=r"not LazyFrame: collect\(\) it first"):
        nq.apply(FRAME.lazy(), spread)
    with pytest.raises(nq.UsageError, match="axis must be 1"):
        nq.apply(FRAME, spread, axis=0)
    with pytest.raises(nq.UsageError, match="not Table with axis=1"):
        nq.apply(TABLE, spread)


# -- as values -----------------------------------------------------------------------------------

LARGE = pl.DataFrame(
    {"x": np.random.default_rng(0).random(300_000), "k": [f"k{i % 7}" for i in range(300_000)]}
)
VALUES = {
    "frame": FRAME,
    "large frame": LARGE,
    "series": LARGE["x"],
    "table": TABLE,
    "large table": LARGE.to_arrow(),
    "batch": LARGE.to_arrow().combine_chunks().to_batches()[0],
    "array": LARGE.to_arrow()["k"],
}


@pytest.fixture(params=VALUES)
def value(request):
    return VALUES[request.param]


def test_it_arrives_and_comes_back_equal(value):
    found = nq.task(lambda given: (type(given), given)).submit(value).result(60)
    assert found[0] is type(value)
    assert found[1].equals(value)


def test_it_is_captured_and_put(value):
    ref = nq.put(value)
    assert nq.task(lambda: value).submit().result(60).equals(value)
    assert ref.get().equals(value)
    assert nq.task(len).map([ref] * 3).result(60) == [len(value)] * 3


def test_it_is_a_column_of_the_jobs_frame(value):
    job = nq.task(lambda i: {"i": i, "rows": value}).map(range(2))
    assert job.wait(60)
    frame = job.to_frame()
    assert frame["i"].tolist() == [0, 1]
    assert all(found.equals(value) for found in frame["rows"])


def test_it_is_the_same_for_the_cache(value):
    counted = nq.task(cache=True)(lambda given, i: len(given) + i)
    assert counted.map([value] * 2, range(2)).wait(60)
    again = counted.map([pickle.loads(pickle.dumps(value))] * 2, range(2))
    assert again.wait(60)
    assert again.to_frame()["cached"].tolist() == [True, True]


def test_what_several_tasks_take_is_in_the_store_once():
    rows = pl.DataFrame({"x": np.random.default_rng(7).random(300_000)})
    folder = default_client().blobs.folder
    before = {path.name for path in folder.iterdir()}
    assert nq.task(lambda frame, i: frame.height + i).map([rows] * 20, range(20)).wait(60)
    new = [path for path in folder.iterdir() if path.name not in before]
    assert sum(path.stat().st_size for path in new) < 1.2 * rows.estimated_size()


def test_frames_of_nbqueue_are_frames_of_polars_too():
    job = nq.task(lambda x: {"double": 2 * x}).map(range(3))
    assert job.wait(60)
    assert pl.from_pandas(job.to_frame())["double"].to_list() == [0, 2, 4]
