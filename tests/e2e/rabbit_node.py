"""Private RabbitMQ nodes, and the two kinds of broker side by side.

Modules share one node, on which each has a virtual host of its own; those that stop their node have
one for themselves.

The node runs as its own user where the tests run as root, because RabbitMQ refuses root.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest
from kombu import Connection

from nbqueue.store import signing
from tests.e2e.servers import free_port, until

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
        "RABBITMQ_DIST_PORT": str(free_port()),
        "ERL_EPMD_PORT": str(free_port()),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        # It may be told to end while it has not yet heard that its node was killed.
        "ERL_EPMD_RELAXED_COMMAND_CHECK": "true",
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
    }


HOSTS = [f"module-{i}" for i in range(40)]
"""Virtual hosts of a shared node: as many as there are modules, at least."""


def definitions(hosts):
    """What a node begins with: the user that every node has, and virtual hosts."""
    may = dict.fromkeys(("configure", "write", "read"), ".*")
    return {
        "users": [{"name": "guest", "password": "guest", "tags": "administrator"}],
        "vhosts": [{"name": host} for host in hosts],
        "permissions": [{"user": "guest", "vhost": host, **may} for host in hosts],
    }


def configuration(folder, listens):
    """What a node is told: where it listens, and what it begins with."""
    addresses = "".join(f"listeners.tcp.{i} = {at}\n" for i, at in enumerate(listens, 1))
    # (The user that every node has may otherwise come from 127.0.0.1 only.)
    return f"{addresses}loopback_users = none\nload_definitions = {folder}/definitions.json\n"


class Node:
    """A node with a folder of its own, which can be stopped and started again where it was.

    ``also``: addresses at which it listens beside the loopback's; ``rabbit``: settings of its own,
    also those that rabbitmq.conf does not know.
    """

    def __init__(self, hosts=("/",), also=(), rabbit=None):
        self.folder = folder = Path(tempfile.mkdtemp(prefix="nbq."))
        for name in ("mnesia", "log"):
            (folder / name).mkdir()
        (folder / "definitions.json").write_text(json.dumps(definitions(hosts)))
        self.port = free_port()
        listens = [f"{address}:{self.port}" for address in ("127.0.0.1", *also)]
        (folder / "rabbitmq.conf").write_text(configuration(folder, listens))
        settings = ", ".join(f"{{{name}, {value}}}" for name, value in (rabbit or {}).items())
        (folder / "advanced.config").write_text(f"[{{rabbit, [{settings}]}}].\n")
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
        self._hosts = iter(hosts)
        self.url = self.next_url()
        self._process = None

    def next_url(self):
        """Give the address of a virtual host that nobody has used."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{next(self._hosts)}"

    def start(self):
        """Start it; back when it serves."""
        with (self.folder / "out").open("ab") as log:
            self._process = subprocess.Popen(
                [self._server], stdout=log, stderr=log, start_new_session=True, **self._options
            )
        until(self._serves, 90)

    def _serves(self):
        # (`rabbitmqctl wait` takes as much computing as the node's whole start.)
        assert self._process.poll() is None, (self.folder / "out").read_text()
        with contextlib.suppress(OSError), Connection(self.url, connect_timeout=5) as connection:
            return connection.connect().connected

    def stop(self):
        """Stop it well; queues and messages stay on its disk."""
        self._ask("stop", self.folder / "pid")
        self._process.wait(30)

    def close(self):
        """Kill it and delete everything."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
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


@contextlib.contextmanager
def _running(*hosts):
    if SERVER is None:
        pytest.skip("rabbitmq-server is not installed")
    node = Node(*hosts)
    try:
        node.start()
        yield node
    finally:
        node.close()


@pytest.fixture(scope="module")
def rabbit_node():
    """A private node of the module, to be stopped and started."""
    with _running() as node:
        yield node


@pytest.fixture(scope="session")
def _shared_node():
    with _running(HOSTS) as node:
        yield node


@pytest.fixture(scope="module")
def rabbit(_shared_node):
    """The URL of a virtual host of the module's own."""
    return _shared_node.next_url()


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
