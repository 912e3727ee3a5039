"""The cluster widget in a real front end: live while it is seen, plain HTML in the end."""

import json
import re

from playwright.sync_api import expect

from tests.e2e.servers import until

WAIT_MS = 60_000

WORK = """\
import threading
import nbqueue as nq

@nq.task
def hold(i):
    import time
    time.sleep(i)
    return i

hold.submit(0).result()
job = hold.map([600] * 5, name="grid <b>1</b>")
"""


def cluster_of(page, i):
    return page.output_area(i).get_by_role("region", name="Cluster on this machine")


def test_what_runs_is_seen_and_the_pool_grows_while_a_cell_blocks(front):
    page = front.open(WORK, "nq.cluster()", "threading.Event().wait(15)", "job.cancel(True)")
    page.run_cell(0)
    page.run_cell(1)
    view = cluster_of(page, 1)
    workers = view.get_by_role("table", name="Workers")
    # An item's name is text, whatever it is made of.
    expect(workers.get_by_text("grid <b>1</b> 0", exact=True)).to_be_visible(timeout=WAIT_MS)
    expect(workers.get_by_text("grid <b>1</b> 1", exact=True)).to_be_visible(timeout=WAIT_MS)
    assert view.locator("b").count() == 0
    expect(view.get_by_role("table", name="Queues").get_by_role("row").nth(1)).to_contain_text(
        re.compile(r"celery\s*\d"), timeout=WAIT_MS
    )
    page.start_cell(2)
    view.get_by_role("button", name="One process more").click()
    expect(view.get_by_role("status")).to_contain_text("3 processes", timeout=WAIT_MS)
    expect(workers.get_by_text("grid <b>1</b> 2", exact=True)).to_be_visible(timeout=WAIT_MS)
    view.get_by_role("button", name="One process fewer").click()
    expect(view.get_by_role("status")).to_contain_text("2 processes", timeout=WAIT_MS)
    page.screenshot("leaving")
    page.await_cell(2)
    page.run_cell(3)


def test_a_restart_is_asked_back_and_escape_leaves_everything_as_it_was(lab):
    page = lab.open(WORK, "nq.cluster()")
    page.run_cell(0)
    page.run_cell(1)
    view = cluster_of(page, 1)
    restart = view.get_by_role("button", name=re.compile("^Restart embedded"))
    expect(view.get_by_text("grid <b>1</b> 0", exact=True)).to_be_visible(timeout=WAIT_MS)
    restart.focus()
    page.page.keyboard.press("Enter")
    expect(view.get_by_role("button", name="Leave it running")).to_be_focused()
    expect(view.get_by_text("It finishes what it runs first")).to_contain_text("grid <b>1</b> 0")
    for light in (True, False):
        page.change_theme(light=light)
        page.screenshot(f"asks-{'light' if light else 'dark'}")
    view.get_by_role("button", name="Leave it running").focus()
    page.page.keyboard.press("Escape")
    expect(restart).to_be_focused()
    expect(view.get_by_role("button", name="Leave it running")).to_have_count(0)


def test_nothing_is_asked_while_nobody_looks_and_then_a_plain_table_takes_its_place(lab):
    page = lab.open(
        WORK,
        "from nbqueue.notebook import cluster_display, cluster_widget\n"
        "looks = 0\n"
        "look = cluster_widget.control.look\n"
        "def counted(*args):\n    global looks\n    looks += 1\n    return look(*args)\n"
        "cluster_widget.control.look = counted",
        "nq.cluster()",
        "n = looks\nwhile looks == n:\n    threading.Event().wait(0.1)",
        # (Not before it is hidden: a view in sight speaks up every five seconds only.)
        "cluster_display.UNSEEN_S = cluster_widget.SEEN_S = 6",
        "n = looks\nthreading.Event().wait(4)\nprint(looks - n, 'looks')",
    )
    page.run_cell(0)
    page.run_cell(1)
    page.run_cell(2)
    view = cluster_of(page, 2)
    expect(view.get_by_text("grid <b>1</b> 0", exact=True)).to_be_visible(timeout=WAIT_MS)
    page.run_cell(3)
    view.evaluate("element => { element.parentElement.style.display = 'none' }")
    page.run_cell(4)
    page.wait_for(
        "() => !('application/vnd.jupyter.widget-view+json' in "
        "jupyterapp.shell.currentWidget.content.widgets[2].model.outputs.toJSON()[0].data)"
    )
    assert set(page.outputs(2)[0]["data"]) == {"text/html", "text/plain"}
    page.run_cell(5)
    assert page.outputs(5)[0]["text"] == "0 looks\n"
    page.save()
    page.reopen()
    page.wait_text(2, "embedded-", "grid <b>1</b> 0", "nq.cluster() shows it live")
    assert "Error displaying widget" not in page.text_of(2)


