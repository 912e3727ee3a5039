"""A private RabbitMQ node for a module, and the two kinds of broker side by side.

The node runs as its own user where the tests run as root, because RabbitMQ refuses root.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

from nbqueue.store import signing
from tests.e2e.servers import free_port

KEY = signing.generate()
SBIN = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
SERVER = shutil.which("rabbitmq-server", path=SBIN)
CONTROL = shutil.which("rabbitmqctl", path=SBIN)
DEBIAN_SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
DEBIAN_CONTROL = "/usr/lib/rabbitmq/bin/rabbitmqctl"


def node_environment(folder):
    node = f"nbq{os.getpid()}@localhost"
    # The distribution port too: the default is derived from the node port and may be taken. And a
    # port mapper of its own (epmd), which would otherwise stay, shared with all nodes there are.
    return {
        "PATH": SBIN,
        "HOME": str(folder),
        "RABBITMQ_NODENAME": node,
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(free_port()),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "ERL_EPMD_PORT": str(free_port()),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
    }


class Node:
    """A node with a folder of its own, which can be stopped and started again where it was."""

    def __init__(self):
        self.folder = folder = Path(tempfile.mkdtemp(prefix="nbq."))
        for name in ("mnesia", "log"):
            (folder / name).mkdir()
        (folder / "rabbitmq.conf").write_text("")
        (folder / "plugins").write_text("[].\n")
        environment = node_environment(folder)
        as_user = {}
        self._server, control = SERVER, CONTROL
        if os.getuid() == 0:
            for path in [folder, *folder.iterdir()]:
                shutil.chown(path, "rabbitmq", "rabbitmq")
            folder.chmod(0o755)
            as_user = {"user": "rabbitmq", "group": "rabbitmq", "extra_groups": []}
            # Debian's wrapper would change to the folders of the system's own node.
            self._server, control = DEBIAN_SERVER, DEBIAN_CONTROL
            assert Path(DEBIAN_SERVER).exists()
            assert Path(DEBIAN_CONTROL).exists()
        self._options = {"env": environment, "cwd": folder, **as_user}
        self._control = [control, "-n", environment["RABBITMQ_NODENAME"]]
        self.port = int(environment["RABBITMQ_NODE_PORT"])
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self._process = None

    def start(self):
        """Start it; back when it serves."""
        with (self.folder / "out").open("ab") as log:
            self._process = subprocess.Popen(
                [self._server], stdout=log, stderr=log, start_new_session=True, **self._options
            )
        waiting = self._ask("wait", "--timeout", "60", self.folder / "pid")
        assert waiting.returncode == 0, waiting.stderr + (self.folder / "out").read_text()

    def stop(self):
        """Stop it well; queues and messages stay on its disk."""
        self._ask("stop", self.folder / "pid")
        self._process.wait(30)

    def close(self):
        """Stop it and delete everything."""
        if self._process.poll() is None:
            self.stop()
        subprocess.run(
            ["epmd", "-kill"], capture_output=True, check=True, timeout=20, **self._options
        )
        shutil.rmtree(self.folder)

    def _ask(self, *words):
        return subprocess.run(
            [*self._control, *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
            **self._options,
        )


@pytest.fixture(scope="module")
def rabbit_node(servers):
    """A private node of the module."""
    if SERVER is None:
        pytest.skip("rabbitmq-server is not installed")
    node = Node()
    node.start()
    yield node
    node.close()


@pytest.fixture(scope="module")
def rabbit(rabbit_node):
    """The URL of the module's private node."""
    return rabbit_node.url


class Wires(NamedTuple):
    """Where clients and workers of a module meet."""

    broker: str
    backend: str
    key: str


@pytest.fixture(scope="module", params=["redis", "rabbitmq"])
def wires(request, servers):
    """A broker of each kind, and a store; the module's tests run on both."""
    backend = servers.redis("s3cret-w0rd")
    if request.param == "redis":
        return Wires(backend, backend, KEY)
    return Wires(request.getfixturevalue("rabbit"), backend, KEY)
