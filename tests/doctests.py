"""A pytest plugin that runs the docstrings' examples on one real cluster.

    pytest -p tests.doctests --doctest-modules nbqueue

Examples that need workers say so with ``# doctest: +CLUSTER``; they find `nq` and the task
`double`. The flag is known only here, so a run without this plugin fails instead of passing by
having skipped them. Each example starts connected to the cluster, whatever the one before did, and
when its workers are at rest.
"""

import doctest
import shutil
import tempfile
import time
from pathlib import Path

import pytest

import nbqueue as nq
from nbqueue.client import connecting as clients
from nbqueue.client.remote import asking, control

doctest.register_optionflag("CLUSTER")


@nq.task
def double(x):
    """Give twice a value."""
    return 2 * x


@pytest.fixture(scope="session")
def cluster():
    """The cluster of all examples; `nq.connect()` finds it too."""
    # Short: a Unix socket's path may have 107 characters at most.
    folder = Path(tempfile.mkdtemp(prefix="nbq."))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NBQUEUE_HOME", str(folder))
        # An example cannot ask twice, should the worker stand still for some seconds.
        for name, seconds in {"LOCAL_S": 30.0, "REPLY_S": 4.0, "_HANG_S": 40.0}.items():
            patch.setattr(asking, name, seconds)
        with nq.LocalCluster(workers=2) as made:
            patch.setenv("NBQUEUE_BROKER", made.broker_url)
            patch.setenv("NBQUEUE_KEY", made._address.key)
            yield made
    left = {path.name for path in folder.iterdir()}
    shutil.rmtree(folder)
    assert left <= {"blobs"}, "an example has started the embedded cluster"


def _is_at_rest(client):
    """Whether nothing runs of what examples have not waited for, and all of it was heard of."""
    workers = control.look(client, timeout_s=2.0).workers
    open_ = client.jobs()["state"].isin(["PENDING", "STARTED"]).any()
    return bool(workers) and not (
        open_ or client.follower.unfinished() or any(worker.n_running for worker in workers)
    )


@pytest.fixture(autouse=True)
def _example(request, doctest_namespace):
    """Give an example its names and, if it wants it, its cluster."""
    test = getattr(request.node, "dtest", None)
    if test is None:
        yield
        return
    doctest_namespace.update(nq=nq, double=double)
    flag = doctest.OPTIONFLAGS_BY_NAME["CLUSTER"]
    if any(example.options.get(flag) for example in test.examples):
        made = request.getfixturevalue("cluster")
        if clients._default not in made._clients or clients._default._closed:
            made.connect()
        deadline = time.monotonic() + 60
        while not _is_at_rest(clients._default):
            assert time.monotonic() < deadline, "an example has left something that does not end"
            time.sleep(0.01)
    yield
    current = clients._default
    if current is not None and "cluster" in request.fixturenames:
        made = request.getfixturevalue("cluster")
        if current not in made._clients:
            current.close()
