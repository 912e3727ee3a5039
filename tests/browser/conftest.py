"""Real browsers on real servers: JupyterLab 4 and Notebook 7 in Chromium, on a real cluster.

`lab` and `notebook7` open fresh notebooks, each in a tab and with a kernel of its own; `front` is
both, one after the other. All of a session share one cluster in a folder of its own, one server of
each kind and one browser, because starting them takes longer than most tests. What a test leaves
running is cancelled after it, and a session fails that leaves a process behind.

    NBQUEUE_SHOTS=DIR pytest tests/browser      pictures that the tests take go to DIR
    NBQUEUE_CHROMIUM=/path/to/chromium          when it is not on the PATH
    NBQUEUE_PICTURES=notebooks/pictures         README's pictures are made anew (`test_pictures`)
"""

import contextlib
import os
import re
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import expect

import nbqueue as nq
from nbqueue.cluster import embedded
from tests.browser import chromium
from tests.browser.pages import NotebookPage, write
from tests.browser.servers import LAB, NOTEBOOK, JupyterServer

GONE_S = 60.0

expect.set_options(timeout=30_000)  # (Playwright's own 5 s are too few for a busy machine.)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Leave with each test whether it failed, for the fixture that takes the picture."""
    report = yield
    if report.when == "call":
        item.stash[_FAILED] = report.failed
    return report


_FAILED = pytest.StashKey[bool]()


def _processes_of(folder):
    """The command lines that name a folder or run in it (Linux; elsewhere none are found)."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            where = str((path / "cwd").readlink())
            if int(path.name) != os.getpid() and (str(folder) in words or str(folder) in where):
                found[int(path.name)] = words
    return found


@pytest.fixture(scope="session")
def home():
    """The folder of everything that the session starts; nothing may be left running in it."""
    # Short: a Unix socket's path may have 107 characters at most.
    folder = Path(tempfile.mkdtemp(prefix="nbq."))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NBQUEUE_HOME", str(folder / "q"))
        for name in ("NBQUEUE_BROKER", "NBQUEUE_BACKEND", "NBQUEUE_KEY", "NBQUEUE_DISPLAY"):
            patch.delenv(name, raising=False)
        yield folder
        embedded.stop()
        deadline = time.monotonic() + GONE_S
        while left := _processes_of(folder):
            assert time.monotonic() < deadline, f"left running: {left}"
            time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster(home):
    """The cluster that every kernel finds by itself: two workers; gives a client of it."""
    address = embedded.ensure(workers=2)
    with nq.connect() as client:
        yield client
    address.keepalive.close()


@dataclass(frozen=True)
class Shots:
    """Where pictures go: `wanted` when somebody asked for them, else only those of failures."""

    wanted: Path | None
    folder: Path


@pytest.fixture(scope="session")
def shots(tmp_path_factory):
    wanted = os.environ.get("NBQUEUE_SHOTS")
    folder = Path(wanted) if wanted else tmp_path_factory.getbasetemp() / "shots"
    return Shots(Path(wanted) if wanted else None, folder)


@pytest.fixture(scope="session")
def browser(home):
    """One Chromium for all tests."""
    with chromium.started(home) as made:
        yield made


def _serve(home, flavour):
    server = JupyterServer(home / flavour.name, flavour, {})
    try:
        server.await_start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def lab_server(home):
    yield from _serve(home, LAB)


@pytest.fixture(scope="session")
def notebook_server(home):
    yield from _serve(home, NOTEBOOK)


class FrontEnd:
    """Opens notebooks in one kind of front end."""

    def __init__(self, server, browser, shots, label):
        self.server = server
        self.pages = []
        self._browser = browser
        self._shots = shots
        self._label = label

    def open(self, *cells, width=1280, height=900, scale=1):
        """Open a new notebook of these cells, without outputs; gives its page, ready to run.

        ``scale``: pixels of the screen to one of the page.
        """
        suffix = f"-{len(self.pages)}" if self.pages else ""
        name = f"{self._label}{suffix}.ipynb"
        write(self.server.notebooks / name, cells)
        return self.open_file(name, width=width, height=height, scale=scale)

    def open_file(self, name, *, width=1280, height=900, scale=1):
        """Open a notebook that lies in the server's folder."""
        context = self._browser.new_context(
            viewport={"width": width, "height": height}, device_scale_factor=scale
        )
        page = NotebookPage(context.new_page(), self.server, name, self._shots)
        self.pages.append(page)
        page.open()
        return page

    def close(self, *, failed):
        """Close every notebook; after a failure, with a picture and what the page said."""
        for page in self.pages:
            if failed:
                with contextlib.suppress(Exception):  # the page may be what has crashed
                    print(f"picture: {page.screenshot('failed', always=True)}")
                print("\n".join(page.said))
            page.close()
        self.server.forget_theme()


@contextlib.contextmanager
def _front_end(request, server, browser, cluster, shots):
    label = re.sub(r"\W+", "-", request.node.name).strip("-")
    made = FrontEnd(server, browser, shots, label)
    try:
        yield made
    finally:
        made.close(failed=request.node.stash.get(_FAILED, True))
        _cancel_all(cluster)


def _cancel_all(client):
    """Leave the workers to the next test."""
    listed = client.jobs()
    for job_id in listed.index[listed["state"].isin(["PENDING", "STARTED"])]:
        client.job(job_id).cancel(terminate=True)


@pytest.fixture
def lab(request, lab_server, browser, cluster, shots):
    """JupyterLab."""
    with _front_end(request, lab_server, browser, cluster, shots) as made:
        yield made


@pytest.fixture
def notebook7(request, notebook_server, browser, cluster, shots):
    """Notebook 7."""
    with _front_end(request, notebook_server, browser, cluster, shots) as made:
        yield made


@pytest.fixture(params=["lab", "notebook7"])
def front(request):
    """Each of the two front ends."""
    return request.getfixturevalue(request.param)
