"""A job's fold as a DataFrame: proper dtypes, a row an item, cheap for a million."""

import collections
import dataclasses
import datetime as dt
import enum
import importlib.util
import inspect
import time
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from nbqueue.client import expansion, frame, listing
from nbqueue.client.outcome import Outcomes as Reader
from nbqueue.core import states
from nbqueue.core.errors import Expired
from nbqueue.core.fold import JobState
from nbqueue.core.records import Cancelled, Progressed, Rejected, Retried, Started
from nbqueue.store.log.catalogue import Summary
from nbqueue.store.values import arguments, results
from nbqueue.store.values.packing import ATOMS, pack
from tests.unit.builders import DictBlobs, make_outcomes, make_spec

TEXT = pd.Series([""]).dtype  # object before pandas 3, str since
BROKEN_TEXT = object if importlib.util.find_spec("pyarrow") else TEXT
"""Arrow's texts, which pandas has where there is Arrow, are Unicode."""


def make_live(function, rows, records=(), *, block=3, kwargs=None, loadable=True, **changes):
    """A job as the client has it, from what it was called with and what became of it."""
    blobs = DictBlobs()
    params = tuple(inspect.signature(function).parameters)
    if kwargs is not None:
        blocks = [arguments.pack_call(rows[0], kwargs, blobs, params)]
        spec = make_spec(1, block=0, params=params, **changes)
    else:
        parts = [rows[k : k + block] for k in range(0, len(rows), block)]
        blocks = [pack_block(part, blobs, params) for part in parts]
        spec = make_spec(len(rows), block=block, params=params, **changes)
    state = JobState(spec)
    for record in records:
        state.apply(record)

    def get(address):
        if not loadable or address != spec.function:
            raise Expired("gone")
        return function

    return SimpleNamespace(
        state=state,
        outcomes=Reader(state, blobs, pytest.fail),
        block=lambda k: arguments.read(blocks[k], blobs),
        client=SimpleNamespace(functions=SimpleNamespace(get=get, kind=lambda address: "function")),
    )


def pack_block(rows, blobs, params):
    if len({len(row) for row in rows}) == 1 and rows[0]:
        return arguments.pack_columns([list(c) for c in zip(*rows, strict=True)], blobs, params, 0)
    return arguments.pack_rows(rows, blobs, params, 0)


def build(function, rows, records=(), *, expand=True, **options):
    return frame.build(make_live(function, rows, records, **options), expand=expand)


def done(values, **options):
    """One batch in which all items succeed with these values."""
    blobs = DictBlobs()
    cells = [v if type(v) in ATOMS else results.Packed(pack(v, blobs)) for v in values]
    assert not blobs.puts
    return make_outcomes([(0, len(values))], values=cells, **options)


def f(x):
    return x


def rows_of(n):
    return [(i,) for i in range(n)]


# -- the frame as a whole ------------------------------------------------------------------------


def test_a_row_an_item_with_what_it_was_called_with_and_what_became_of_it():
    def fit(depth, lr):
        pass

    rows = [(d, lr) for d in (2, 3) for lr in (0.1, 0.3)]
    batch = make_outcomes([(0, 4)], failed=[2], values=[0.5, 0.6, None, 0.8])
    df = build(fit, rows, [batch])
    assert list(df.columns) == ["depth", "lr", *frame.OWN_COLUMNS]
    assert df.index.equals(pd.RangeIndex(4, name="item"))
    assert df.index.name == "item"
    assert df.depth.tolist() == [2, 2, 3, 3]
    assert (df.depth.dtype, df.lr.dtype) == (np.int64, np.float64)
    assert df.state.tolist() == ["SUCCESS", "SUCCESS", "FAILURE", "SUCCESS"]
    assert list(df.state.cat.categories) == list(states.NAMES)
    assert df.result.dtype == np.float64
    np.testing.assert_equal(df.result.to_numpy(), [0.5, 0.6, np.nan, 0.8])
    assert df.error.dtype == TEXT
    assert df.error.isna().tolist() == [True, True, False, True]
    assert df.error[2] == "ValueError: bad 2"
    assert str(df.started.dtype) == "datetime64[us, UTC]"
    assert df.started[1] == pd.Timestamp(1001.5, unit="s", tz="UTC")
    np.testing.assert_allclose(df.queue_s, [1, 1.5, 2, 2.5])
    np.testing.assert_allclose(df.run_s, 0.25)
    assert df.worker.tolist() == ["w1"] * 4
    assert isinstance(df.worker.dtype, pd.CategoricalDtype)
    assert df.attempts.tolist() == [1] * 4
    assert (df.attempts.dtype, df.memory_mb.dtype) == (np.int64, np.float64)


