"""What goes wrong is said where a person looks: in the job's widget and in the cluster's."""

import shutil
import tempfile
from pathlib import Path

import pytest
from playwright.sync_api import expect

import nbqueue as nq
from nbqueue.store import signing
from tests.browser.boards import Board
from tests.e2e.servers import RedisServer, Servers

WAIT_MS = 60_000
KEY = signing.generate()
OTHER_KEY = signing.generate()

CONNECT = """\
import os, time
import nbqueue as nq
client = nq.connect({url!r}, key={key!r})
@nq.task
def hold(x):
    while not os.path.exists({gate!r}):
        time.sleep(0.02)
    return x
"""


@pytest.fixture(scope="module")
def servers():
    folder = Path(tempfile.mkdtemp(prefix="nbq."))
    made = Servers(folder)
    yield made
    made.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def store(servers):
    """A Redis that keeps what it has, with a worker."""
    made = RedisServer(servers, "s3cret-w0rd", "--appendonly", "yes", "--appendfsync", "always")
    made.start()
    servers.worker(made.url, KEY, "-c", "2")
    return made


@pytest.fixture
def gate(tmp_path):
    made = tmp_path / "gate"
    yield made
    made.touch()


def test_a_store_that_does_not_answer_is_told_until_it_answers_again(lab, store, gate):
    page = lab.open(
        CONNECT.format(url=store.url, key=KEY, gate=str(gate)),
        "job = hold.map(range(4), name='hold')\njob",
        "client",
    )
    for i in range(3):
        page.run_cell(i)
    board = Board(page, "hold")
    board.wait("d.state === 'STARTED' && d.outage === 'false'")
    cluster = page.output_area(2).get_by_role("region")
    expect(cluster.get_by_role("table", name="Workers")).to_contain_text("hold", timeout=WAIT_MS)
    store.kill()
    try:
        board.wait("d.outage === 'true'", timeout_s=60)
        alarm = board.view.get_by_role("alert")
        expect(alarm).to_contain_text("Redis has not answered for", timeout=WAIT_MS)
        expect(alarm).to_contain_text("trying again")
        shown = alarm.inner_text()
        page.wait_for("before => document.querySelector('.nbq-notice').innerText !== before", shown)
        expect(cluster.get_by_role("alert")).to_contain_text(
            "Redis has not answered for", timeout=WAIT_MS
        )
        assert "s3cret-w0rd" not in alarm.inner_text() + cluster.inner_text()
        for light in (True, False):
            page.change_theme(light=light)
            page.screenshot(f"outage-{'light' if light else 'dark'}")
    finally:
        store.start()
    board.wait("d.outage === 'false'", timeout_s=60)
    expect(board.view.get_by_role("alert")).to_be_hidden(timeout=WAIT_MS)
    expect(cluster.get_by_role("alert")).to_be_hidden(timeout=WAIT_MS)
    gate.touch()
    page.wait_for(
        "name => [...document.querySelectorAll('section[aria-label]')].filter("
        "x => x.getAttribute('aria-label') === name).every(x => x.dataset.finished === 'true')",
        "Job hold",
        timeout_s=90,
    )


def test_what_workers_refuse_is_counted_with_the_latest_and_why(lab, store):
    page = lab.open(CONNECT.format(url=store.url, key=KEY, gate="/"), "client")
    page.run_cell(0)
    page.run_cell(1)
    cluster = page.output_area(1).get_by_role("region")
    workers = cluster.get_by_role("table", name="Workers")
    expect(workers).to_contain_text("worker", timeout=WAIT_MS)
    expect(cluster.get_by_label("Refused")).to_be_hidden()
    with nq.connect(store.url, key=OTHER_KEY):
        nq.task(lambda: None).submit()
        expect(cluster.get_by_label("Refused")).to_contain_text("refused", timeout=WAIT_MS)
    refused = cluster.get_by_label("Refused")
    expect(refused).to_contain_text(
        "message that is not signed with a key of the workers", timeout=WAIT_MS
    )
    expect(refused).to_contain_text("(refused by ")
    page.screenshot("refused", of=page.cell(1))


def test_a_job_that_no_worker_takes_says_so(lab):
    page = lab.open(
        "import nbqueue as nq\n@nq.task(queue='gpu')\ndef fit(x):\n    return x",
        "job = fit.map(range(20), name='waits')\njob",
        "job.cancel()",
    )
    page.run_cell(0)
    page.run_cell(1)
    board = Board(page, "waits")
    expect(board.view.get_by_role("alert")).to_contain_text(
        "No worker consumes queue 'gpu'", timeout=WAIT_MS
    )
    page.screenshot("no-worker", of=board.view)
    page.run_cell(2)
