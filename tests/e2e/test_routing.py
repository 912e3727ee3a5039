"""Queues, exchanges, routes and priorities, on Redis and RabbitMQ."""

import logging
import re
import time

import pytest
from kombu import Connection, Exchange, Queue

import nbqueue as nq
from nbqueue.core.errors import UsageError

MEDIA = Exchange("media", type="topic")
QUEUES = [
    Queue("celery"),
    Queue("images", MEDIA, routing_key="image.#"),
    Queue("sounds", MEDIA, routing_key="sound.#"),
]


@pytest.fixture(scope="module")
def workers(servers, wires):
    """One worker a queue, with one process; the name of each process by its queue."""
    for queues in ("celery", "gpu", "images", "sounds,more"):
        servers.worker(wires.broker, wires.key, "-c", "1", "-Q", queues, backend=wires.backend)


@pytest.fixture(scope="module")
def names(wires, workers):
    with nq.connect(wires.broker, backend=wires.backend, key=wires.key) as client:
        where = nq.task(lambda: None, name="where")
        found = {}
        for queue in ("celery", "gpu", "images", "sounds", "more"):
            job = where.with_options(queue=queue).submit()
            job.result(30)
            found[queue] = job.to_frame()["worker"][0]
        assert client.publisher.queues() == ["celery", "gpu", "images", "more", "sounds"]
    assert len(set(found.values())) == 4
    return found


@pytest.fixture
def connect(wires, names):
    made = []

    def connect(**options):
        made.append(nq.connect(wires.broker, backend=wires.backend, key=wires.key, **options))
        return made[-1]

    yield connect
    for client in made:
        client.close()


def ran_on(job):
    job.result(30)
    return set(job.to_frame()["worker"])


@nq.task
def f(x=0):
    return x


def pause(seconds):
    time.sleep(seconds)


def test_a_queue_is_chosen_by_task_and_by_call_and_the_rests_of_a_range_go_there_too(
    connect, names
):
    connect()
    assert ran_on(f.submit()) == {names["celery"]}
    assert ran_on(f.apply_async(queue="gpu")) == {names["gpu"]}
    slow = nq.task(pause, queue="gpu")
    assert ran_on(slow.map([0.03] * 40)) == {names["gpu"]}
    assert ran_on(slow.with_options(queue="more").map([0.01] * 3)) == {names["sounds"]}


def test_routes_go_by_the_names_of_by_value_tasks(connect, names):
    def by_name(name, args, kwargs, options, task=None, **kw):
        return {"queue": "more"} if kwargs.get("x") == 7 else None

    routes = [
        by_name,
        {
            "train": {"queue": "gpu"},
            "sound.*": "sounds",
            re.compile("(image|video)s?"): {"queue": "images", "priority": 5},
        },
    ]
    connect(task_routes=routes)
    assert ran_on(f.with_options(name="train").map(range(3))) == {names["gpu"]}
    assert ran_on(f.with_options(name="sound.mix").submit()) == {names["sounds"]}
    assert ran_on(f.with_options(name="videos").submit()) == {names["images"]}
    assert ran_on(f.submit()) == {names["celery"]}
    assert ran_on(f.submit(x=7)) == {names["more"]}
    assert ran_on(f.with_options(name="train", queue="more").submit()) == {names["more"]}


def test_topics_lead_where_their_patterns_say(connect, names):
    client = connect(task_queues=QUEUES)
    to = f.with_options(exchange="media")
    assert ran_on(to.apply_async(routing_key="image.png.small")) == {names["images"]}
    assert ran_on(to.with_options(routing_key="sound.mp3").map(range(20))) == {names["sounds"]}
    assert ran_on(f.apply_async(queue="images", routing_key="image.x")) == {names["images"]}
    assert ran_on(f.submit()) == {names["celery"]}
    with pytest.raises(UsageError, match=r"leads to no queue for routing key 'video\.mp4'"):
        to.apply_async(routing_key="video.mp4")
    assert "videos" not in client.publisher.queues()
    slow = nq.task(pause, exchange="media", routing_key="sound.long").map([0.03] * 30)
    assert ran_on(slow) == {names["sounds"]}  # what is left of a range goes there too
    job = to.apply_async(routing_key="sound.later", countdown=0.3)
    assert ran_on(job) == {names["sounds"]}