def test_a_job_of_no_items_has_the_columns_and_no_rows():
    def fit(depth, lr=0.1):
        pass

    df = build(fit, [])
    assert df.shape == (0, 2 + len(frame.OWN_COLUMNS))
    assert str(df.started.dtype) == "datetime64[us, UTC]"
    assert list(df.columns[:2]) == ["depth", "lr"]


def test_a_job_that_runs_shows_what_is_known_so_far():
    records = [
        make_outcomes([(0, 2)], values=[1, 2]),
        Started(1, "w2", "m", 2, 1004.0),
        Cancelled(1005.0, ((3, 4),), 1),
        Rejected(1, ((4, 5),), "w9", "BadSignature"),
    ]
    df = build(f, rows_of(6), records)
    assert df.state.tolist() == [
        "SUCCESS", "SUCCESS", "STARTED", "REVOKED", "FAILURE", "PENDING",
    ]  # fmt: skip
    assert df.result.dtype == "Int64"
    assert df.result.tolist()[:2] == [1, 2]
    assert df.result.isna().tolist() == [False, False, True, True, True, True]
    assert df.error[4] == "BadSignature"
    assert df.worker.tolist()[:3] == ["w1", "w1", "w2"]
    assert df.worker.isna().tolist()[3:] == [True, True, True]
    assert df.started.isna().tolist() == [False, False, False, True, True, True]
    assert df.run_s.isna().tolist() == [False, False, True, True, True, True]
    assert df.attempts.tolist() == [1, 1, 0, 0, 0, 0]


def test_before_anything_is_known_results_are_empty():
    df = build(f, rows_of(3))
    assert df.result.isna().all()
    assert df.error.isna().all()
    assert df.worker.isna().all()


def test_a_retried_item_waits_from_its_retry_and_counts_its_attempts():
    records = [
        make_outcomes([(0, 3)], failed=[1], at=1001.0),
        Retried(2, ((1, 2),), 1010.0, "fit", "another function"),
        make_outcomes([(1, 2)], round=2, values=[7], at=1012.0, worker="w2"),
    ]
    df = build(f, rows_of(3), records)
    assert df.attempts.tolist() == [1, 2, 1]
    assert df.queue_s.tolist() == [1.0, 2.0, 2.0]
    assert df.worker.tolist() == ["w1", "w2", "w1"]
    assert df.result.tolist() == [0, 7, 2]
    assert df.error.isna().all()


def test_a_frame_is_the_persons_own_to_change():
    live = make_live(f, rows_of(3), [make_outcomes([(0, 3)], failed=[1])])
    df = frame.build(live, expand=True)
    before = df.copy(deep=True)
    df.loc[0, "x"] = 70
    df.loc[0, "result"] = 80
    df.loc[0, "state"] = "REVOKED"
    df.loc[0, ["run_s", "queue_s", "memory_mb"]] = 9.0
    df.loc[0, "attempts"] = 5
    df.loc[0, "error"] = "mine"
    df.loc[0, "started"] = pd.NaT
    df["new"] = 1
    df = df.sort_values("run_s").reset_index()
    pd.testing.assert_frame_equal(frame.build(live, expand=True), before)


def test_a_clock_that_lags_gives_no_negative_waiting():
    assert build(f, rows_of(2), [make_outcomes([(0, 2)], at=990.0)]).queue_s.tolist() == [0, 0]


# -- parameters --------------------------------------------------------------------------------


