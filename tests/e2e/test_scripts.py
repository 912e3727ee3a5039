"""Without a notebook: scripts, however they are started, and marimo's notebooks, which are scripts.

What a task needs of ``__main__`` travels by value, so nothing is imported again where it runs and
no ``if __name__ == "__main__"`` is called for, though one does no harm.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("cluster")

ROOT = Path(__file__).resolve().parents[2]

TOP = """\
import dataclasses
import os
import nbqueue as nq

print("loaded")
offset = 10

@dataclasses.dataclass
class Point:
    x: int

def shifted(x):
    return x + offset

@nq.task
def work(point):
    return Point(shifted(point.x)), os.getpid()
"""
REST = """\
job = work.map([Point(1), Point(2)])
found = job.result()
assert os.getpid() not in [pid for _, pid in found]
assert all(type(point) is Point for point, _ in found)
print([point.x for point, _ in found], job.to_frame()["state"].tolist())
"""
PRINTED = "loaded\n[11, 12] ['SUCCESS', 'SUCCESS']\n"

BARE = TOP + REST
GUARDED = TOP + "if __name__ == '__main__':\n" + "".join(f"    {x}\n" for x in REST.splitlines())
AWAITED = (
    TOP
    + """
import asyncio

async def main():
    job = work.map([Point(1), Point(2)])
    ended = [future.result()[0].x async for future in job]
    found = await asyncio.wait_for(job, 60)
    assert sorted(ended) == [point.x for point, _ in found]
    print(sorted(ended), job.to_frame()["state"].tolist())

asyncio.run(main())
"""
)


@pytest.fixture
def run(cluster, tmp_path):
    """Run a command on the module's cluster; gives what it printed."""

    def command(*words, given=None):
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "NBQUEUE_BROKER": cluster.broker_url,
                "NBQUEUE_KEY": cluster._address.key,
                "HOME": str(tmp_path),
                "XDG_CONFIG_HOME": str(tmp_path),
                "XDG_STATE_HOME": str(tmp_path),
            },
            input=given or "",
            text=True,
            capture_output=True,
            timeout=200,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return command


@pytest.mark.parametrize("text", [BARE, GUARDED, AWAITED], ids=["bare", "guarded", "awaited"])
def test_a_script_runs_its_own_tasks(run, tmp_path, text):
    path = tmp_path / "script.py"
    path.write_text(text)
    assert run(path) == PRINTED


def test_so_does_what_is_typed_or_piped_or_a_module(run, tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "package" / "script.py").write_text(GUARDED)
    assert run("-m", "package.script") == PRINTED
    assert run("-c", BARE) == PRINTED
    assert run("-", given=GUARDED) == PRINTED


def test_a_script_ends_with_the_error_of_its_task(run, tmp_path):
    path = tmp_path / "script.py"
    path.write_text(
        "import nbqueue as nq\n"
        "def divide(x):\n    return 1 / x\n"
        "try:\n    nq.task(divide).submit(0).result()\n"
        "except ZeroDivisionError as exc:\n    print(exc.__cause__)\n"
    )
    told = run(path)
    assert 'script.py", line 3, in divide' in told
    assert "return 1 / x" in told


MARIMO = """\
import marimo

app = marimo.App()


@app.cell
def _():
    import nbqueue as nq

    return (nq,)


@app.cell
def _(nq):
    top = 12

    @nq.task
    def divided(x):
        return top // (x - 3)

    job = divided.map(range(6), name="divided")
    job.wait()
    job
    return (job,)


@app.cell
def _(job):
    job.to_frame()
    return


@app.cell
async def _(job):
    ended = [future.index async for future in job]
    print(sorted(ended), job.result(errors="drop"))
    return


@app.cell
def _(job):
    job[3].why()
    return


if __name__ == "__main__":
    app.run()
"""


@pytest.fixture
def marimo(tmp_path):
    path = tmp_path / "book.py"
    path.write_text(MARIMO)
    return path


def test_a_marimo_notebook_runs_as_a_script(run, marimo):
    assert run(marimo) == "[0, 1, 2, 3, 4, 5] [-4, -6, -12, 12, 6]\n"


def test_a_marimo_notebook_shows_jobs_and_frames_as_pages(run, marimo, tmp_path):
    written = tmp_path / "book.ipynb"
    run("-m", "marimo", "export", "ipynb", marimo, "-o", written, "--include-outputs")
    cells = json.loads(written.read_text())["cells"]
    pages = [
        "".join(output["data"].get("text/html", ""))
        for cell in cells
        for output in cell.get("outputs", ())
        if "data" in output
    ]
    job, frame, why = pages
    assert "ZeroDivisionError" in job
    assert "finished, 1 failed" in job
    assert "<table" in frame
    assert "FAILURE" in frame
    assert "by zero" in why


def test_a_marimo_notebook_is_exported_as_a_page(run, marimo, tmp_path):
    written = tmp_path / "book.html"
    run("-m", "marimo", "export", "html", marimo, "-o", written)
    page = written.read_text()
    assert "finished, 1 failed" in page
    assert "[0, 1, 2, 3, 4, 5] [-4, -6, -12, 12, 6]" in page
