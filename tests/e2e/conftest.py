"""Real clusters, waits with a deadline, notebooks in processes of their own, and a look for
whatever is left behind.

`cluster` is a module's own: two workers, the default client connected to it. A test that closes or
replaces the default client does no harm to the next one. Nothing here sleeps for a guessed time:
`until` waits for a condition, and fails with what it last saw.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

import nbqueue as nq
from nbqueue.client import connecting as clients
from nbqueue.cluster import embedded, leftovers
from nbqueue.cluster import folder as folders
from tests.e2e.rabbit_node import _shared_node, rabbit, rabbit_node, wires
from tests.e2e.servers import LIMIT_S, ROOT, Servers
from tests.e2e.servers import processes_of as _processes_of
from tests.e2e.servers import until as _until

__all__ = ["_shared_node", "rabbit", "rabbit_node", "wires"]

CONNECT = (
    "import nbqueue as nq; "
    "from pathlib import Path as _P; "
    "from nbqueue.client.connecting import connect_address as _c; "
    "from nbqueue.cluster.embedded import ensure as _e; "
    "_c(_e(_P({folder!r})))\n"
)
"""First line of a notebook that works on a test's cluster."""


@pytest.fixture
def processes_of():
    return _processes_of


@pytest.fixture(scope="session")
def until():
    return _until


@pytest.fixture
def gate(tmp_path):
    """A path that tasks wait for; it comes to be at the test's end, so that none waits for ever."""
    path = tmp_path / "gate"
    yield path
    path.touch()


@pytest.fixture(scope="session", autouse=True)
def home():
    """A place for everything that is kept, so that nobody's own cluster is touched."""
    # Short: a Unix socket's path may have 107 characters at most.
    folder = Path(tempfile.mkdtemp(prefix="nbq."))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NBQUEUE_HOME", str(folder))
        for name in ("NBQUEUE_BROKER", "NBQUEUE_BACKEND", "NBQUEUE_KEY"):
            patch.delenv(name, raising=False)
        yield folder
        embedded.stop()
        assert not _processes_of(folder)
    shutil.rmtree(folder, ignore_errors=True)


class Bare:
    """A folder with an embedded cluster in it; a stand-in takes the place of the worker."""

    def __init__(self, folder):
        self.folder = folder
        self.addresses = []

    def ensure(self, **options):
        options = {"worker_command": ("sleep", "1000"), **options}
        address = embedded.attach(self.folder, **options)
        self.addresses.append(address)
        return address

    def leave(self):
        for address in self.addresses:
            address.keepalive.close()
        self.addresses.clear()

    @property
    def status(self):
        return embedded.status(self.folder)

    def until(self, condition):
        """The first status for which ``condition`` holds."""
        found = []
        ok = folders.wait_until(lambda: condition(found.append(self.status) or found[-1]), LIMIT_S)
        assert ok, f"{found[-1]}\n{embedded._logs(self.folder)}"
        return found[-1]

    def whole(self):
        return self.until(lambda s: s.phase == "running" and s.worker_pid and s.redis_pid)


@pytest.fixture
def bare_at():
    return Bare


@pytest.fixture
def bare(tmp_path):
    """An embedded cluster without a real worker; nothing of it is left behind."""
    made = Bare(tmp_path / "c")
    yield made
    made.leave()
    embedded.stop(made.folder)
    leftovers.clean(made.folder) if made.folder.exists() else None
    _until(lambda: not _processes_of(made.folder))
    assert not made.status.running


@contextlib.contextmanager
def _local_cluster(**options):
    with nq.LocalCluster(**options) as made:
        try:
            yield made
        finally:
            # Whoever asks workers about their queues holds connections: not when the store goes.
            _until(lambda: all(t.name != "nbqueue-queues" for t in threading.enumerate()))
    _until(lambda: not _processes_of(made.folder))
    assert not made.folder.exists()


@pytest.fixture(scope="session")
def local_cluster(home):
    """Makes clusters that are gone, processes and folder, when their block ends."""
    return _local_cluster


@pytest.fixture(scope="module")
def cluster(home):
    """The module's cluster: two workers, and the default client connected to it."""
    with _local_cluster(workers=2) as made:
        yield made


@pytest.fixture(autouse=True)
def _connected(request):
    """Whatever a test does to the default client, the next one finds the module's again."""
    before = clients._default
    yield
    after = clients._default
    if after is not before and after is not None:
        after.close()
    if "cluster" in request.fixturenames and (before is None or before._closed):
        request.getfixturevalue("cluster").connect()
    else:
        clients._default = before


class Notebook:
    """A process that runs cells (here: scripts) in its ``__main__``, beside its own modules."""

    def __init__(self, folder, cluster_folder):
        self.folder = folder
        self._started = []
        self._connect = CONNECT.format(folder=str(cluster_folder))

    def module(self, name, text):
        """Write a module beside the notebook."""
        path = self.folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        shutil.rmtree(path.parent / "__pycache__", ignore_errors=True)

    def start(self, text, *args, **env):
        """Begin to run a script."""
        path = self.folder / "notebook.py"
        path.write_text(self._connect + text)
        env = {**os.environ, "PYTHONPATH": ROOT, "PYTHONUNBUFFERED": "1", **env}
        process = subprocess.Popen(
            [sys.executable, str(path), *map(str, args)],
            cwd=self.folder,
            env={name: str(value) for name, value in env.items()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def close(self):
        """End what is still running."""
        for process in self._started:
            process.kill()
            process.communicate()

    def run(self, text, *args, **env):
        """Run a script to its end; what it printed."""
        process = self.start(text, *args, **env)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        return out


@pytest.fixture
def notebook(tmp_path, cluster):
    """Scripts as notebooks, on the module's cluster."""
    folder = tmp_path / "notebook"
    folder.mkdir()
    made = Notebook(folder, cluster.folder)
    yield made
    made.close()


# -- servers and workers of other kinds ----------------------------------------------------------


@pytest.fixture(scope="module")
def servers(home):
    folder = Path(tempfile.mkdtemp(prefix="nbq."))
    made = Servers(folder)
    yield made
    made.close()
    _until(lambda: not _processes_of(folder))
    shutil.rmtree(folder)


@pytest.fixture
def start_beat(servers):
    """Starts beats, as `Servers.beat`; they end with the test, well."""
    started = []

    def start(*options, **more):
        started.append(servers.beat(*options, **more))
        return started[-1]

    yield start
    for process, log in started:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGCONT)
            process.terminate()
            assert process.wait(10) == 0, log.read_text()