def test_defaults_are_shown_for_what_was_not_passed():
    def g(a, b=2.5, *, c="x"):
        pass

    for rows in ([(1,), (2,), (3,), (4,)], [(1,), (2, 2.5), (3,), (4,)]):
        df = build(g, rows)
        assert df.a.tolist() == [1, 2, 3, 4]
        assert df.b.tolist() == [2.5] * 4
        assert df.c.tolist() == ["x"] * 4
        assert (df.a.dtype, df.b.dtype, df.c.dtype) == (np.int64, np.float64, TEXT)


def test_star_arguments_are_tuples_and_dicts():
    def g(a, *rest, k=1, **more):
        pass

    df = build(g, [(1, 2, 3), (4, 5, 6)])
    assert df.rest.tolist() == [(2, 3), (5, 6)]
    assert df.more.tolist() == [{}, {}]
    assert build(g, [(1,), (2,)]).rest.tolist() == [(), ()]
    df = build(g, [(1, 2, 3), (4,)])
    assert df.rest.tolist() == [(2, 3), ()]
    df = build(lambda *args: None, [(1,), (2,)])
    assert df.args.tolist() == [(1,), (2,)]
    df = build(g, [(1, 2)], kwargs={"k": 5, "z": 6})
    assert df.iloc[0][["a", "rest", "k", "more"]].tolist() == [1, (2,), 5, {"z": 6}]


def test_a_function_that_cannot_be_loaded_has_its_parameters_by_position():
    def g(a, b=2):
        pass

    df = build(g, [(1,), (2,)], loadable=False)
    assert df.a.tolist() == [1, 2]
    assert df.b.isna().all()
    df = build(g, [(1, 3), (2,)], loadable=False)
    assert df.b.tolist()[0] == 3
    df = build(g, [(1,)], kwargs={"b": 4}, loadable=False)
    assert df.b.tolist() == [4]


def test_parameters_of_blocks_of_different_kinds_make_one_column():
    kinds = {
        "int then float": ([1, 2, 3, 4.5], np.float64),
        "int then None": ([1, 2, 3, None], "Int64"),
        "None then int": ([None, None, None, 4], "Int64"),
        "float then None": ([1.5, 2.5, 3.5, None], np.float64),
        "int then text": ([1, 2, 3, "a"], object),
        "text then None": (["a", "b", "c", None], TEXT),
        "None and int": ([1, None, 3, 4], "Int64"),
        "bool then int": ([True, False, True, 4], object),
        "bool then None": ([True, False, True, None], "boolean"),
        "all None": ([None] * 4, object),
        "lists": ([[1], [2], [3], [4]], object),
    }
    for name, (values, dtype) in kinds.items():
        column = build(f, [(v,) for v in values]).x
        assert column.dtype == dtype, name
        for shown, value in zip(column.tolist(), values, strict=True):
            assert (shown == value) if value is not None else shown is None or pd.isna(shown), name


@pytest.mark.parametrize("name", frame.OWN_COLUMNS)
def test_a_parameter_with_an_own_columns_name_is_set_apart(name):
    scope = {}
    exec(f"def g({name}, {name}_arg): pass", scope)
    df = build(scope["g"], [(1, 2), (3, 4)], [done([{name: 5}, {name: 6}])])
    assert df.columns.is_unique
    assert df[f"{name}_arg"].tolist() == [1, 3]
    assert df[f"{name}_arg_arg"].tolist() == [2, 4]
    assert df[name if name == "result" else f"{name}_result"].tolist() == [5, 6]


# -- results -----------------------------------------------------------------------------------

Point = collections.namedtuple("Point", "x y")


@dataclasses.dataclass
class Fit:
    auc: float
    n: int
    tags: list


class Colour(enum.IntEnum):
    RED = 1


