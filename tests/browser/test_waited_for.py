"""Jobs that a call waits for are shown while it does; and what came from the cache is told."""

from tests.browser.boards import Board

SEARCH = """\
import joblib, nbqueue as nq
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import GridSearchCV
import os, time
import numpy as np

class Slow(ClassifierMixin, BaseEstimator):
    def __init__(self, wait=0):
        self.wait = wait
    def fit(self, X, y):
        while self.wait and not os.path.exists({gate!r}):
            time.sleep(0.02)
        self.classes_ = np.unique(y)
        return self
    def predict(self, X):
        return np.zeros(len(X), dtype=int)

X, y = np.zeros((60, 3)), np.arange(60) % 2
"""

FIT = """\
with joblib.parallel_config("nbqueue", name="search"):
    found = GridSearchCV(Slow(), {"wait": [0, 1, 2, 3]}, cv=5).fit(X, y)
"""


def test_a_grid_search_is_shown_while_its_cell_waits_for_it(front, tmp_path):
    gate = tmp_path / "gate"
    page = front.open(SEARCH.format(gate=str(gate)), FIT, "found.n_splits_")
    page.run_cell(0)
    page.start_cell(1)
    try:
        board = Board(page, "search", under=1)
        board.wait("d.n === '20' && Number(d.done) >= 1 && d.finished === 'false'", timeout_s=60)
        page.screenshot("search", of=page.cell(1))
    finally:
        gate.touch()
    page.await_cell(1, 60)
    board.wait_until_gone()
    page.wait_text(1, "search", "20 of 20")
    page.run_cell(2)


APPLY = """\
import os, time
import pandas as pd
import nbqueue as nq
from nbqueue.client import onlooking
frame = pd.DataFrame({{"x": range(40)}})
after_s = onlooking._AFTER_S

def slow(piece):
    while not os.path.exists({gate!r}):
        time.sleep(0.02)
    time.sleep(0.4)
    return piece["x"] * 2
"""

QUICK = """\
onlooking._AFTER_S = 600  # as if the kernel never stood still
print(nq.apply(frame, lambda row: row['x'], name='quick').sum())
onlooking._AFTER_S = after_s
"""

LOOP = """\
onlooking._AFTER_S = 0
for k in range(5):
    nq.apply(frame, slow, axis='pieces', pieces=7, name=f'slow-{k}')
"""


def test_apply_is_shown_while_it_takes_time_and_not_when_it_takes_none(lab, tmp_path):
    gate = tmp_path / "gate"
    page = lab.open(
        APPLY.format(gate=str(gate)),
        QUICK,
        "print(nq.apply(frame, slow, axis='pieces', name='slow').sum())",
        LOOP,
    )
    page.run_cell(0)
    page.run_cell(1)
    page.start_cell(2)
    try:
        Board(page, "slow", under=2).wait("d.finished === 'false'")
    finally:
        gate.touch()
    page.await_cell(2, 60)
    page.wait_text(2, "slow", "16 of 16", "1560")
    assert [o["output_type"] for o in page.outputs(1)] == ["stream"]
    page.run_cell(3, timeout_s=90)
    page.wait_text(3, "slow-0", "slow-2")
    assert len(page.outputs(3)) == 3  # of a loop, only the first


CACHED = """\
import nbqueue as nq
@nq.task(cache=True)
def score(x, salt={salt!r}):
    return {{"score": x / 200}}
score.map(range(150)).wait()
"""


def test_results_from_the_cache_are_said_to_be(lab, tmp_path):
    page = lab.open(
        CACHED.format(salt=str(tmp_path)),
        "job = score.map(range(-50, 150), name='again')\njob.wait()\njob",
        "from nbqueue.notebook import life\nlife.LINGER_S = 0.5",
    )
    page.run_cell(0)
    page.run_cell(1)
    board = Board(page, "again")
    page.wait_text(1, "200 of 200", "150 from the cache")
    page.screenshot("cached", of=board.view)
    board.view.get_by_role("tab", name="Table").click()
    board.wait("Number(d.rows) > 5")
    board.view.get_by_label("Filter items").fill("cached = 1")
    board.wait("d.total === '150'")
    assert "succeeded · cached" in board.view.get_by_role("row").nth(1).inner_text()
    page.screenshot("cached-table", of=board.view)
    board.view.get_by_role("row").nth(1).click()
    board.wait("d.item === '50'")
    page.wait_text(1, "from the cache · ")
    page.run_cell(2)  # else it would stay for a minute
    board.wait_until_gone()
    page.wait_text(1, "150 from the cache")
