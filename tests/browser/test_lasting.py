"""What is left in a notebook when its widgets cannot live on: a page, whatever happened to the page
in the browser or to the kernel, so that nobody who opens the file finds an error.

A notebook that this user has run and saved is trusted, and a trusted notebook shows widgets.
"""

import contextlib
import json
import os
import re
import signal
import time
from pathlib import Path

import pytest
from playwright.sync_api import expect

import nbqueue as nq

WIDGET_MIME = "application/vnd.jupyter.widget-view+json"

SETUP = """\
import os, time
import nbqueue as nq
gate = {gate!r}

@nq.task
def part(x):
    while not os.path.exists(gate):
        time.sleep(0.02)
    return 6 // x
"""

WORKS = "job = part.map([1, 2, 3], name='sweep')\njob"
FAILS = "job = part.map([1, 2, 0], name='sweep')\njob"


@pytest.fixture
def gate(tmp_path):
    """A file that items wait for."""
    return tmp_path / "gate"


def has_widget(page, i):
    return any(WIDGET_MIME in output.get("data", {}) for output in page.outputs(i))


def await_page(page, i, *texts, timeout_s=60):
    """Return when a cell's output holds no widget, and these texts are to be seen."""
    page.wait_for(
        "([i, kind]) => jupyterapp.shell.currentWidget.content.widgets[i].model.outputs.toJSON()"
        ".every(output => !output.data?.[kind])",
        [i, WIDGET_MIME],
        timeout_s=timeout_s,
    )
    page.show(i)
    page.wait_text(i, *texts)


def await_widget(page, i, done):
    page.show(i)
    page.wait_for(
        "([i, n]) => document.querySelectorAll('.jp-Notebook .jp-Cell')[i]"
        ".querySelector('.nbq-job')?.dataset.done === String(n)",
        [i, done],
    )


def assert_lasts(page, *texts):
    """Save; the file names no widget, and shows what it should with a new kernel."""
    assert WIDGET_MIME not in json.dumps(page.save())
    page.reopen()
    page.show(1)
    page.wait_text(1, *texts)
    assert "Error displaying widget" not in page.page.locator("body").inner_text()
    assert "Error displaying widget" not in page.text_of(1)


def begin(front, gate, cell, *, below=0):
    """Open a notebook with a job on display whose items wait, some lines further down."""
    page = front.open(SETUP.format(gate=str(gate)) + "#\n" * below, cell)
    page.run_cell(0)
    page.run_cell(1)
    await_widget(page, 1, 0)
    return page


def restart(page):
    page.page.evaluate(
        """() => {
            const session = jupyterapp.shell.currentWidget.context.sessionContext
            window.restarted = false
            session.restartKernel().then(() => { window.restarted = true })
        }"""
    )
    page.wait_for("() => window.restarted")


def shut_down(page):
    page.page.evaluate("() => { jupyterapp.shell.currentWidget.context.sessionContext.shutdown() }")


def shut_down_elsewhere(page):
    page.server.shut_kernels_down()


def kill(page):
    (kernel,) = page.server.rest("/api/kernels")
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if kernel["id"] in (path / "cmdline").read_text():
                os.kill(int(path.name), signal.SIGKILL)
                return
    raise AssertionError(f"no process of kernel {kernel}")


def test_a_job_that_ends_after_the_page_was_loaded_anew_leaves_a_page(front, gate):
    page = begin(front, gate, WORKS)
    page.save()
    page.reload()
    await_widget(page, 1, 0)
    gate.touch()
    await_page(page, 1, "sweep", "succeeded")
    assert_lasts(page, "sweep", "succeeded")


def test_a_job_that_ends_while_the_notebook_is_closed_leaves_a_page(front, gate):
    page = begin(front, gate, WORKS, below=300)  # out of sight when it is opened again
    page.save()
    page.page.goto("about:blank")
    gate.touch()
    nq.job("sweep").wait(60)
    page.open()
    await_page(page, 1, "sweep", "succeeded")
    assert_lasts(page, "sweep", "succeeded")


def test_a_failure_can_still_be_retried_when_the_page_was_loaded_anew(lab, gate):
    page = begin(lab, gate, FAILS)
    page.save()
    page.reload()
    gate.touch()
    await_widget(page, 1, 3)
    assert has_widget(page, 1)
    expect(page.cell(1).get_by_role("button", name=re.compile("Retry"))).to_be_enabled()


def test_a_failure_that_is_saved_while_it_could_be_retried_is_saved_as_a_page(front, gate):
    page = begin(front, gate, FAILS)
    gate.touch()
    await_widget(page, 1, 3)
    # The page comes a tick after the last item; the widget would stay for a minute.
    deadline = time.monotonic() + 40
    while has_widget(page, 1):
        assert time.monotonic() < deadline
        page.save()
    assert_lasts(page, "ZeroDivisionError")


@pytest.mark.parametrize("end", [restart, shut_down, shut_down_elsewhere, kill])
def test_a_kernel_that_goes_while_its_job_runs_leaves_what_was_last_seen(front, gate, end):
    page = begin(front, gate, WORKS)
    page.page.wait_for_timeout(500)
    end(page)
    await_page(page, 1, "sweep", "nq.job('sweep')")
    assert_lasts(page, "sweep", "nq.job('sweep')")


@pytest.mark.parametrize("end", [restart, shut_down_elsewhere])
def test_a_kernel_that_goes_while_a_failure_is_looked_at_leaves_the_failure(front, gate, end):
    page = begin(front, gate, FAILS)
    gate.touch()
    await_widget(page, 1, 3)
    page.run_cell(0)  # at a cell's end the kernel has sent the page of a job that has ended
    assert has_widget(page, 1)
    end(page)
    await_page(page, 1, "ZeroDivisionError")
    assert_lasts(page, "ZeroDivisionError")


def test_a_job_that_was_running_when_the_notebook_was_saved_is_a_page_without_its_kernel(
    front, gate
):
    page = begin(front, gate, WORKS)
    written = page.save()
    assert WIDGET_MIME in json.dumps(written["cells"])  # a page that is loaded anew needs it
    page.reopen()  # closed everywhere, and the kernel has ended: nobody had a last word
    page.show(1)
    page.wait_text(1, "sweep", "running when this was last heard of: 0 of 3", "nq.job('sweep')")
    assert "Error displaying widget" not in page.page.locator("body").inner_text()
    page.screenshot("running-when-saved", of=page.cell(1))
    again = page.save()  # and once more, by somebody who has only looked
    assert again["metadata"]["widgets"] == written["metadata"]["widgets"]
    page.reopen()
    page.show(1)
    page.wait_text(1, "running when this was last heard of")


def test_nothing_is_kept_in_the_notebook_of_a_job_that_has_ended(lab, gate):
    page = begin(lab, gate, WORKS)
    assert "widgets" in page.save()["metadata"]
    page.reload()
    await_widget(page, 1, 0)  # the live one, not what was kept
    gate.touch()
    await_page(page, 1, "sweep", "succeeded")
    assert "widgets" not in page.save()["metadata"]


def test_a_cluster_on_display_leaves_a_page_when_its_kernel_goes(front, gate):
    page = front.open(SETUP.format(gate=str(gate)), "nq.cluster()")
    page.run_cell(0)
    page.run_cell(1)
    page.wait_text(1, "idle")
    page.save()
    page.reload()
    page.wait_text(1, "idle")
    kill(page)
    await_page(page, 1, "as of", "embedded")
    assert_lasts(page, "as of", "embedded")
