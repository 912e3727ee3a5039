"""A workflow's widget in a browser: its steps, and items that are found as it runs."""

from tests.browser.boards import Board

TASKS = """\
import pathlib, time
import nbqueue as nq
@nq.task
def plan(n):
    return list(range(n))
@nq.task
def fit(x, gate):
    while not pathlib.Path(gate).exists():
        time.sleep(0.01)
    return x
@nq.task
def total(values):
    return sum(values)
@nq.task
def broken(x):
    raise ValueError(x)
@nq.task
def alarm(request, exc, traceback):
    return str(exc)
"""

SHOW = """\
paths = nq.task(lambda values, gate: [(x, gate) for x in values])
nq.run((plan.s(30) | paths.s({gate!r}) | nq.starmap(fit) | total.s() | broken.s()).on_error(
    alarm.s()), name="flow")
"""


def steps(board):
    return [" ".join(text.split()) for text in board.view.locator(".nbq-step").all_inner_texts()]


def test_a_workflows_steps_are_shown_and_its_grid_grows_with_it(lab, tmp_path):
    gate = tmp_path / "gate"
    page = lab.open(TASKS, SHOW.format(gate=str(gate)))
    page.run_cell(0)
    page.run_cell(1)
    board = Board(page, "flow")
    board.wait("Number(d.n) >= 35 && Number(d.counts.split(',')[3]) >= 3")
    assert steps(board)[2:] == ["fit 0 of 30", "total 0 of 1", "broken 0 of 1"]
    gate.touch()
    board.wait("d.finished === 'true'")
    assert steps(board) == [
        "plan 1 of 1",
        "<lambda> 1 of 1",
        "fit 30 of 30",
        "total 1 of 1",
        "broken 1 of 1",
        "alarm 1 of 1",
    ]
    assert board.counts()["FAILURE"] == 1
    assert int(board.data()["n"]) == sum(board.counts().values())
    assert [said for said in page.said if "Error setting state" in said] == []
    page.screenshot("workflow", of=page.cell(1))