def test_fields_of_dicts_named_tuples_and_dataclasses_are_columns():
    df = build(f, rows_of(3), [done([{"auc": 0.5, "n": 1}] * 3)])
    assert (df.auc.dtype, df.n.dtype) == (np.float64, np.int64)
    assert "result" not in df
    df = build(f, rows_of(2), [done([Point(1, "a"), Point(2, "b")])])
    assert df.x_result.tolist() == [1, 2]
    assert df.y.tolist() == ["a", "b"]
    df = build(f, rows_of(2), [done([Fit(0.5, 1, ["a"]), Fit(0.6, 2, [])])])
    assert df.tags.tolist() == [["a"], []]
    kinds = [{"n": 1}, Fit(0.5, 2, [])]
    assert build(f, rows_of(2), [done(kinds)]).n.tolist() == [1, 2]


def test_without_expand_results_are_one_column():
    df = build(f, rows_of(2), [done([{"a": 1}, {"a": 2}])], expand=False)
    assert df.result.tolist() == [{"a": 1}, {"a": 2}]


def test_fields_that_some_lack_have_gaps():
    df = build(f, rows_of(3), [done([{"a": 1, "b": 0.5}, {"a": 2}, {"c": "x"}])])
    assert list(df.columns[2:5]) == ["a", "b", "c"]
    assert df.a.dtype == "Int64"
    assert df.a.isna().tolist() == [False, False, True]
    assert df.b.dtype == np.float64
    assert df.c.isna().tolist() == [True, True, False]


def test_fields_while_some_items_are_not_done_or_failed():
    batch = make_outcomes(
        [(0, 3)],
        failed=[1],
        values=[results.Packed(pack({"a": v}, DictBlobs())) for v in (1, 2, 3)],
    )
    df = build(f, rows_of(5), [batch])
    assert df.a.dtype == "Int64"
    assert df.a.isna().tolist() == [False, True, False, True, True]


def test_results_of_different_kinds_stay_as_they_are():
    for values in ([{"a": 1}, 2], [1, "x"], [Point(1, 2), (1, 2)], [{}, {}], [[1], [2]]):
        assert build(f, rows_of(2), [done(values)]).result.tolist() == values


def test_keys_that_are_no_text_become_text():
    df = build(f, rows_of(2), [done([{1: "a", "b": 2}, {1: "c", "b": 3}])])
    assert df["1"].tolist() == ["a", "c"]


RESULTS = {
    "int": ([1, 2, 3], np.int64),
    "int and None": ([1, None, 3], "Int64"),
    "float": ([1.5, float("nan"), 3.5], np.float64),
    "float and None": ([1.5, None, 3.5], np.float64),
    "int and float": ([1, 2.5, 3], np.float64),
    "bool": ([True, False, True], np.bool_),
    "bool and None": ([True, None, True], "boolean"),
    "bool and int": ([True, 2, 3], object),
    "text": (["a", "ü", ""], TEXT),
    "text and None": (["a", None, ""], TEXT),
    "lone surrogates": (["\udc80", "b", "c"], BROKEN_TEXT),
    "bytes": ([b"a", b"b", b"c"], object),
    "None": ([None] * 3, object),
    "huge": ([10**30, 1, 2], object),
    "huge and None": ([10**30, None, 2], object),
    "huge and float": ([10**400, 1.5, 2], object),
    "beyond int64": ([2**63, 1, 2], object),
    "numpy float": ([np.float64(1), np.float64(2), np.float64(3)], np.float64),
    "numpy float and None": ([np.float64(1), None, np.float64(3)], np.float64),
    "numpy and Python float": ([np.float64(1), 2.0, np.float64(3)], np.float64),
    "float32": ([np.float32(1), np.float32(2), np.float32(3)], np.float32),
    "numpy int": ([np.int64(1), np.int64(2), np.int64(3)], np.int64),
    "numpy int and None": ([np.int32(1), None, np.int64(3)], "Int64"),
    "numpy bool and None": ([np.True_, None, np.False_], "boolean"),
    "numpy text": ([np.str_("a"), np.str_("b"), np.str_("c")], TEXT),
    "times": ([dt.datetime(2024, 1, k, tzinfo=dt.timezone.utc) for k in (1, 2, 3)], "M"),
    "times and None": (
        [
            dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc),
            None,
            dt.datetime(2024, 1, 3, tzinfo=dt.timezone.utc),
        ],
        "M",
    ),
    "timestamps": ([pd.Timestamp("2024-01-01")] * 3, "M"),
    "spans": ([dt.timedelta(seconds=1)] * 3, "m"),
    "numpy times": ([np.datetime64("2024-01-01", "s")] * 3, "M"),
    "enum": ([Colour.RED] * 3, object),
    "arrays": ([np.zeros(2)] * 3, object),
    "lists of one length": ([[1, 2], [3, 4], [5, 6]], object),
    "sets": ([{1}, {2}, {3}], object),
}


