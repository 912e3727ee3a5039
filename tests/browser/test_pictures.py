"""README's pictures of the live widget, taken of the real thing: a sweep that runs, light and dark.

    NBQUEUE_PICTURES=notebooks/pictures pytest tests/browser/test_pictures.py

writes `job-light.png` and `job-dark.png` there; otherwise they go to pytest's own folder.
"""

import os
from pathlib import Path

import pytest

from tests.browser.boards import Board

LARGEST_BYTES = 150_000
"""A README is read over slow lines, too, and every clone has its pictures."""

SETUP = """\
import itertools, time
import numpy as np
from sklearn.datasets import load_digits
import nbqueue as nq

X, y = load_digits(return_X_y=True)
X, Y = X / 16, np.eye(10)[y]

@nq.task
def fit(lr, alpha):
    import matplotlib.pyplot as plt
    W, found = np.zeros((64, 10)), []
    with np.errstate(over="raise", invalid="raise"):
        for epoch in nq.track(range(12), desc="epoch"):
            for k in range(0, 1200, 24):
                scores = np.exp((s := X[k:k + 24] @ W) - s.max(axis=1, keepdims=True))
                wrong = scores / scores.sum(axis=1, keepdims=True) - Y[k:k + 24]
                W -= lr * (X[k:k + 24].T @ wrong / 24 + alpha * W)
            s = X[1200:] @ W
            odds = np.log(np.exp(s - s.max(axis=1, keepdims=True)).sum(axis=1)) + s.max(axis=1)
            found.append(float((odds - s[np.arange(len(s)), y[1200:]]).mean()))
            time.sleep(0.03)
    grey = "#8a8f98"
    with plt.rc_context({"axes.edgecolor": grey, "axes.labelcolor": grey, "xtick.color": grey,
                         "ytick.color": grey, "figure.facecolor": "none", "axes.facecolor": "none",
                         "font.size": 8}):
        figure, axes = plt.subplots(figsize=(7.4, 1.35))
        axes.plot(range(1, 13), found, color="#3b82d6", marker="o", markersize=3)
        axes.set(xlabel="epoch", ylabel="loss")
        axes.spines[["top", "right"]].set_visible(False)
        plt.show()
    right = float((s.argmax(axis=1) == y[1200:]).mean())
    return {"accuracy": round(right, 4), "loss": round(found[-1], 4)}
"""

CELL = """\
grid = itertools.product(np.geomspace(0.001, 100, 12).round(3), np.geomspace(1e-6, 1, 10).round(6))
job = fit.starmap(grid, name="sweep")     # a function of this notebook: 120 fits, on all workers
job"""

CHOSEN = 32


@pytest.fixture
def folder(tmp_path):
    wanted = os.environ.get("NBQUEUE_PICTURES")
    return Path(wanted) if wanted else tmp_path


def test_the_widget_that_readme_shows_is_the_real_one(lab, folder):
    page = lab.open(SETUP, CELL, "job.cancel()", width=1240, height=1100, scale=1.5)
    page.page.evaluate("() => jupyterapp.shell.collapseLeft()")
    page.run_cell(0)
    page.run_cell(1)
    board = Board(page, "sweep")
    board.wait(f"d.n === '120' && Number(d.done) > {CHOSEN} && d.counts.split(',')[1] >= 1")
    # Those that will fail are the last; a person who watches has them come up among the others.
    board.wait("Number(d.done) >= 66 && d.counts.split(',')[4] >= 1", timeout_s=120)
    taken = {}
    for theme in ("light", "dark"):
        page.change_theme(light=theme == "light")
        page.page.mouse.move(5, 5)
        page.show(1)
        if theme == "light":
            choose(page, board)
        page.wait_for("() => document.querySelectorAll('.nbq-item-output img').length === 1")
        board.wait(f"d.theme === '{theme}'")
        # Both workers are at an item that has said how far it is.
        page.wait_for(
            "() => [...document.querySelectorAll('[role=progressbar][aria-label^=Item]')]"
            ".filter(bar => bar.checkVisibility({ visibilityProperty: true })).length"
            " >= 3"
        )
        taken[theme] = picture(page, folder / f"job-{theme}.png")
    page.run_cell(2)
    assert {size < LARGEST_BYTES for size in taken.values()} == {True}, taken


def choose(page, board):
    """Choose an item that has ended, so that what it has displayed is shown."""
    canvas = board.view.get_by_role("img").first
    box = canvas.bounding_box()
    side = int(board.data()["cellPx"]) / 1.5
    columns = round(box["width"] / side)
    at = {"x": (CHOSEN % columns + 0.5) * side, "y": (CHOSEN // columns + 0.5) * side}
    canvas.click(position=at)
    board.wait(f"d.item === '{CHOSEN}'")
    page.page.mouse.move(5, 5)


def picture(page, path):
    """Take the cell with its widget, without what JupyterLab puts around it; gives its size."""
    page.page.add_style_tag(
        content=".jp-Toolbar, .jp-cell-toolbar, .jp-Collapser { visibility: hidden !important }"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    page.cell(1).screenshot(path=path, animations="disabled")
    return path.stat().st_size
