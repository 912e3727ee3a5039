"""`nq.apply`: what pandas' own ``apply`` gives, computed on the workers."""

import os

import numpy as np
import pandas as pd
import pytest

import nbqueue as nq

pytestmark = pytest.mark.usefixtures("cluster")

FRAME = pd.DataFrame(
    {"kind": list("abcab") * 8, "sub": list("xy") * 20, "x": range(40), "y": np.linspace(0, 1, 40)},
    index=range(100, 140),
)


def total(row, by=1, *, plus=0):
    return row["x"] * by + plus


def several(row):
    return pd.Series({"sum": row["x"] + row["y"], "where": os.getpid() * 0})


def spread(group):
    return group["x"].max() - group["x"].min()


def largest(group):
    return group.nlargest(2, "x")


def same(found, expected):
    if isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected)
    else:
        pd.testing.assert_series_equal(found, expected)


@pytest.mark.parametrize("function", [total, several, lambda row: str(row["kind"])])
def test_rows(function):
    same(nq.apply(FRAME, function), FRAME.apply(function, axis=1))
    same(nq.apply(FRAME, function, pieces=3), FRAME.apply(function, axis=1))


def test_values():
    same(nq.apply(FRAME["y"], np.sqrt), FRAME["y"].apply(np.sqrt))
    same(nq.apply(FRAME["kind"], len, axis="columns"), FRAME["kind"].apply(len))


def test_what_the_function_is_given_beside():
    same(nq.apply(FRAME, total, 3, plus=1), FRAME.apply(total, axis=1, args=(3,), plus=1))


def test_pieces_of_a_frame():
    def scaled(piece):
        return piece[["x"]] * 2

    same(nq.apply(FRAME, scaled, axis="pieces"), FRAME[["x"]] * 2)


@pytest.mark.parametrize(
    "grouped",
    [
        FRAME.groupby("kind"),
        FRAME.groupby(["kind", "sub"]),
        FRAME.groupby("kind", as_index=False),
        FRAME.groupby("kind", sort=False, group_keys=False),
        FRAME.groupby(FRAME.index % 3),
        FRAME.groupby(lambda i: i // 10),
    ],
    ids=["column", "columns", "no index", "unsorted", "array", "function"],
)
@pytest.mark.parametrize("function", [spread, largest, lambda group: group.name])
def test_groups(grouped, function):
    same(nq.apply(grouped, function), grouped.apply(function))


def test_groups_of_a_series():
    grouped = FRAME.groupby("kind")["x"]
    same(nq.apply(grouped, lambda x: x.max()), grouped.apply(lambda x: x.max()))
    same(nq.apply(grouped, lambda x: x.head(1)), grouped.apply(lambda x: x.head(1)))


def test_nothing_to_apply_to():
    empty = FRAME.iloc[:0]
    assert len(nq.apply(empty, total)) == 0
    assert len(nq.apply(empty["x"], np.sqrt)) == 0
    same(nq.apply(empty.groupby("kind"), spread), empty.groupby("kind").apply(spread))


def test_it_happens_elsewhere_and_as_a_job():
    pids = nq.apply(FRAME, lambda row: os.getpid(), pieces=8, name="pids of rows")
    assert os.getpid() not in set(pids)
    assert nq.job("pids of rows").n == 8


def test_a_task_is_applied_with_its_options():
    careful = nq.task(total, time_limit=60, name="careful")
    same(nq.apply(FRAME, careful, name="with care"), FRAME.apply(total, axis=1))
    job = nq.job("with care")
    assert job.task == "careful"
    assert job._live.state.spec.limits.time_limit == 60


def test_what_the_function_raises():
    def odd(row):
        if row["x"] == 39:
            raise ValueError("the last one")
        return 0

    with pytest.raises(ValueError, match="the last one"):
        nq.apply(FRAME, odd)


def test_what_it_does_not_take():
    with pytest.raises(nq.UsageError, match="Arrow table, not list"):
        nq.apply([1, 2], total)
    with pytest.raises(nq.UsageError, match="axis must be 1"):
        nq.apply(FRAME, total, axis=0)
    with pytest.raises(nq.UsageError, match="pieces must be at least 1"):
        nq.apply(FRAME, total, pieces=0)
