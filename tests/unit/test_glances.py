"""What comes back of a cell's last expression, which nobody gave a name."""

import threading

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from nbqueue.store.cell import NotBrought
from nbqueue.worker import glances


@pytest.mark.parametrize("value", [0.93, "text", [1, {"a": (2,)}], {1, 2}, 3 + 4j, b"x" * 99_000])
def test_what_is_small_and_plain_comes_back(value):
    assert glances.kept(value) is value


def test_frames_arrays_and_classes_of_ones_own_come_back():
    class Score:
        def __init__(self):
            self.auc = 0.9

    for value in (Score(), np.arange(10), pd.DataFrame({"a": [1]})):
        assert glances.kept(value) is value


@pytest.mark.parametrize("value", [b"x" * 100_001, np.zeros(1_000_000), list(range(200_000))])
def test_what_is_large_is_told_about(value):
    kept = glances.kept(value)
    assert isinstance(kept, NotBrought)
    assert kept.type == type(value).__name__


def test_what_cannot_be_pickled_stays():
    class Odd:
        def __reduce__(self):
            raise RuntimeError("not me")

    assert glances.kept(threading.Lock()) is None
    assert glances.kept([Odd()]) is None


def test_pictures_stay_wherever_they_are():
    figure = Figure()
    axes = figure.subplots(1, 2)
    for value in (figure, axes, axes[0].plot([1, 2]), {"a": (axes[1].hist([1, 2]),)}):
        assert glances.kept(value) is None
