"""Brokers of Celery's other than Redis and RabbitMQ: files work, and what cannot work says so."""

import pytest

import nbqueue as nq
from nbqueue.store import signing

KEY = signing.generate()


@pytest.fixture(scope="module")
def backend(servers):
    return servers.redis("s3cret")


@pytest.fixture(scope="module")
def folder(servers):
    return servers.folder / "queue of files"


@pytest.fixture(scope="module")
def worker(servers, folder, backend):
    return servers.worker(f"filesystem://{folder}", KEY, "-c", "2", backend=backend)


@pytest.mark.usefixtures("worker")
def test_a_folder_is_a_broker(folder, backend, until):
    with nq.connect(f"filesystem://{folder}", backend=backend, key=KEY):
        assert nq.task(lambda x: 2 * x).map(range(100)).result(30) == [2 * x for x in range(100)]
        assert nq.task(lambda: "one").submit().result(20) == "one"
        # (A worker that stands still for a second has not answered, nor heard that an item ended.)
        until(lambda: nq.queues().loc["celery", "consumers"] == 1)
        until(lambda: nq.control.ping()["ok"].tolist() == [True])
        until(lambda: nq.control.active().empty)
        job = nq.task(lambda: 1).with_options(queue="nobody").submit()
        assert job.cancel() == 1


@pytest.mark.usefixtures("worker")
def test_its_options_may_be_celerys(folder, backend):
    options = {
        "data_folder_in": str(folder),
        "data_folder_out": str(folder),
        "control_folder": str(folder / "control"),
    }
    config = {"broker_transport_options": options}
    with nq.connect("filesystem://", backend=backend, key=KEY, config=config):
        assert nq.task(lambda: "one").submit().result(20) == "one"


def test_a_folder_must_be_named(backend):
    with pytest.raises(nq.UsageError, match="needs a folder"):
        nq.connect("filesystem://", backend=backend, key=KEY)


def test_a_broker_within_one_process_is_refused(backend):
    with pytest.raises(nq.UsageError, match="within one process"):
        nq.connect("memory://", backend=backend, key=KEY)


def test_another_broker_needs_a_store():
    with pytest.raises(nq.UsageError, match="cannot keep jobs"):
        nq.connect("filesystem:///tmp/x", key=KEY)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqla+sqlite:///x.db", "sqla"),
        ("zookeeper://127.0.0.1:1", "zookeeper"),
        ("nonsense://127.0.0.1", "nonsense"),
    ],
)
def test_a_broker_that_cannot_be_used_is_named(backend, url, said):
    with pytest.raises(nq.BrokerUnreachable, match=said):
        nq.connect(url, backend=backend, key=KEY)


def test_rabbitmq_by_its_other_name(rabbit, backend, servers):
    url = rabbit.replace("amqp://", "pyamqp://")
    servers.worker(url, KEY, "-c", "1", backend=backend)
    with nq.connect(url, backend=backend, key=KEY):
        assert nq.task(lambda x: x).map(range(10)).result(20) == list(range(10))