def test_a_page_that_is_loaded_anew_shows_the_cluster_live(lab):
    page = lab.open(WORK, "nq.cluster()")
    page.run_cell(0)
    page.run_cell(1)
    expect(cluster_of(page, 1).get_by_text("grid <b>1</b> 0", exact=True)).to_be_visible(
        timeout=WAIT_MS
    )
    page.save()
    page.reload()
    drawn = cluster_of(page, 1)
    expect(drawn).to_be_visible(timeout=WAIT_MS)
    before = int(drawn.get_attribute("data-drawn"))
    page.wait_for(
        "n => Number(document.querySelector('[data-drawn]')?.dataset.drawn) >= n", before + 2
    )


def test_a_kernel_that_ends_leaves_a_plain_table(lab):
    page = lab.open(WORK, "nq.cluster()")
    page.run_cell(0)
    page.run_cell(1)
    expect(cluster_of(page, 1).get_by_text("grid <b>1</b> 0", exact=True)).to_be_visible(
        timeout=WAIT_MS
    )
    # What is left is renewed every five seconds: not before it has the item, too.
    until(lambda: "grid &lt;b&gt;1&lt;/b&gt; 0" in json.dumps(page.save()["metadata"]), 60)
    page.server.shut_kernels_down()
    page.wait_for(
        "() => !('application/vnd.jupyter.widget-view+json' in "
        "jupyterapp.shell.currentWidget.content.widgets[1].model.outputs.toJSON()[0].data)"
    )
    page.wait_text(1, "grid <b>1</b> 0")


_CONTRAST = """root => {
    const light = colour => {
        const [r, g, b] = colour.match(/[\\d.]+/g).map(x => x / 255)
            .map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b
    }
    const probe = root.querySelector('.nbq-c-status')
    probe.classList.add('nbq-c-failed')
    const ink = light(getComputedStyle(probe).color)
    const paper = light(getComputedStyle(document.querySelector('.jp-Notebook')).backgroundColor)
    probe.classList.remove('nbq-c-failed')
    return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05)
}"""


def test_there_is_room_for_it_in_a_narrow_window_and_its_red_is_read_in_light_and_dark(lab):
    page = lab.open(WORK, "nq.cluster()", "job.cancel(True)", width=820)
    page.run_cell(0)
    page.run_cell(1)
    view = cluster_of(page, 1)
    expect(view.get_by_text("grid <b>1</b> 0", exact=True)).to_be_visible(timeout=WAIT_MS)
    assert view.evaluate("root => root.clientWidth") < 600
    too_wide = view.evaluate(
        "root => [...root.querySelectorAll('tbody *')]"
        ".filter(x => x.scrollWidth > root.clientWidth).map(x => x.className)"
    )
    assert too_wide == []
    for name in ("One process more", "Restart"):
        expect(view.get_by_role("button", name=re.compile(name))).to_be_in_viewport(ratio=1)
    page.screenshot("narrow", of=page.cell(1))
    assert view.evaluate(_CONTRAST) >= 4.5
    page.change_theme(light=False)
    assert view.evaluate(_CONTRAST) >= 4.5
    page.run_cell(2)
