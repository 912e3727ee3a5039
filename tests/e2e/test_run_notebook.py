"""Whole notebooks on the workers: `nq.run_notebook` and ``nbqueue run``."""

import subprocess
import sys

import nbformat
import pytest

import nbqueue as nq
from nbqueue import cli

pytestmark = pytest.mark.usefixtures("cluster")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A notebook that divides by its parameter."""
    cell = nbformat.v4.new_code_cell
    made = nbformat.v4.new_notebook(
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        },
        cells=[
            cell("x = 1\nword = 'none'", metadata={"tags": ["parameters"]}),
            cell("print(word, 'is', 1 / x)"),
        ],
    )
    path = tmp_path_factory.mktemp("books") / "divide.ipynb"
    nbformat.write(made, path)
    return path


def printed(text):
    book = nbformat.reads(text, as_version=4)
    return "".join(out.get("text", "") for cell in book.cells for out in cell.get("outputs", ()))


def test_each_set_of_parameters_is_a_run_and_an_item(path):
    job = nq.run_notebook(path, [{"x": 2, "word": "half"}, {"word": "naught", "x": 0}])
    assert job.wait(60)
    assert printed(job[0].result()) == "half is 0.5\n"
    failed = job[1].exception()
    assert isinstance(failed, nq.NotebookFailed)
    assert "raised ZeroDivisionError: division by zero" in str(failed)
    assert any(
        out["output_type"] == "error"
        for cell in nbformat.reads(failed.notebook, as_version=4).cells
        for out in cell.get("outputs", ())
    )
    frame = job.to_frame()
    assert frame[["x", "word"]].to_numpy().tolist() == [[2, "half"], [0, "naught"]]
    assert (job.task, job.name.startswith("divide-")) == ("divide", True)


def test_one_run_without_parameters(path):
    assert printed(nq.run_notebook(path, name="plain").result(60)) == "none is 1.0\n"
    assert nq.job("plain").n == 1


def test_what_is_no_notebook_is_refused(path, tmp_path):
    with pytest.raises(nq.UsageError, match="cannot be read: No such file"):
        nq.run_notebook(tmp_path / "none.ipynb")
    (tmp_path / "text.ipynb").write_text("hello")
    with pytest.raises(nq.UsageError, match="is no notebook"):
        nq.run_notebook(tmp_path / "text.ipynb")
    with pytest.raises(nq.UsageError, match="the same parameters, not x and then y"):
        nq.run_notebook(path, [{"x": 1}, {"y": 1}])


def test_the_command_leaves_executed_copies(path, tmp_path, cluster, monkeypatch):
    monkeypatch.setenv("NBQUEUE_BROKER", cluster.broker_url)
    monkeypatch.setenv("NBQUEUE_KEY", cluster._address.key)
    words = ["run", str(path), "--for", "x=range(2)", "-p", "word=one", "-o", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "nbqueue", *words], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1, done.stderr
    lines = sorted(done.stdout.splitlines())
    assert lines[0].startswith(f"FAILURE  {tmp_path}/divide-word=one,x=0.ipynb  cell ")
    assert lines[1] == f"SUCCESS  {tmp_path}/divide-word=one,x=1.ipynb"
    assert printed((tmp_path / "divide-word=one,x=1.ipynb").read_text()) == "one is 1.0\n"
    assert "error" in (tmp_path / "divide-word=one,x=0.ipynb").read_text()


def test_a_run_is_taken_from_the_cache_where_that_is_asked_for(
    path, tmp_path, cluster, monkeypatch, capsys
):
    monkeypatch.setenv("NBQUEUE_BROKER", cluster.broker_url)
    monkeypatch.setenv("NBQUEUE_KEY", cluster._address.key)
    words = ["run", str(path), "-p", "x=4", "-o", str(tmp_path)]
    written = tmp_path / "divide-x=4.ipynb"
    copies = []
    for option in ("--cache", "--cache", "--no-cache"):
        assert cli.main([*words, option]) == 0
        copies.append(written.read_text())
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("SUCCESS")]
    assert said == [
        f"SUCCESS  {written}",
        f"SUCCESS  (from the cache)  {written}",
        f"SUCCESS  {written}",
    ]
    assert copies[0] == copies[1] != copies[2]  # papermill notes when
