"""A job in the browser: filled, cancelled, retried, reloaded, saved and opened again."""

import json
import time

import pytest

import nbqueue as nq
from tests.browser.boards import Board
from tests.e2e.servers import until

WIDGET_MIME = "application/vnd.jupyter.widget-view+json"

SETUP = """\
import os, time
import nbqueue as nq
%load_ext nbqueue
gate = {gate!r}

def pass_gate():
    open(f"{{gate}}-{{os.getpid()}}", "w").close()
    while not os.path.exists(gate):
        time.sleep(0.02)
"""


class Gate:
    """A file that items wait for."""

    def __init__(self, path):
        self.path = path

    def open(self):
        self.path.touch()

    def await_both(self):
        """Return when both workers wait at the gate, so that nothing moves any more."""
        deadline = time.monotonic() + 60
        while len(list(self.path.parent.glob("gate-*"))) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture
def gate(tmp_path):
    """Closed while a test runs, and open in the end: cancelled items, too, wait for it."""
    made = Gate(tmp_path / "gate")
    yield made
    made.open()


def recorded(name):
    """Give a job's counts as its log has them, while both workers wait: boards come to say that."""
    job = nq.job(name)
    until(lambda: job.counts()["STARTED"] == 2)
    return ",".join(map(str, job.counts().values()))


@pytest.fixture
def setup(gate):
    return SETUP.format(gate=str(gate.path))


def says_nothing_of_errors(page):
    """Whether neither JupyterLab nor the scripts complain of a widget."""
    body = page.page.locator("body").inner_text()
    assert "Error displaying widget" not in body
    assert "Failed to load" not in body
    assert [said for said in page.said if "widget" in said.lower() or "page error" in said] == []
    return True


def saved_outputs(page, i):
    return page.save()["cells"][i]["outputs"]


def test_a_cell_is_enqueued_its_grid_fills_and_it_ends_as_a_page_that_lasts(front, setup, gate):
    page = front.open(
        setup,
        '%%enqueue sweep --for "x=range(40)"\nif x >= 10:\n    pass_gate()\nsquare = x * x',
        "print(sum(sweep.to_frame()['square']))",
    )
    page.run_cell(0)
    page.run_cell(1)
    board = Board(page, "sweep")
    gate.await_both()
    board.wait(
        "d.counts.split(',')[1] === '2' && Number(d.done) > 0 && d.n === '40' && d.seq !== '0'"
        " && d.draws"
    )
    assert len(board.colours()) > 2  # items that succeeded, that run, that wait
    page.screenshot("running", of=page.cell(1))
    gate.open()
    board.wait_until_gone()
    page.run_cell(2)
    page.wait_text(2, str(sum(x * x for x in range(40))))
    page.wait_text(1, "sweep", "40 of 40")
    assert says_nothing_of_errors(page)
    page.screenshot("ended", of=page.cell(1))

    (shown,) = saved_outputs(page, 1)
    assert {"text/html", "image/png", "text/plain"} <= set(shown["data"])
    assert WIDGET_MIME not in json.dumps(shown)
    page.reopen()
    page.wait_text(1, "sweep", "40 of 40")
    assert says_nothing_of_errors(page)
    page.screenshot("reopened", of=page.cell(1))


_ACKNOWLEDGED = """(root) => {
    window.nbqueueClick = null
    const button = [...root.querySelectorAll('button')].find(b => b.textContent === 'Cancel')
    button.addEventListener('click', () => {
        const clicked = performance.now()
        const look = () => root.dataset.counts.split(',')[5] !== '0'
            ? window.nbqueueClick = performance.now() - clicked : setTimeout(look, 2)
        look()
    }, {capture: true, once: true})
}"""


def test_cancel_is_answered_while_a_cell_blocks_in_result(front, setup):
    page = front.open(
        setup,
        "@nq.task\ndef wait_for_it(x):\n    pass_gate()\n"
        "job = wait_for_it.map(range(8), name='wait_for_it')\njob",
        "job.result()",
    )
    page.run_cell(0)
    page.run_cell(1)
    board = Board(page, "wait_for_it")
    board.wait("d.counts.split(',')[1] !== '0'")
    page.start_cell(2)
    page.wait_for(
        "() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'busy'"
    )
    board.view.evaluate(_ACKNOWLEDGED)
    board.button("Cancel").click()
    # In 0.1 s on a quiet machine; without an answer, never.
    waited_s = page.wait_for("() => window.nbqueueClick") / 1000
    print(f"acknowledged after {waited_s:.3f} s in {front.server.flavour.name}")
    page.await_cell(2)
    assert page.outputs(2)[0]["ename"] == "CancelledError"
    page.wait_text(1, "cancelled")
    assert says_nothing_of_errors(page)


