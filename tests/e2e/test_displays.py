"""Jobs on display: in a kernel that is recorded, with a front end, in a terminal, and in none."""

import os
import sys
import textwrap
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
FORMS = {"text/plain", "text/html", "image/png"}
WIDGET = "application/vnd.jupyter.widget-view+json"

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

SETUP = """
import pathlib, time
import nbqueue as nq

@nq.task
def wait_for(path, x=None):
    while not pathlib.Path(path).exists():
        time.sleep(0.01)
    return x

@nq.task
def check(path):
    if not pathlib.Path(path).exists():
        raise ValueError("<b>missing</b>")
"""


def env_of(**more):
    names = {k: v for k, v in os.environ.items() if k != "NBQUEUE_DISPLAY"}
    return {**names, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", **more}


class Kernel:
    """A kernel without a front end, and everything that it has displayed, updates played out."""

    def __init__(self, **env):
        self.manager, self.client = start_new_kernel(
            kernel_name="python3", env=env_of(**env), startup_timeout=60
        )
        self.history = []
        """(message type, display id, data), in order."""
        self.shown = {}
        """Data by display id."""

    def run(self, code, **metadata):
        """Run a cell; gives its own outputs. ``metadata`` is what a front end would send."""
        content = {
            "code": textwrap.dedent(code),
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": False,
        }
        message = self.client.session.msg("execute_request", content, metadata=metadata)
        self.client.shell_channel.send(message)
        found = []
        while True:
            heard = self.hear()
            if heard["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            found.append(heard)
            assert heard["msg_type"] != "error", "\n".join(heard["content"]["traceback"])
            if heard["msg_type"] == "status" and heard["content"]["execution_state"] == "idle":
                return found

    def hear(self, timeout=30):
        """Take the next message."""
        heard = self.client.get_iopub_msg(timeout=timeout)
        content = heard["content"]
        shown = content.get("transient", {}).get("display_id")
        if shown:
            self.history.append((heard["msg_type"], shown, content["data"]))
            self.shown[shown] = content["data"]
        return heard

    def until(self, condition):
        """Listen until something shown satisfies a condition."""
        while not any(condition(data) for data in self.shown.values()):
            self.hear()

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def kernels(cluster):
    """Kernels on the module's cluster."""
    made = []

    def start(connect, **env):
        made.append(Kernel(**env))
        made[-1].run(connect + SETUP)
        return made[-1]

    yield start
    for kernel in made:
        kernel.close()


@pytest.fixture
def kernel(kernels, connect):
    """A kernel that sends nothing with its cells, as nbclient's."""
    return kernels(connect)


@pytest.fixture
def connect(cluster):
    """First line of a notebook on the module's cluster."""
    folder = str(cluster.folder)
    return (
        "import nbqueue as nq\nfrom pathlib import Path as _P\n"
        "from nbqueue.client.connecting import connect_address as _c\n"
        f"from nbqueue.cluster.embedded import ensure as _e\n_c(_e(_P({folder!r})))\n"
    )


def plain(data):
    return data.get("text/plain", "")


def kinds(messages):
    return [m["msg_type"] for m in messages if m["msg_type"] not in ("status", "execute_input")]


# -- recorded ------------------------------------------------------------------------------------


def test_a_recorded_notebook_shows_how_the_job_ended(connect, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("NBQUEUE_DISPLAY", raising=False)
    cells = [
        connect + SETUP,
        "job = nq.task(lambda x: {'<i>y</i>': 1 / x}).map([1, 0, 2], name='<b>grid</b>')\njob",
        "job.wait()",
        "job",
        "wait_for(__file__ if 0 else '/', 7), wait_for",
        "check.submit('/nowhere')[0].exception()",
    ]
    book = nbformat.v4.new_notebook()
    book.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    NotebookClient(book, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    for cell in (book.cells[1], book.cells[3]):
        (output,) = cell.outputs
        assert set(output.data) == FORMS
        assert "FAILURE, 3 items (SUCCESS 2, FAILURE 1)" in output.data["text/plain"]
        assert "finished, 1 failed" in output.data["text/html"]
        assert "<b>grid" not in output.data["text/html"]
        assert "&lt;b&gt;grid&lt;/b&gt;" in output.data["text/html"]
    assert "[widgets]" not in str(book.metadata)


def test_the_first_display_has_the_same_forms_as_the_last(kernel, gate):
    cell = kernel.run(f"job = wait_for.submit({str(gate)!r}, 1); job")
    assert kinds(cell) == ["display_data"]
    gate.touch()
    kernel.until(lambda data: "SUCCESS" in plain(data))
    assert all(set(data) == FORMS for _, _, data in kernel.history)
    assert [kind for kind, _, _ in kernel.history[1:]] == ["update_display_data"] * (
        len(kernel.history) - 1
    )
    assert len(kernel.shown) == 1


def test_the_end_reaches_the_output_within_the_cell_that_waits(kernel, gate):
    kernel.run(f"job = wait_for.submit({str(gate)!r}, 1); job")
    gate.touch()
    kernel.run("job.wait(20)")
    assert ["SUCCESS" in plain(data) for data in kernel.shown.values()] == [True]


def test_every_display_of_a_job_is_live(kernel, gate):
    kernel.run(f"job = wait_for.submit({str(gate)!r}, 1); job")
    kernel.run("display(job); display(job)")
    assert len(kernel.shown) == 3
    gate.touch()
    kernel.run("job.wait(20)")
    assert all("SUCCESS" in plain(data) for data in kernel.shown.values())


def test_a_retry_makes_the_old_output_live_again(kernel, gate):
    kernel.run(f"job = check.map([{str(gate)!r}], name='again'); job")
    kernel.run("job.wait(20)")
    (data,) = kernel.shown.values()
    assert "FAILURE" in plain(data)
    assert "&lt;b&gt;missing" in data["text/html"]
    gate.touch()
    kernel.run("_ = job.retry().wait(20)")
    (data,) = kernel.shown.values()
    assert "SUCCESS" in plain(data)


def test_nothing_is_stepped_when_nothing_is_live(kernel):
    kernel.run("job = nq.task(abs).map([1, 2]); job")
    kernel.run("job.wait(20)")
    found = kernel.run("import nbqueue.notebook.display as d; d.stage.live")
    assert [m["content"]["data"]["text/plain"] for m in found if "data" in m["content"]] == ["0"]


def test_a_kernel_that_ends_leaves_what_was_known(kernel, gate):
    kernel.run(f"job = wait_for.submit({str(gate)!r}, 1); job")
    kernel.client.shutdown()
    kernel.until(lambda data: "running when this was last heard of: 0 of 1" in data["text/html"])
    gate.touch()


def test_a_frame_is_live_until_the_job_ends(kernel, gate):
    found = kernel.run(f"job = wait_for.map(['/', {str(gate)!r}], [5, 6])\njob.to_frame(live=True)")
    assert kinds(found) == ["display_data"]
    kernel.until(lambda data: "<td>5" in data["text/html"])
    assert "2 rows × " in next(iter(kernel.shown.values()))["text/html"]
    gate.touch()
    kernel.until(lambda data: data["text/html"].count("<td>SUCCESS</td>") == 2)
    assert len(kernel.shown) == 1


def test_things_have_html_in_a_notebook(kernel):
    found = kernel.run("job = nq.task(abs).submit(-1); job.wait(20); job[0]")
    data = next(m["content"]["data"] for m in found if "data" in m["content"])
    assert set(data) == {"text/plain", "text/html"}
    assert "SUCCESS" in data["text/html"]
    data = next(m["content"]["data"] for m in kernel.run("wait_for") if "data" in m["content"])
    assert "wait_for(path, x=None)" in data["text/html"]
    found = kernel.run("client = nq.cluster(); client")
    data = [m["content"]["data"] for m in found if "data" in m["content"]][-1]
    assert "Cluster on this machine" in data["text/html"]
    found = kernel.run("client.close(); client")
    data = [m["content"]["data"] for m in found if "data" in m["content"]][-1]
    assert "closed" in data["text/html"]


# -- with a front end ----------------------------------------------------------------------------


def test_a_front_end_gets_a_widget_and_a_page_in_the_end(kernel, gate):
    cell = kernel.run(f"job = wait_for.submit({str(gate)!r}, 1); job", cellId="0")
    first = next(m["content"]["data"] for m in cell if m["msg_type"] == "display_data")
    assert set(first) == FORMS | {WIDGET}
    assert "waiting" in first["text/html"] or "running" in first["text/html"]
    gate.touch()
    kernel.until(lambda data: WIDGET not in data)
    (last,) = kernel.shown.values()
    assert set(last) == FORMS
    assert "SUCCESS" in plain(last)


def test_failures_stay_clickable_while_a_front_end_may_come(kernel):
    kernel.run("job = check.map(['/nowhere']); job", cellId="0")
    kernel.run("job.wait(20)", cellId="1")
    assert [WIDGET in data for data in kernel.shown.values()] == [True]
    kernel.until(lambda data: WIDGET not in data)  # none came
    assert "FAILURE" in plain(next(iter(kernel.shown.values())))


def test_a_widget_that_nobody_sees_is_replaced_before_its_cell_ends(kernels, connect):
    kernel = kernels(connect, NBQUEUE_DISPLAY="widget")
    kernel.run("job = check.map(['/nowhere']); display(job); job.wait(20)")
    assert [set(data) for data in kernel.shown.values()] == [FORMS]
    assert len(kernel.history) == 2


# -- by wish -------------------------------------------------------------------------------------


@pytest.mark.parametrize("wish", ["text", "off"])
def test_text_and_off_have_a_plain_repr_and_no_display(kernels, connect, wish):
    kernel = kernels(connect, NBQUEUE_DISPLAY=wish)
    found = kernel.run("job = nq.task(abs).submit(-1); job.wait(20); job")
    assert kinds(found) == ["execute_result"]
    data = next(m["content"]["data"] for m in found if "data" in m["content"])
    assert plain(data).endswith("SUCCESS, 1 item (SUCCESS 1)>")
    found = kernel.run("from nbqueue.notebook.display import show; show(job)")
    assert kinds(found) == (["display_data"] if wish == "text" else [])


def test_a_wish_that_cannot_be_is_said_once(kernels, connect):
    kernel = kernels(connect, NBQUEUE_DISPLAY="wdiget")
    found = kernel.run("job = nq.task(abs).submit(-1); display(job); display(job)")
    said = "".join(m["content"]["text"] for m in found if m["msg_type"] == "stream")
    assert said.count("NBQUEUE_DISPLAY is 'wdiget'") == 1
    assert kinds(found).count("display_data") == 2


# -- elsewhere -----------------------------------------------------------------------------------


def test_a_terminal_shows_text(notebook, connect):
    code = connect + SETUP + "job = nq.task(abs).map([-1, 2], name='grid'); job.wait(20)\n"
    code += "from nbqueue.notebook.display import show; show(job)\n"
    code += "display(wait_for); job.to_frame(live=True)"
    (notebook.folder / "cell.py").write_text(code)
    process = notebook.start(
        """
        import sys
        from IPython import start_ipython
        sys.exit(start_ipython(["--simple-prompt", "--no-banner", "--colors=NoColor",
                                "-c", open("cell.py").read()]))
        """.replace("\n        ", "\n"),
        IPYTHONDIR=notebook.folder / "ipython",
    )
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "<Job 'grid': SUCCESS, 2 items (SUCCESS 2)>" in out
    assert "<Task wait_for(path, x=None)>" in out
    assert "item" in out
    assert "Traceback" not in out + err


def test_plain_python_shows_nothing_and_loads_no_ipython(notebook):
    process = notebook.start(
        textwrap.dedent("""
            import sys
            import nbqueue as nq
            from nbqueue.notebook.display import show
            job = nq.task(abs).map([-1, 2])
            show(job)
            assert job.wait(20)
            show(job)
            assert "IPython" not in sys.modules
        """)
    )
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")


def test_importing_is_cheap_and_loads_no_views():
    import subprocess

    code = (
        "import sys; from IPython.core.interactiveshell import InteractiveShell as S; "
        "S.instance(); import nbqueue; "
        "print(sorted(m for m in sys.modules if m.startswith('nbqueue')))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], env=env_of(), capture_output=True, text=True, check=True
    ).stdout
    assert out.split("'")[1::2] == [
        "nbqueue",
        "nbqueue.client",
        "nbqueue.client.onlooking",
        "nbqueue.client.place",
        "nbqueue.joblib",
        "nbqueue.notebook",
        "nbqueue.notebook.register",
    ]
