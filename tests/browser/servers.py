"""A Jupyter server of the tests' own: JupyterLab 4 or Notebook 7, in private folders.

Owns the process and what it takes to talk to it over HTTP; what happens in the browser is
`pages.py`'s. Nothing of the developer's own Jupyter is read or written: configuration, data,
runtime files, settings, workspaces, IPython's profile and HOME are all below one folder, which
appears on the command line of the server and of its kernels, so that leftovers can be found.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.servers import free_port

ROOT = Path(__file__).resolve().parents[2]

START_S = 60.0
"""A server is up in 5 to 10 seconds; a busy machine needs several times as long."""

END_S = 60.0

PATIENT = """\
from nbqueue.notebook import life
life.ATTACH_S = 60.0
"""
"""Begins each kernel: a page on a busy machine takes longer than ten seconds to show a widget, and
that of a job that has ended would be gone before."""


@dataclass(frozen=True)
class Flavour:
    """What JupyterLab and Notebook do not have in common."""

    name: str
    command: tuple[str, ...]
    page: str


LAB = Flavour("lab", ("lab", "--LabApp.expose_app_in_browser=True"), "/lab/tree/{name}")
NOTEBOOK = Flavour(
    "notebook",
    ("notebook", "--JupyterNotebookApp.expose_app_in_browser=True"),
    "/notebooks/{name}",
)


class JupyterServer:
    """A running server; `close` ends it, and its kernels with it."""

    def __init__(self, folder, flavour, env):
        self.folder = folder
        self.flavour = flavour
        self.notebooks = folder / "notebooks"
        self.notebooks.mkdir(parents=True)
        self.token = secrets.token_hex(16)
        self.url = f"http://127.0.0.1:{free_port()}"
        _write_settings(folder)
        _write_startup(folder)
        self.log = folder / "server.log"
        with self.log.open("wb") as out:
            self._process = subprocess.Popen(
                self._command(),
                cwd=self.notebooks,
                env={**os.environ, **_private(folder), **env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _command(self):
        return [
            sys.executable,
            "-m",
            "jupyter",
            *self.flavour.command,
            "--no-browser",
            "--allow-root",
            "--ip=127.0.0.1",
            f"--port={self.url.rpartition(':')[2]}",
            "--ServerApp.port_retries=0",
            f"--IdentityProvider.token={self.token}",
            f"--ServerApp.root_dir={self.notebooks}",
        ]

    def await_start(self):
        """Return when the server answers; fails with its log when it does not."""
        deadline = time.monotonic() + START_S
        while True:
            with contextlib.suppress(OSError):
                self.rest("/api/status")
                return
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def rest(self, path, method="GET"):
        """Call the server's REST interface; gives the answer's JSON, or None without one."""
        request = urllib.request.Request(
            self.url + path, method=method, headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def page_url(self, name):
        """Give the address of a notebook; a `reset` workspace, so that no other one is open."""
        return f"{self.url}{self.flavour.page.format(name=name)}?token={self.token}&reset"

    def shut_kernels_down(self):
        """End every kernel, as `Kernel > Shut Down` does; back when they are gone."""
        for session in self.rest("/api/sessions"):
            with contextlib.suppress(urllib.error.HTTPError):  # another DELETE was faster
                self.rest(f"/api/sessions/{session['id']}", "DELETE")
        deadline = time.monotonic() + END_S
        while self.rest("/api/kernels"):
            assert time.monotonic() < deadline, "kernels go on after DELETE"
            time.sleep(0.05)

    def forget_theme(self):
        """Have the next page open in the light theme, as a new user's does."""
        path = "settings/@jupyterlab/apputils-extension/themes.jupyterlab-settings"
        (self.folder / path).unlink(missing_ok=True)

    def close(self):
        """End the server and whatever it started."""
        with contextlib.suppress(OSError):
            self.shut_kernels_down()
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(END_S)
                return


def _private(folder):
    places = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
        "HOME": "home",
    }
    for name in places.values():
        (folder / name).mkdir(exist_ok=True)
    return {
        "JUPYTER_PREFER_ENV_PATH": "1",
        # The kernelspec says "python": the one of this environment, installed or not.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(ROOT),
        **{variable: str(folder / name) for variable, name in places.items()},
    }


def _write_settings(folder):
    # Only a settings file keeps the dialog away that asks whether to fetch news.
    path = folder / "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))


def _write_startup(folder):
    path = folder / "ipython/profile_default/startup/patient.py"
    path.parent.mkdir(parents=True)
    path.write_text(PATIENT)
