"""A private RabbitMQ node for a module, and the two kinds of broker side by side.

The node runs as its own user where the tests run as root, because RabbitMQ refuses root.
"""

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

from nbqueue.store import signing

KEY = signing.generate()
SBIN = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
SERVER = shutil.which("rabbitmq-server", path=SBIN)
CONTROL = shutil.which("rabbitmqctl", path=SBIN)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


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


@pytest.fixture(scope="module")
def rabbit(servers):
    """The URL of a private node."""
    if SERVER is None:
        pytest.skip("rabbitmq-server is not installed")
    folder = Path(tempfile.mkdtemp(prefix="nbq."))
    for name in ("mnesia", "log"):
        (folder / name).mkdir()
    (folder / "rabbitmq.conf").write_text("")
    (folder / "plugins").write_text("[].\n")
    environment = node_environment(folder)
    as_user = {}
    server, control = SERVER, CONTROL
    if os.getuid() == 0:
        for path in [folder, *folder.iterdir()]:
            shutil.chown(path, "rabbitmq", "rabbitmq")
        folder.chmod(0o755)
        as_user = {"user": "rabbitmq", "group": "rabbitmq", "extra_groups": []}
        # Debian's wrapper would change to the folders of the system's own node.
        for name in ("server", "ctl"):
            assert Path(
                "/usr/lib/rabbitmq/bin", f"rabbitmq{'-' if name == 'server' else ''}{name}"
            ).exists()
        server, control = (
            "/usr/lib/rabbitmq/bin/rabbitmq-server",
            "/usr/lib/rabbitmq/bin/rabbitmqctl",
        )
    options = {"env": environment, "cwd": folder, **as_user}
    log = (folder / "out").open("wb")
    process = subprocess.Popen([server], stdout=log, stderr=log, start_new_session=True, **options)
    ctl = [control, "-n", environment["RABBITMQ_NODENAME"]]
    waiting = subprocess.run(
        [*ctl, "wait", "--timeout", "60", folder / "pid"],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    assert waiting.returncode == 0, waiting.stderr + (folder / "out").read_text()
    yield f"amqp://guest:guest@127.0.0.1:{environment['RABBITMQ_NODE_PORT']}//"
    stopping = [*ctl, "stop", folder / "pid"]
    subprocess.run(stopping, capture_output=True, check=False, timeout=60, **options)
    process.wait(30)
    subprocess.run(["epmd", "-kill"], capture_output=True, check=True, timeout=20, **options)
    log.close()
    shutil.rmtree(folder)


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
