"""The job widget in JupyterLab: `python -m tests.benchmarks.widget --folder FOLDER`.

The last line of output is a JSON object of metrics. Everything is real and on this one machine: a
cluster, a Jupyter server with a kernel, and Chromium, which draws without a graphics processor.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import median
from typing import Any

from tests.browser import chromium
from tests.browser.boards import Board
from tests.browser.pages import NotebookPage, write
from tests.browser.servers import LAB, JupyterServer

SETUP = """
import time
import nbqueue as nq
from nbqueue.notebook import displays
%load_ext nbqueue
costs = []
step = displays.WidgetDisplay.step
def timed(self):
    begun = time.thread_time()
    kept = step(self)
    costs.append(time.thread_time() - begun)
    return kept
displays.WidgetDisplay.step = timed

@nq.task
def work(x):
    end = time.perf_counter() + 0.0001
    while time.perf_counter() < end:
        pass
    return x

@nq.task
def noop(x):
    return x

work.map(range(10)).wait()
"""

LARGE = """
costs.clear()
begun = time.perf_counter()
large = work.map(range({n}), name='large')
large
"""

COST = """
large.wait()
print(100 * sum(costs) / (time.perf_counter() - begun), len(costs))
"""

# What a cell takes from its start to its job's last record being here, its display included.
TRIPS = """
from IPython.display import clear_output
trips = []
for _ in range({n}):
    begun = time.perf_counter()
    get_ipython().run_cell('%%enqueue trip\\nx = 1')
    trip.wait()
    trips.append(time.perf_counter() - begun)
    clear_output()
print(*(1000 * t for t in trips[1:]))
"""

REPORTS = "million = noop.map(range({n}), name='million')\nmillion"
"""Then trivial cells run for as long as it takes."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()

    from nbqueue.cluster import embedded

    address = embedded.ensure(workers=options.workers)  # in NBQUEUE_HOME, where the kernel looks
    server = JupyterServer(options.folder / "lab", LAB, {})
    try:
        server.await_start()
        with chromium.started(options.folder) as browser:
            print(json.dumps(measure(browser, server, 10 if options.quick else 1)))
    finally:
        server.close()
        if address.keepalive is not None:
            address.keepalive.close()
        embedded.stop()


def measure(browser: Any, server: Any, share: int) -> dict[str, float]:
    cells = (
        SETUP,
        LARGE.format(n=100_000 // share),
        COST,
        TRIPS.format(n=100 // share + 1),
        REPORTS.format(n=1_000_000 // share),
        "pass",
        "print(million.finished)",
    )
    write(server.notebooks / "widget.ipynb", cells)
    tab = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page = NotebookPage(tab, server, "widget.ipynb")
    page.open()
    page.run_cell(0, timeout_s=60)
    return _large(page) | _trips(page) | _responsive(page)


def _large(page: Any) -> dict[str, float]:
    """Cost and drawing of a job whose items each have a cell in the grid."""
    page.run_cell(1)
    board = Board(page, "large")
    board.wait("Number(d.done) > 0")
    page.start_cell(2)
    # The widget goes when its job has succeeded: what it says is read as long as it is there.
    seen: list[dict[str, str]] = []
    while found := board.views.evaluate_all("nodes => nodes.map(node => ({...node.dataset}))"):
        seen = found
        page.page.wait_for_timeout(20)
    page.await_cell(2, timeout_s=120)
    percent, _steps = page.text_of(2).split()
    (last,) = seen
    if int(last["missed"]):
        raise AssertionError(f"{last['missed']} updates did not reach the browser")
    return {
        "widget_core_pct": float(percent),
        "widget_draw_ms": float(last["drawMsMean"]),
        "widget_draw_max_ms": float(last["drawMsMax"]),
    }


def _trips(page: Any) -> dict[str, float]:
    page.run_cell(3, timeout_s=120)
    trips_ms = [float(word) for word in page.text_of(3).split()]
    return {"enqueue_ms": median(trips_ms)}


def _responsive(page: Any) -> dict[str, float]:
    """How long a trivial cell takes in the browser, alone and while a large job reports."""
    alone = [_pass_ms(page) for _ in range(20)]
    page.run_cell(4, timeout_s=60)
    beside = []
    while True:
        beside.append(_pass_ms(page))
        page.run_cell(6)
        if page.text_of(6).strip() == "True":
            break
    if len(beside) < 2:
        raise AssertionError(f"the job was over after {len(beside)} cells")
    return {"cell_alone_ms": median(alone), "cell_ms": median(beside), "cell_max_ms": max(beside)}


_RUN = """async i => {
    const panel = jupyterapp.shell.currentWidget
    panel.content.deselectAll()
    panel.content.activeCellIndex = i
    const begun = performance.now()
    await jupyterapp.commands.execute('notebook:run-cell')
    return performance.now() - begun
}"""


def _pass_ms(page: Any) -> float:
    took = float(page.page.evaluate(_RUN, 5))
    time.sleep(0.05)  # a person does not press faster, and the browser draws meanwhile
    return took


if __name__ == "__main__":
    main()