@pytest.mark.parametrize(("values", "dtype"), RESULTS.values(), ids=RESULTS)
@pytest.mark.parametrize("batches", [1, 3])
def test_results_have_the_dtype_a_person_would_give_them(values, dtype, batches):
    parts = [values] if batches == 1 else [[value] for value in values]
    records, at = [], 0
    for part in parts:
        cells = [v if type(v) in ATOMS else results.Packed(pack(v, DictBlobs())) for v in part]
        records.append(make_outcomes([(at, at + len(part))], values=cells))
        at += len(part)
    column = build(f, rows_of(3), records).result
    assert column.dtype.kind == dtype if dtype in ("M", "m") else column.dtype == dtype
    for shown, value in zip(column.tolist(), values, strict=True):
        if isinstance(value, np.ndarray):
            assert (shown == value).all()
        elif value is None or value != value:
            assert shown is None or pd.isna(shown)
        else:
            assert shown == value


def test_items_and_batches_may_interleave():
    n = 40
    records = [
        make_outcomes(
            [(i, i + 1) for i in reversed(range(k, n, 4))],
            values=[10 * i for i in reversed(range(k, n, 4))],
        )
        for k in range(4)
    ]
    df = build(f, rows_of(n), records)
    assert df.result.tolist() == [10 * i for i in range(n)]
    records[2] = make_outcomes([(i, i + 1) for i in range(2, n, 4)], values=["t"] * 10)
    df = build(f, rows_of(n), records)
    assert df.result.tolist() == ["t" if i % 4 == 2 else 10 * i for i in range(n)]


# -- a million ---------------------------------------------------------------------------------


def make_million(function=f):
    n, block = 1_000_000, 10_000
    state = JobState(
        make_spec(n, block=block, params=tuple(inspect.signature(function).parameters))
    )
    for start in range(0, n, block):
        state.apply(make_outcomes([(start, start + block)]))
    blobs = DictBlobs()

    def read(k):
        column = list(range(k * block, (k + 1) * block))
        return arguments.read(arguments.pack_columns([column], blobs, ("x",), 0), blobs)

    return SimpleNamespace(
        state=state,
        outcomes=Reader(state, blobs, pytest.fail),
        block=read,
        client=SimpleNamespace(
            functions=SimpleNamespace(get=lambda address: function, kind=lambda address: "function")
        ),
    )


