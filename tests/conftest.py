"""Which tests stay together when several processes run tests beside one another (`pytest -n 3`).

Those of a module do, because they share servers and workers, which are slow to start.
"""

import re
import signal
from collections import Counter
from pathlib import PurePosixPath

import pytest

# A shell has what it starts in the background (`&`) ignore Ctrl-C, and what that starts, too: the
# tests that interrupt something would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

APART = {"test_beat", "test_embedded_cluster", "test_embedded_recovery", "test_worker_command"}
"""Modules of which each test has whatever is slow to start for itself."""

LONGEST = ("test_front_ends", "test_enqueue", "test_termination", "test_projects")
"""Modules to begin with, the longest first: begun last, one alone would make the others' processes
wait for its own."""

KINDS = {"redis", "rabbitmq", "prefork", "autoscaled", "threads", "gevent", "solo"}
"""First parameters of tests with servers or workers of one kind; another kind has its own."""


def together(nodeid):
    """Name the group of tests that one belongs to: its module's, on its kind of servers."""
    path, _, test = nodeid.partition("::")
    module = PurePosixPath(path).stem
    found = re.search(r"\[(\w+)", test)
    kind = found[1] if found else ""
    if kind == "notebook7":  # all modules': one process starts that server, and no other does
        return kind
    if module in APART or path.startswith("tests/faults/"):
        return nodeid
    return f"{module}-{kind}" if kind in KINDS else module


def pytest_collection_modifyitems(config, items):
    """Put what takes longest first, then the groups of many tests, for several processes."""
    if not hasattr(config, "workerinput"):
        return
    sizes = Counter(together(item.nodeid) for item in items)

    def place(item):
        module = item.path.stem
        rank = LONGEST.index(module) if module in LONGEST else len(LONGEST)
        return rank, -sizes[together(item.nodeid)]

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Group by `together` (`--dist loadgroup` of xdist 3.8 knows no groups with pytest 9.2)."""
    from xdist.scheduler import LoadScopeScheduling

    config.option.loadscopereorder = False  # `pytest_collection_modifyitems` has put them in order

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return together(nodeid)

    return Together(config, log)
