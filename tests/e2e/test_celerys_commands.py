"""Celery's commands that look at a broker and at events: purge, amqp, the screen and the camera.

And what signals and pools do on RabbitMQ, too. On both brokers; one worker of each kind serves all.
"""

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import nbqueue as nq

ROOT = Path(__file__).resolve().parents[2]

CAMERA = """
from celery.events.snapshot import Polaroid

class Names(Polaroid):
    def on_shutter(self, state):
        with open("shots", "a") as file:
            file.write("".join(task.name + "\\n" for task in state.tasks.values() if task.name))
"""


@pytest.fixture(scope="module")
def worker(servers, wires):
    return servers.worker(
        wires.broker, wires.key, "-c", "1", "-E", "-Q", "seen", backend=wires.backend, name="seen"
    )


@pytest.fixture
def client(wires):
    with nq.connect(wires.broker, backend=wires.backend, key=wires.key) as made:
        yield made


@pytest.fixture
def environment(wires):
    """What a command needs that watches: the broker, and no key."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "NBQUEUE_BROKER": wires.broker}
    env.pop("NBQUEUE_KEY", None)
    return env


@pytest.fixture
def nbqueue(environment):
    """Runs a command to its end; gives what it said."""

    def run(*words):
        command = [sys.executable, "-m", "nbqueue", *words]
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=90,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    return run


@nq.task(queue="seen")
def fit(depth):
    return depth


@nq.task(queue="nobody")
def unheard(x):
    return x


# -- what waits on a broker -----------------------------------------------------------------------


@pytest.mark.usefixtures("client")
def test_purge_empties_the_queues_that_are_named(nbqueue):
    jobs = [unheard.submit(i) for i in range(3)]
    assert "Purged 3 messages" in nbqueue("purge", "-f", "-Q", "nobody")
    assert "No messages purged" in nbqueue("purge", "-f", "-Q", "nobody")
    for job in jobs:
        job.cancel()
        assert job.state == "REVOKED"


@pytest.mark.usefixtures("client")
def test_queues_are_made_looked_at_and_deleted_by_hand(nbqueue, wires):
    declared = nbqueue("amqp", "queue.declare", "by-hand")
    assert re.search(r"queue:\s*by-hand.*messages:\s*0.*consumers:\s*0", declared, re.DOTALL)
    assert "ok" in nbqueue("amqp", "queue.delete", "by-hand").lower()


# -- events ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("client", "worker")
def test_a_camera_takes_pictures_of_the_functions(servers, environment, until, tmp_path):
    (tmp_path / "cameras.py").write_text(CAMERA)
    words = ("events", "--camera", "cameras.Names", "--frequency", "0.2")
    process, log = servers.start(
        "camera", [sys.executable, "-u", "-m", "nbqueue", *words], env=environment, cwd=tmp_path
    )

    def taken():
        assert process.poll() is None, log.read_text()
        assert fit.submit(1).result(60) == 1
        shots = tmp_path / "shots"
        return shots.exists() and "fit" in shots.read_text().split()

    until(taken)
    process.terminate()
    process.wait(30)


@pytest.mark.usefixtures("client", "worker")
def test_the_screen_shows_the_functions_and_an_interrupt_ends_it(environment, until):
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "nbqueue", "events"],
        env={**environment, "TERM": "xterm", "LINES": "40", "COLUMNS": "120"},
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    )
    os.close(its)
    os.set_blocking(ours, False)
    shown = []

    def read():
        try:
            shown.append(os.read(ours, 65536).decode(errors="replace"))
        except (BlockingIOError, OSError):  # nothing new, or the screen is closed
            return

    def seen():
        assert fit.submit(2).result(60) == 2
        read()
        return "fit" in "".join(shown)

    def ended():
        read()
        return process.poll() is not None

    try:
        until(seen)
        process.send_signal(signal.SIGINT)  # as Ctrl-C does
        until(ended)
        assert process.returncode == 0, "".join(shown)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


# -- pools and signals on RabbitMQ ----------------------------------------------------------------


@pytest.fixture(params=["prefork", "threads", "gevent", "solo"])
def pool(request, servers, rabbit, backend, key):
    """A worker with one of Celery's pools, on a queue of its own; gives its name, process, log."""
    name = request.param
    process, log = servers.worker(
        rabbit, key, "-P", name, "-c", "2", "-Q", name, backend=backend, name=name
    )
    with nq.connect(rabbit, backend=backend, key=key):
        yield name, process, log
    process.terminate()
    process.wait(30)


@pytest.fixture
def key():
    from tests.e2e.rabbit_node import KEY

    return KEY


@pytest.fixture(scope="module")
def backend(servers):
    return servers.redis("s3cret")


def test_each_pool_runs_retries_and_starts_again_on_rabbitmq(pool, until, tmp_path):
    name, process, log = pool

    @nq.task(queue=name, autoretry_for=(OSError,), max_retries=3, default_retry_delay=0.05)
    def second_time(folder, i):
        import os
        import pathlib

        try:
            (pathlib.Path(folder) / str(i)).touch(exist_ok=False)
        except FileExistsError:
            return i, os.getpid()
        raise OSError("the first time")

    job = second_time.map([str(tmp_path)] * 6, range(6))
    assert [i for i, _ in job.result(60)] == list(range(6))
    assert set(job.to_frame()["attempts"]) == {2}
    process.send_signal(signal.SIGUSR1)
    if name != "gevent":  # Celery shows threads, and knows none of its own there
        until(lambda: "MainThread" in log.read_text())
    process.send_signal(signal.SIGHUP)
    until(lambda: log.read_text().count("ready.") == 2)
    assert process.poll() is None
    again = second_time.submit(str(tmp_path), 6)
    assert again.result(60)[0] == 6
