"""The fault suite: jobs of tallying items on servers of their own, while something dies.

    pytest tests/faults        2,000 items a fault, leases of 4 s
    NBQUEUE_FAULTS=long ...    10,000 items a fault, leases as they are by default, an item of 90 s

Each trial gives a line of a table (`trial.Row`), which is shown at the end.
"""

import os
import shutil
import tempfile
from contextlib import nullcontext
from pathlib import Path

import pytest

from nbqueue.core.settings import LEASE_S
from tests.e2e.rabbit_node import Node
from tests.faults import scene
from tests.faults.stage import WITHIN_S, Stage
from tests.faults.trial import TITLE, Row, Trial
from tests.namespace import open_namespace

LONG = os.environ.get("NBQUEUE_FAULTS") == "long"


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(300))


def pytest_terminal_summary(terminalreporter):
    """Show the tables; their lines come with the reports, also from pytest-xdist's processes."""
    reports = terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", [])
    said = [found for report in reports for found in report.user_properties]
    for name, section, title in [
        ("line", "faults", TITLE),
        ("mutations", "what somebody has changed", scene.TITLE),
    ]:
        lines = [line for found, line in said if found == name]
        if lines:
            terminalreporter.section(section)
            for line in [title, *lines]:
                terminalreporter.write_line(line)


@pytest.fixture(scope="session", autouse=True)
def home():
    """A place for what clients keep on this machine."""
    folder = Path(tempfile.mkdtemp(prefix="nbq."))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NBQUEUE_HOME", str(folder))
        for name in ("NBQUEUE_BROKER", "NBQUEUE_BACKEND", "NBQUEUE_KEY"):
            patch.delenv(name, raising=False)
        yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def n():
    """How many items a fault meets."""
    return 10_000 if LONG else 2_000


@pytest.fixture(scope="session")
def lease_s():
    """How long a lease lasts: as it is unless somebody says otherwise, or less, for time's sake."""
    return LEASE_S if LONG else 4.0


@pytest.fixture(scope="session")
def namespace():
    """A network that can be cut off from this machine's, or `None` where that is not permitted."""
    with open_namespace() or nullcontext() as made:
        yield made


@pytest.fixture(scope="session")
def addresses(namespace):
    """Where servers listen beside the loopback."""
    return [] if namespace is None else [namespace.here]


@pytest.fixture(scope="session")
def rabbit_node(addresses):
    """A RabbitMQ for the session."""
    node = Node(also=addresses)
    node.start()
    yield node
    node.close()


@pytest.fixture
def on_redis(lease_s, addresses):
    """A stage on Redis."""
    made = Stage(lease_s, also=addresses)
    yield made
    made.close()


@pytest.fixture
def on_rabbit(rabbit_node, lease_s, addresses):
    """A stage on RabbitMQ, with a Redis for the jobs."""
    made = Stage(lease_s, rabbit_node, also=addresses)
    yield made
    made.close()


@pytest.fixture(params=["redis", "rabbit"])
def stage(request):
    """A stage on each kind of broker."""
    return request.getfixturevalue(f"on_{request.param}")


@pytest.fixture
def trial(stage, n):
    """A job that runs on two workers of four processes, and the client that has sent it."""
    stage.start_workers()
    stage.connect()
    made = Trial(stage, n)
    made.begin()
    return made


@pytest.fixture
def passed(said):
    """Take the account of a trial that has ended, and give it."""

    def take(fault, trial):
        trial.end()
        account = trial.account(trial.stage.connect())
        said(Row(fault, trial.stage.broker, account))
        return account

    return take


@pytest.fixture
def said(record_property):
    """Say a line of the table, and see that it keeps what is promised."""

    def say(row):
        record_property("line", str(row))
        print(f"\n{TITLE}\n{row}")
        account = row.account
        assert (account.lost, account.twice) == (0, 0), row
        assert max(account.back_s, account.pause_s, account.held_s) <= WITHIN_S, row

    return say