@pytest.mark.parametrize("function", [f, lambda x, scale=2.0: x], ids=["plain", "default"])
def test_a_million_items_make_a_frame_in_little_time_and_memory(function):
    live = make_million(function)
    begun = time.thread_time()
    frame.build(live, expand=True)
    took = time.thread_time() - begun
    tracemalloc.start()
    df = frame.build(live, expand=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert df.result.dtype == np.int64
    assert (df.result == df.x).all()
    assert peak < 200_000_000
    assert took < 10  # about one second; a busy machine is not a failure


def test_the_times_of_a_million_items_take_a_moment():
    state = make_million().state
    begun = time.thread_time()
    times = frame.timings(state, 2000.0)
    assert time.thread_time() - begun < 2
    assert times["run_s"] == 250_000
    assert times["run_s_median"] == times["run_s_max"] == 0.25
    assert times["elapsed_s"] == pytest.approx(1001 + 0.5 * 9999 + 0.25 - 1000)


# -- the rest ----------------------------------------------------------------------------------


def test_times_of_a_job_of_which_nothing_is_known():
    times = frame.timings(JobState(make_spec(3)), 1010.0)
    assert times["elapsed_s"] == 10.0
    assert times["run_s"] == times["items_per_s"] == 0
    for name in ("run_s_median", "run_s_max", "queue_s_max"):
        assert times[name] != times[name]
    assert frame.timings(JobState(make_spec(0)), 2000.0)["elapsed_s"] == 0


def test_the_clock_of_a_job_that_was_cancelled_before_it_began_stands_still():
    state = JobState(make_spec(3))
    state.apply(Cancelled(at=1004.0))
    assert frame.timings(state, 2000.0)["elapsed_s"] == 4.0


def test_times_while_it_runs_and_after_a_cancellation():
    state = JobState(make_spec(4))
    state.apply(make_outcomes([(0, 2)]))
    assert frame.timings(state, 1010.0)["elapsed_s"] == 10.0
    state.apply(Cancelled(1011.0))
    assert frame.timings(state, 5000.0)["elapsed_s"] == 11.0


def test_waiting_is_counted_from_an_items_own_round():
    state = JobState(make_spec(2))
    state.apply(make_outcomes([(0, 2)], failed=[1]))
    state.apply(Retried(2, ((1, 2),), 2000.0, "fit", "f2"))
    state.apply(make_outcomes([(1, 2)], round=2, at=2003.0))
    assert frame.timings(state, 3000.0)["queue_s_max"] == 3.0


def test_progress_is_a_row_an_item_that_reported():
    state = JobState(make_spec(9))
    for record in (
        Progressed(4, 1.0, 4.0, {"loss": 0.5, "done": "mine"}),
        Progressed(2, 3.0, None),
        Progressed(5, 0.0, 0.0),
    ):
        state.apply(record)
    df = frame.progress_frame(state)
    assert df.index.tolist() == [2, 4, 5]
    assert df.done.tolist() == [3.0, 1.0, 0.0]
    np.testing.assert_equal(df.total.to_numpy(), [np.nan, 4.0, 0.0])
    np.testing.assert_equal(df.fraction.to_numpy(), [np.nan, 0.25, np.nan])
    assert df.loss[4] == 0.5
    assert list(frame.progress_frame(JobState(make_spec(1))).columns) == [
        "done", "total", "fraction",
    ]  # fmt: skip


def summary(**changes):
    fields = {
        "id": "a" * 16, "name": "grid", "task": "fit", "n": 10, "left": 0, "success": 10,
        "failure": 0, "revoked": 0, "submitted": 1000.25, "finished": 1010.5,
    }  # fmt: skip
    return Summary(**{**fields, **changes})


def test_jobs_are_listed_with_state_and_times():
    df = listing.jobs_frame(
        [
            summary(),
            summary(left=4, success=6, finished=None),
            summary(left=10, success=0, finished=None),
            summary(success=8, failure=1, revoked=1),
            summary(success=9, revoked=1),
            summary(n=0, success=0),
        ]
    )
    assert df.state.tolist() == ["SUCCESS", "STARTED", "PENDING", "FAILURE", "REVOKED", "SUCCESS"]
    assert df.done.tolist() == [10, 6, 0, 10, 10, 0]
    assert df.submitted.iloc[0] == pd.Timestamp(1000.25, unit="s", tz="UTC")
    assert df.finished.isna().tolist() == [False, True, True, False, False, False]
    for one in (df, listing.jobs_frame([])):
        assert one.index.name == "id"
        assert str(one.submitted.dtype).endswith("UTC]")
        assert one.n.dtype == np.int64


def test_no_jobs_have_the_same_columns():
    assert list(listing.jobs_frame([]).columns) == list(listing.jobs_frame([summary()]).columns)


def test_columns_of_one_kind_are_joined_without_objects():
    parts = [np.arange(3), np.arange(2)]
    assert expansion.join(parts).tolist() == [0, 1, 2, 0, 1]
    assert expansion.join([np.array([1.5]), np.array([1])]).dtype == np.float64
    assert len(expansion.join([])) == 0