STAY = "from nbqueue.notebook import life\nlife.IN_USE_S = 60.0"
"""Has the widget of a job that was clicked on stay until a test has looked at it."""


def test_failed_items_are_retried_by_their_button_and_the_job_ends_well(lab, setup, gate):
    page = lab.open(
        setup + STAY,
        "@nq.task\ndef shaky(x):\n    if x % 3 == 0 and not os.path.exists(gate):\n"
        "        raise ValueError(f'no gate for {x}')\n    return x\n"
        "job = shaky.map(range(9), name='shaky')\njob",
    )
    page.run_cell(0)
    page.run_cell(1)
    board = Board(page, "shaky")
    board.wait("d.finished === 'true' && d.counts.split(',')[4] === '3'")
    page.screenshot("failed", of=page.cell(1))
    gate.open()
    board.button("Retry failed").click()
    board.wait("d.finished === 'true' && d.counts.split(',')[3] === '9'")
    assert board.counts()["FAILURE"] == 0
    assert says_nothing_of_errors(page)


FORGET = "from nbqueue.notebook import life\nlife.LINGER_S = 0.5"
"""Has widgets of ended jobs go soon: nobody waits a minute in a test."""


def test_a_failed_job_is_a_page_when_nobody_acts_on_it_and_reopens_without_an_error(lab, setup):
    page = lab.open(
        setup,
        "@nq.task\ndef bad(x):\n    return 1 / x\njob = bad.map([0, 1], name='bad')\njob",
        FORGET,
    )
    page.run_cell(0)
    page.run_cell(1)
    board = Board(page, "bad")
    board.wait("d.finished === 'true'")
    page.run_cell(2)
    board.wait_until_gone()
    page.wait_text(1, "ZeroDivisionError")
    assert WIDGET_MIME not in json.dumps(page.save())
    page.reopen()
    page.wait_text(1, "ZeroDivisionError")
    assert says_nothing_of_errors(page)


def test_a_page_that_is_reloaded_shows_the_whole_board_and_goes_on(front, setup, gate):
    page = front.open(
        setup,
        "@nq.task(chunksize=1)\ndef mixed(x):\n    if x > 8:\n        pass_gate()\n"
        "    return 1 // (x % 10)\njob = mixed.map(range(40), name='mixed')\njob",
    )
    page.run_cell(0)
    page.run_cell(1)
    board = Board(page, "mixed")
    gate.await_both()
    settled = f"d.counts === '{recorded('mixed')}'"
    board.wait(settled)
    page.save()
    page.reload()
    board.wait(settled)
    assert board.data()["missed"] == "0"
    page.screenshot("reloaded", of=page.cell(1))
    gate.open()
    board.wait("d.finished === 'true' && d.done === '40'")
    assert board.counts()["FAILURE"] == 4
    assert says_nothing_of_errors(page)


def test_two_displays_and_two_views_of_one_job_agree(lab, setup, gate):
    page = lab.open(
        setup,
        "@nq.task(chunksize=1)\n"
        "def pair(x):\n    if x:\n        pass_gate()\n    return 1 / (x - 3)\n"
        "job = pair.map(range(6), name='pair')\njob",
        "job",
    )
    page.run_cell(0)
    page.run_cell(1)
    page.run_cell(2)
    board = Board(page, "pair")
    # JupyterLab's own second view of one output, in a tab beside the notebook.
    page.page.evaluate(
        "() => { jupyterapp.shell.currentWidget.content.activeCellIndex = 2;"
        " jupyterapp.commands.execute('notebook:create-output-view') }"
    )
    page.wait_for(
        "() => document.querySelectorAll('section[aria-label=\"Job pair\"]').length === 3"
    )
    board.wait("d.counts.split(',')[3] === '1' && d.counts.split(',')[1] !== '0'")
    page.screenshot("views")
    gate.open()
    board.wait("d.finished === 'true' && d.counts.split(',').slice(3, 5).join() === '5,1'")
    said = board.views.evaluate_all("nodes => nodes.map(n => n.dataset.counts)")
    assert len(said) == 3
    assert len(set(said)) == 1


