"""`nq.track`, `nq.progress`, tqdm and `nq.current`: what a running item says of itself."""

import pytest
import tqdm as tqdm_package
from tqdm import tqdm, trange
from tqdm.auto import tqdm as auto_tqdm

import nbqueue as nq

pytestmark = pytest.mark.usefixtures("cluster")

TOTAL = 40


def hold(gate):
    import pathlib
    import time

    while not pathlib.Path(gate).exists():
        time.sleep(0.01)


def with_track(gate):
    for i in nq.track(range(TOTAL), desc="steps"):
        if i == TOTAL // 2:
            hold(gate)


def with_progress(gate):
    nq.progress(TOTAL // 2, TOTAL, desc="steps", loss=0.5)
    hold(gate)
    nq.progress(TOTAL, TOTAL, desc="steps")


def with_tqdm(gate):
    for i in tqdm(range(TOTAL), desc="steps", mininterval=0):
        if i == TOTAL // 2:
            hold(gate)


def with_trange(gate):
    for i in trange(TOTAL, desc="steps", mininterval=0):
        if i == TOTAL // 2:
            hold(gate)


def with_module(gate):
    for i in tqdm_package.tqdm(range(TOTAL), desc="steps", mininterval=0):
        if i == TOTAL // 2:
            hold(gate)


def with_auto(gate):
    for i in auto_tqdm(range(TOTAL), desc="steps", mininterval=0):
        if i == TOTAL // 2:
            hold(gate)


def with_import_inside(gate):
    from tqdm import tqdm as inner

    for i in inner(range(TOTAL), desc="steps", mininterval=0):
        if i == TOTAL // 2:
            hold(gate)


def with_manual_bar(gate):
    with tqdm(total=TOTAL, desc="steps", mininterval=0) as bar:
        bar.update(TOTAL // 2)
        hold(gate)
        bar.update(TOTAL // 2)


@pytest.mark.parametrize(
    "function",
    [
        with_track, with_progress, with_tqdm, with_trange, with_module, with_auto,
        with_import_inside, with_manual_bar,
    ],
)  # fmt: skip
def test_progress_is_seen_while_the_item_runs(function, gate, until):
    job = nq.task(function).submit(str(gate))
    until(lambda: len(job.progress()) and job.progress()["done"][0] >= TOTAL // 2 - 1)
    row = job.progress().loc[0]
    assert not job.finished
    assert TOTAL // 2 - 1 <= row["done"] <= TOTAL // 2 + 1
    assert row["total"] == TOTAL
    assert row["fraction"] == pytest.approx(0.5, abs=0.05)
    assert row["desc"] == "steps"
    gate.touch()
    assert job.wait(20)
    assert "progress" in " ".join(job.log())


def test_the_last_word_of_an_item_is_kept(gate):
    gate.touch()

    def f(gate):
        for _ in nq.track(range(TOTAL)):
            pass
        hold(gate)
        return True

    job = nq.task(f).map([str(gate)] * 3)
    assert job.wait(20)
    frame = job.progress()
    assert list(frame.columns)[:3] == ["done", "total", "fraction"]


def test_several_items_report_side_by_side(gate, until):
    def f(gate, i):
        nq.progress(i + 1, 10, loss=i / 2, name=f"item {i}", odd={1, 2})
        hold(gate)

    job = nq.task(f).starmap([(str(gate), 0), (str(gate), 1)])
    until(lambda: len(job.progress()) == 2)
    frame = job.progress()
    assert frame["done"].tolist() == [1, 2]
    assert frame["loss"].tolist() == [0.0, 0.5]
    assert frame["name"].tolist() == ["item 0", "item 1"]
    assert frame.index.name == "item"
    assert isinstance(frame["odd"][0], str)


@pytest.mark.parametrize(("amounts", "said"), [(("x", 3), "done='x'"), ((1, "all"), "total='all'")])
def test_progress_that_is_no_number_is_refused_with_the_value(amounts, said):
    job = nq.task(lambda: nq.progress(*amounts)).submit()
    with pytest.raises(nq.UsageError, match=f"nq.progress takes numbers, not {said}"):
        job.result(20)


def test_progress_without_a_total(gate, until):
    def f(gate):
        nq.progress(7)
        hold(gate)

    job = nq.task(f).submit(str(gate))
    until(lambda: len(job.progress()))
    row = job.progress().iloc[0]
    assert row["done"] == 7
    assert row["total"] != row["total"]


def test_odd_numbers_do_no_harm(gate, until):
    import numpy as np

    def f(gate):
        nq.progress(np.float32(1.5), np.int64(0))
        nq.progress(float("nan"), float("inf"), x=float("nan"))
        nq.progress(2, 4, done="shadow", total=np.array([1]))
        hold(gate)
        return "ok"

    job = nq.task(f).submit(str(gate))
    gate.touch()
    with pytest.raises(TypeError):  # `done` was given twice: the task's own mistake, said as such
        job.result(20)

    def g(gate):
        nq.progress(np.float32(1.5), np.int64(0))
        nq.progress(float("nan"), float("inf"), x=float("nan"))
        hold(gate)
        return "ok"

    job = nq.task(g).submit(str(gate))
    assert job.result(20) == "ok"
    assert len(job.progress()) <= 1


def test_a_flood_of_reports_does_not_slow_the_item_or_the_log():
    def f():
        for i in range(200_000):
            nq.progress(i, 200_000)
        return "through"

    job = nq.task(f).submit()
    assert job.result(60) == "through"
    assert len(job.log()) < 2_000  # ten a second, for as long as a busy machine takes


def test_current_tells_which_item_runs():
    @nq.task
    def who(x):
        found = nq.current()
        return found.job, found.task, found.item, found.n, found.round, found.job_id

    job = who.map(range(3), name="known")
    assert job.result(20) == [("known", "who", i, 3, 1, job.id) for i in range(3)]
    assert nq.current() is None


def test_tracking_here_is_just_walking():
    assert list(nq.track(iter("abc"), total=3)) == ["a", "b", "c"]
    nq.progress(1)
