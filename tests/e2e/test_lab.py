"""``nbqueue lab``: JupyterLab on copies of the notebooks, opened at the quickstart."""

import contextlib
import json
import os
import secrets
import signal
import sys
import urllib.request

import pytest

from nbqueue.cli import lab, main
from tests.e2e.servers import ROOT, Servers, free_port, processes_of, until

QUICKSTART = "01_quickstart.ipynb"
KINDS = {".ipynb", ".md"}


@pytest.fixture
def servers(tmp_path):
    made = Servers(tmp_path)
    yield made
    made.close()


def test_jupyterlab_opens_on_the_quickstart_and_is_what_the_command_becomes(servers, tmp_path):
    token, port = secrets.token_hex(8), free_port()
    folders = {
        f"JUPYTER_{name}_DIR": str(tmp_path / name.lower())
        for name in ("CONFIG", "DATA", "RUNTIME")
    }
    process, log = servers.start(
        "lab",
        [
            *(sys.executable, "-m", "nbqueue", "lab", "--folder", "books", "--no-browser"),
            *("--allow-root", "--ip=127.0.0.1", "--port", str(port)),
            *("--ServerApp.port_retries=0", f"--IdentityProvider.token={token}"),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), **folders},
    )

    def ask(path):
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError):
            url = f"http://127.0.0.1:{port}/api/{path}?token={token}"
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)

    assert until(lambda: ask("status"), 90)
    books = {path.name for path in (ROOT / "notebooks").glob("*.*") if path.suffix in KINDS}
    assert {one["name"] for one in ask("contents")["content"]} == books
    assert ask(f"contents/{QUICKSTART}")["type"] == "notebook"
    assert f"/lab/tree/{QUICKSTART}?token=" in log.read_text()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert not processes_of(tmp_path)


def test_what_the_folder_has_already_stays(tmp_path):
    (tmp_path / QUICKSTART).write_text("mine")
    lab._copy_into(tmp_path)
    assert (tmp_path / QUICKSTART).read_text() == "mine"
    assert lab._copy_into(tmp_path) == 0


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ({"jupyterlab"}, "needs jupyterlab, not installed in"),
        ({"sklearn", "matplotlib"}, "needs scikit-learn, matplotlib, not installed in"),
    ],
)
def test_what_is_not_installed_is_named_with_what_installs_it(
    lacking, said, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(lab, "find_spec", lambda name: None if name in lacking else object())
    monkeypatch.chdir(tmp_path)
    assert main(["lab"]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "pip install 'nbqueue[lab]'" in error
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_named(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["lab", "--folder", str(tmp_path / "file" / "books")]) == 1
    assert f"{tmp_path / 'file' / 'books'} cannot be written (Not a directory)" in (
        capsys.readouterr().err
    )


def test_an_installation_without_notebooks_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lab, "_PLACES", (tmp_path,))
    assert main(["lab", "--folder", str(tmp_path / "books")]) == 1
    assert f"is not in this installation (looked in {tmp_path})" in capsys.readouterr().err
