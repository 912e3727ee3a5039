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
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
import redis

import nbqueue as nq
from nbqueue.client import client as clients
from nbqueue.cluster import embedded, leftovers, redis_server
from nbqueue.cluster import folder as folders
from tests.e2e.rabbit_node import rabbit, wires

__all__ = ["rabbit", "wires"]

LIMIT_S = 20.0
ROOT = Path(__file__).resolve().parents[2]

CONNECT = (
    "import nbqueue as nq; "
    "from pathlib import Path as _P; "
    "from nbqueue.client.client import connect_address as _c; "
    "from nbqueue.cluster.embedded import ensure as _e; "
    "_c(_e(_P({folder!r})))\n"
)
"""First line of a notebook that works on a test's cluster."""


def _processes_of(folder):
    """The command lines that name a folder or run in it (Linux; elsewhere none are found)."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            where = str((path / "cwd").readlink())
            if int(path.name) != os.getpid() and (str(folder) in words or where == str(folder)):
                found[int(path.name)] = words
    return found


def _until(condition, timeout_s=LIMIT_S, poll_s=0.01):
    """The first truthy value of ``condition()``; fails when there is none in time."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"still {found!r} after {timeout_s:g} s"
        time.sleep(poll_s)
    return found


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


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Servers:
    """Servers and workers that a module starts; all of them end with it."""

    def __init__(self, folder):
        self.folder = folder
        self._processes = []

    def start(self, name, command, **options):
        """Start a process, with its output in a log; gives the process and the log."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **{"cwd": self.folder, **options},
            )
        self._processes.append(process)
        return process, log

    def redis(self, password):
        """A Redis on TCP with a password; gives its URL."""
        port = _free_port()
        folder = self.folder / f"redis-{port}"
        folder.mkdir()
        server = redis_server.find_server(folder)
        command = [
            server,
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            folder,
        ]
        self.start(f"redis-{port}", [*map(str, command), "--requirepass", password])
        url = f"redis://:{password}@127.0.0.1:{port}/0"

        def answers():
            with contextlib.suppress(redis.RedisError), redis.Redis.from_url(url) as client:
                return client.ping()

        _until(answers)
        return url

    def worker(
        self, broker_url, key, *options, backend=None, ready=True, name="worker", folder=None
    ):
        """A worker by `nbqueue worker`; back when it takes messages."""
        env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "NBQUEUE_KEY": key,
            "NBQUEUE_BROKER": broker_url,
        }
        if backend is not None:
            env["NBQUEUE_BACKEND"] = backend
        code = "import sys; from nbqueue.cli import main; sys.exit(main())"
        name = f"{name}-{len(self._processes)}"
        command = [sys.executable, "-c", code, "worker", "-l", "info", "-n", f"{name}@%h", *options]
        process, log = self.start(name, command, env=env, cwd=folder or self.folder)
        if ready:
            _until(lambda: "ready." in log.read_text() or process.poll() is not None, 30)
            assert process.poll() is None, log.read_text()
        return process, log

    def beat(self, *options, ready="beat: Acquired lock", folder=None):
        """A beat by `nbqueue beat`, without a signing key; back when it says ``ready``."""
        env = {name: value for name, value in os.environ.items() if name != "NBQUEUE_KEY"}
        env["PYTHONPATH"] = os.pathsep.join(map(str, filter(None, [folder, ROOT])))
        code = "import sys; from nbqueue.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", code, "beat", "-l", "info", *options]
        process, log = self.start(f"beat-{len(self._processes)}", command, env=env)
        _until(lambda: ready in log.read_text() or process.poll() is not None, 30)
        assert process.poll() is None, log.read_text()
        return process, log

    def close(self):
        """End everything, the latest first, and what it had started."""
        for process in reversed(self._processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(8)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


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