_INK = """root => {
    const { color, backgroundColor } = getComputedStyle(root)
    return [color, backgroundColor]
}"""


def test_the_widget_follows_the_theme(front, setup, gate):
    page = front.open(
        setup,
        "@nq.task(chunksize=1)\n"
        "def themed(x):\n    if x > 3:\n        pass_gate()\n    return 1 / x\n"
        "job = themed.map(range(24), name='themed')\njob",
    )
    page.run_cell(0)
    page.run_cell(1)
    board = Board(page, "themed")
    gate.await_both()
    board.wait(f"d.theme === 'light' && d.counts === '{recorded('themed')}' && d.draws")
    light = board.view.evaluate(_INK)
    cells = board.colours()
    page.screenshot("light", of=page.cell(1))
    page.change_theme(light=False)
    board.wait("d.theme === 'dark'")
    dark = board.view.evaluate(_INK)
    assert all(a != b for a, b in zip(light, dark, strict=True))
    # Those of the page that the job ends as, which cannot know where it is shown.
    assert board.colours() == cells
    page.screenshot("dark", of=page.cell(1))
    assert says_nothing_of_errors(page)


EVIL = "<img src=x onerror=window.nbqueueRan=1><script>window.nbqueueRan=1</script>"


def test_html_in_names_results_errors_and_arguments_is_text(lab, setup, gate):
    page = lab.open(
        setup,
        f"evil = {EVIL!r}\n"
        "@nq.task(name=evil)\ndef task(x):\n    print(evil)\n    if x == evil + '0':\n"
        "        raise ValueError(evil)\n    return evil\n"
        "job = task.map([evil + str(i) for i in range(3)], name=evil)\njob",
        FORGET,
    )
    page.run_cell(0)
    page.run_cell(1)
    board = Board(page, EVIL)
    board.wait("d.finished === 'true'")
    board.view.get_by_role("tab", name="Table").click()
    board.wait("d.rows === '3'")
    board.view.get_by_role("row").nth(1).click()
    board.wait("d.item === '0'")
    text = board.view.inner_text()
    assert text.count("<img src=x") >= 6
    page.screenshot("text", of=page.cell(1))
    assert page.page.evaluate("() => window.nbqueueRan") is None
    page.run_cell(2)
    board.wait_until_gone()
    page.save()
    page.reopen()
    page.wait_text(1, "<img src=x")
    assert page.page.evaluate("() => window.nbqueueRan") is None
    assert page.output_area(1).locator("img[src=x], script").count() == 0


_DRAWN = """() => {
    const cell = document.querySelectorAll('.jp-Notebook .jp-Cell')[1]
    return cell.querySelector('.jp-Cell-outputArea img')?.naturalWidth > 100
}"""


def test_what_an_enqueued_cell_prints_and_draws_appears_under_it_and_stays(front, setup):
    page = front.open(
        setup + "import matplotlib.pyplot as plt\nlosses = [3, 2, 1]\n",
        "%%enqueue drawing\nprint('drawn over there')\nplt.plot(losses)\nplt.show()\n"
        "low = min(losses)\nlow",
        "drawing.pull()\nprint('low is', low)",
    )
    page.run_cell(0)
    page.run_cell(1)
    page.run_cell(2, timeout_s=60)
    page.wait_text(2, "low is 1")
    page.wait_text(1, "drawn over there")
    page.wait_for(_DRAWN)
    page.screenshot("drawing", of=page.cell(1))
    page.save()
    page.reopen()
    page.wait_text(1, "drawn over there")
    page.wait_for(_DRAWN)
    assert says_nothing_of_errors(page)


def test_a_cell_that_fails_with_wait_shows_its_traceback_once(lab, setup):
    page = lab.open(setup, "%%enqueue bad --wait\nx = 1\ny = x / 0", "print('next')")
    page.run_cell(0)
    page.start_cell(1)
    page.await_cell(1, 60)
    page.wait_text(1, "ZeroDivisionError", "----> 2 y = x / 0")
    page.run_cell(2)
    shown = page.text_of(1)
    page.screenshot("failed-with-wait", of=page.cell(1))
    assert shown.count("----> 2 y = x / 0") == 1
    assert "nbqueue/" not in shown
    assert says_nothing_of_errors(page)