def test_routes_may_come_from_a_celery_configuration(connect, names, tmp_path, monkeypatch):
    (tmp_path / "celeryconfig.py").write_text(
        "task_routes = {'heavy.*': {'queue': 'gpu'}}\ntask_default_queue = 'more'\n"
        "task_serializer = 'pickle'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    client = connect(config="celeryconfig")
    assert client.app.conf.task_serializer == "json"
    assert ran_on(f.with_options(name="heavy.work").submit()) == {names["gpu"]}
    assert ran_on(f.submit()) == {names["more"]}
    with pytest.raises(UsageError, match="no configuration 'nowhere'"):
        connect(config="nowhere")


def test_routes_that_lead_nowhere_say_so_and_send_nothing(connect):
    connect(task_routes={"f": {"queue": "missing"}}, config={"task_create_missing_queues": False})
    with pytest.raises(UsageError, match=r"'f' cannot be routed.*missing"):
        f.submit()
    connect(task_routes=[5])
    with pytest.raises(UsageError, match="task_routes cannot be used"):
        f.submit()


# -- priority --------------------------------------------------------------------------------------


def wait_for(path):
    while not path.exists():
        time.sleep(0.01)


def test_higher_priorities_come_first_and_none_is_the_lowest(connect, gate, tmp_path, until):
    connect()
    order = tmp_path / "order"

    def note(path, what):
        with path.open("a") as file:
            file.write(f"{what} ")

    blocking = nq.task(wait_for, queue="gpu").submit(gate)
    until(lambda: blocking.state == "STARTED")
    given = [None, 3, 9, 0, 6, 5, 8, None, 1, 9]
    task = nq.task(note, queue="gpu")
    jobs = [task.with_options(priority=p).submit(order, p) for p in given]
    gate.touch()
    nq.gather(jobs, timeout=30)
    assert order.read_text().split() == ["9", "9", "8", "6", "5", "3", "1", "None", "0", "None"]


def test_an_urgent_job_overtakes_what_is_left_of_one_that_runs(connect, until):
    connect()
    # A minute and more of work: whatever stands still for a moment, most of it is left.
    slow = nq.task(pause, queue="gpu", priority=2).map([0.02] * 5_000)
    until(lambda: slow.counts()["SUCCESS"] > 10)
    urgent = nq.task(lambda x: x, queue="gpu", priority=8).map(range(20))
    assert urgent.wait(20)
    assert slow.counts()["SUCCESS"] < 2_500
    slow.cancel()


@pytest.mark.parametrize("priority", [-1, 10, 300, "high", 1.5, True])
def test_what_is_no_priority_is_refused(priority):
    with pytest.raises(UsageError, match="priority must be"):
        f.with_options(priority=priority)


def test_a_queue_that_was_declared_without_priorities_is_used_as_it_is(
    request, wires, servers, connect, caplog
):
    if "amqp" not in wires.broker:
        assert f.with_options(priority=9).submit(1).result(20) == 1  # no queue is without, on Redis
        return
    with Connection(wires.broker) as connection:
        Queue("old", Exchange("old"), routing_key="old")(connection.default_channel).declare()
    client = connect(config={"task_queue_max_priority": None})
    assert f.with_options(queue="plain").submit().cancel() == 1  # declared as Celery would
    with Connection(wires.broker) as connection:
        Queue("plain", Exchange("plain"), routing_key="plain")(connection.default_channel).declare()
    client.close()
    connect()
    _, log = servers.worker(wires.broker, wires.key, "-c", "1", "-Q", "old", backend=wires.backend)
    task = f.with_options(queue="old")
    with caplog.at_level(logging.WARNING):
        assert task.submit(1).result(20) == 1
        assert "priorities" not in caplog.text
        assert task.with_options(priority=7).submit(2).result(20) == 2
    assert "'old' was declared without priorities" in caplog.text
    assert "rabbitmqctl delete_queue old" in log.read_text()
