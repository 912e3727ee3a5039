"""One notebook in every place without a browser: the commands that people run, as they run them.

What a person finds afterwards is looked at: the HTML file, the notebook that was written, what the
terminal showed. Nothing may fail, and no widget may be left that nobody could display.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
WIDGET = "application/vnd.jupyter.widget-view+json"

CELLS = (
    "%load_ext nbqueue",
    """\
%%enqueue sweep --for "x=range(6)" --out y --wait
print("at", x)
y = 12 // (x - 7)""",
    """\
@nq.task
def risky(x):
    return 6 // x

job = risky.map([3, 0, 2], name="risky")
job""",
    "job.wait()",
    "[sweep.counts()['SUCCESS'], job.counts()['FAILURE']]",
)


@pytest.fixture
def connect(cluster):
    """First cell of a notebook on the module's cluster."""
    return (
        "import nbqueue as nq\nfrom pathlib import Path\n"
        "from nbqueue.client.connecting import connect_address\n"
        "from nbqueue.cluster.embedded import ensure\n"
        f"_ = connect_address(ensure(Path({str(cluster.folder)!r})))\n"
    )


@pytest.fixture
def path(connect, tmp_path):
    """A notebook with failures, prints and a sweep, without outputs."""
    made = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in (connect, *CELLS)]
    )
    made["metadata"]["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    written = tmp_path / "front.ipynb"
    nbformat.write(made, written)
    return written


@pytest.fixture
def run(tmp_path):
    """Run a command as a person would; gives its process, when it has ended well."""

    def command(*words, display=None, ok=True, **options):
        env = {k: v for k, v in os.environ.items() if k != "NBQUEUE_DISPLAY"}
        env |= {"PYTHONPATH": str(ROOT), "IPYTHONDIR": str(tmp_path / "ipython"), "NO_COLOR": "1"}
        if display is not None:
            env["NBQUEUE_DISPLAY"] = display
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            cwd=tmp_path,
            env=env,
            text=True,
            capture_output=True,
            timeout=200,
            **{"stdin": subprocess.DEVNULL, **options},
        )
        assert not ok or done.returncode == 0, done.stdout + done.stderr
        return done

    return command


def outputs(path):
    """All outputs of a notebook's file."""
    cells = nbformat.read(path, 4)["cells"]
    return [output for cell in cells for output in cell.get("outputs", ())]


def html_of(found):
    return "\n".join(o["data"].get("text/html", "") for o in found if "data" in o)


# -- notebooks that are recorded --------------------------------------------------------------


def test_nbconvert_makes_a_page_of_the_finished_jobs(run, path):
    run("-m", "nbconvert", "--execute", "--to", "html", path)
    page = path.with_suffix(".html").read_text()
    assert "sweep" in page
    assert "ZeroDivisionError" in page
    assert "data:image/png" in page or "image/png" in page
    assert WIDGET not in page
    assert "[6, 1]" in page


def test_papermill_writes_a_notebook_of_finished_jobs_without_widgets(run, path, tmp_path):
    written = tmp_path / "written.ipynb"
    run("-m", "papermill", path, written)
    found = outputs(written)
    assert WIDGET not in json.dumps(found)
    assert not [o for o in found if o["output_type"] == "error"]
    html = html_of(found)
    assert "sweep" in html
    assert "ZeroDivisionError" in html
    assert any("image/png" in o.get("data", {}) for o in found)


def test_nbval_passes_on_what_papermill_has_written_again_and_again(run, path, tmp_path):
    written = tmp_path / "written.ipynb"
    run("-m", "papermill", path, written)
    # The times differ from run to run: as the documentation has it, these cells carry a tag.
    made = nbformat.read(written, 4)
    for cell in made["cells"]:
        if cell["source"].startswith("%%enqueue") or cell["source"].endswith("job"):
            cell["metadata"]["tags"] = ["nbval-ignore-output"]
    nbformat.write(made, written)
    options = ("-p", "no:cacheprovider", "--nbval", "--nbval-current-env", "-c", os.devnull)
    for _ in range(2):
        done = run("-m", "pytest", *options, "--nbval-cell-timeout=60", written)
        assert f"{len(CELLS) + 1} passed" in done.stdout


@pytest.mark.parametrize(
    ("display", "forms"),
    [
        (None, {"text/html", "image/png", "text/plain"}),
        ("html", {"text/html", "image/png", "text/plain"}),
        ("widget", {"text/html", "image/png", "text/plain"}),
        ("text", {"text/plain"}),
        ("off", None),
    ],
)
def test_the_wish_decides_in_which_forms_a_job_is_shown(run, path, tmp_path, display, forms):
    written = tmp_path / "written.ipynb"
    run("-m", "papermill", path, written, display=display)
    (cell,) = [c for c in nbformat.read(written, 4)["cells"] if c["source"].startswith("%%enqueue")]
    shown = [o for o in cell["outputs"] if o["output_type"] in ("display_data", "execute_result")]
    if forms is None:
        assert shown == []
    else:
        assert {kind for o in shown for kind in o["data"]} == forms


# -- without a notebook -----------------------------------------------------------------------


def test_a_terminal_ipython_shows_text_and_no_error(run, connect):
    done = run(
        "-m",
        "IPython",
        "--simple-prompt",
        "--no-banner",
        "-c",
        f"{connect}\n"
        "job = nq.task(lambda x: 6 // x, name='risky').map([3, 0, 2])\njob.wait()\n"
        "display(job)",
    )
    assert "risky" in done.stdout
    assert "FAILURE" in done.stdout
    assert "<div" not in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_session_typed_into_ipython_enqueues_cells(run, connect, tmp_path):
    script = tmp_path / "session.py"
    script.write_text(
        "from IPython.terminal.embed import InteractiveShellEmbed\n"
        "shell = InteractiveShellEmbed()\n"
        f"cells = {[connect, *CELLS]!r}\n"
        "for cell in cells:\n"
        "    done = shell.run_cell(cell, store_history=True)\n"
        "    done.raise_error()\n"
    )
    done = run(script)
    assert "sweep" in done.stdout
    assert "[6, 1]" in done.stdout
    assert "<div" not in done.stdout
    assert "Widget(" not in done.stdout


def test_ipython_runs_a_script_of_cells(run, connect, tmp_path):
    script = tmp_path / "cells.ipy"
    script.write_text(
        f"{connect}\n%load_ext nbqueue\njob = %enqueue --name six 3 + 3\n"
        "print('result', job.result())\n"
    )
    done = run("-m", "IPython", "--simple-prompt", "--no-banner", script)
    assert "result 6" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_script_and_plain_python_print_what_they_print_and_no_more(run, connect, tmp_path):
    code = (
        f"{connect}\nfrom nbqueue.notebook.display import show\n"
        "def third(x):\n    return x / 3\n"
        "job = nq.task(third).map([3, 6], name='thirds')\nshow(job)\nprint(job.result())\n"
        "show(job)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    for words, options in (([script], {}), (["-"], {"input": code, "stdin": None})):
        done = run(*words, **options)
        assert done.stdout == "[1.0, 2.0]\n"
        assert done.stderr == ""
