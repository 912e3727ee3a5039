"""What comes back of a cell's last expression, which nobody gave a name."""

import threading

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from nbqueue.store.code.cell import NotBrought
from nbqueue.worker.cells import leftovers


@pytest.mark.parametrize("value", [0.93, "text", [1, {"a": (2,)}], {1, 2}, 3 + 4j, b"x" * 99_000])
def test_what_is_small_and_plain_comes_back(value):
    assert leftovers.kept(value) is value


def test_frames_arrays_and_classes_of_ones_own_come_back():
    class Score:
        def __init__(self):
            self.auc = 0.9

    for value in (Score(), np.arange(10), pd.DataFrame({"a": [1]})):
        assert leftovers.kept(value) is value


@pytest.mark.parametrize("value", [b"x" * 100_001, np.zeros(1_000_000), list(range(200_000))])
def test_what_is_large_is_told_about(value):
    kept = leftovers.kept(value)
    assert isinstance(kept, NotBrought)
    assert kept.type == type(value).__name__


def test_what_cannot_be_pickled_stays():
    class Odd:
        def __reduce__(self):
            raise RuntimeError("not me")

    assert leftovers.kept(threading.Lock()) is None
    assert leftovers.kept([Odd()]) is None


def test_what_can_be_pickled_but_not_read_again_stays():
    class Odd:
        def __reduce__(self):
            return int, ("not a number",)

    assert leftovers.kept(Odd()) is None
    assert leftovers.kept([1, Odd()]) is None


def test_pictures_stay_wherever_they_are():
    figure = Figure()
    axes = figure.subplots(1, 2)
    for value in (figure, axes, axes[0].plot([1, 2]), {"a": (axes[1].hist([1, 2]),)}):
        assert leftovers.kept(value) is None


def test_figures_stay_when_they_are_not_wanted_and_closed_files_in_any_case(tmp_path):
    figure = Figure()
    axes = figure.subplots(2, 2)
    for value in (figure, axes, axes[0, 0], axes[0, 0].plot([1]), {"a": figure}, (figure, 1)):
        assert leftovers.left(value, False)
        assert not leftovers.left(value, True)
    for value in (None, 1, "text", [], {}, np.eye(2), np.array([{}], dtype=object), [1, 2], Figure):
        assert not leftovers.left(value, False)
    with (tmp_path / "f").open("w") as file:
        assert not leftovers.left(file, True)
    assert leftovers.left(file, True)
