"""Watching workers by Celery's own tools: inspect, control, events and Flower, by functions' names.

Started as `nbqueue …` beside a worker with `-E`, without the signing key: who watches needs none.
"""

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import nbqueue as nq
from nbqueue.store import signing
from tests.e2e.servers import free_port

KEY = signing.generate()
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def url(servers):
    return servers.redis("s3cret")


@pytest.fixture(scope="module")
def worker(servers, url):
    return servers.worker(url, KEY, "-c", "2", "-E", name="seen")


@pytest.fixture
def client(url, worker):
    with nq.connect(url, key=KEY) as made:
        yield made


def environment(url, **more):
    env = {**os.environ, "PYTHONPATH": str(ROOT), "NBQUEUE_BROKER": url, **more}
    env.pop("NBQUEUE_KEY", None)
    return env


@pytest.fixture
def nbqueue(url):
    """Runs a command to its end; gives what it said."""

    def run(*words, status=0, **more):
        done = subprocess.run(
            [sys.executable, "-m", "nbqueue", *words],
            env=environment(url, **more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert status is None or done.returncode == status, done.stderr
        return done.stdout + done.stderr

    return run


@nq.task
def fit(depth):
    return depth


@nq.task
def hold(gate):
    import pathlib
    import time

    while not pathlib.Path(gate).exists():
        time.sleep(0.01)


@pytest.mark.usefixtures("client")
def test_inspect_and_control_reach_the_workers(nbqueue, gate, until):
    [name] = until(lambda: nq.workers().index.tolist())
    # Of all, none is heard that takes more than a second; of one, its answer is waited for.
    asked = ("-d", name, "-t", "30")
    until(lambda: "pong" in nbqueue("inspect", "ping", status=None))
    assert "1 node online" in nbqueue("inspect", "ping", *asked)
    job = hold.submit(str(gate))
    until(lambda: job.state == "STARTED")
    [active] = json.loads(nbqueue("inspect", *asked, "--json", "active")).values()
    assert [task["name"] for task in active] == ["hold"]
    assert nbqueue("control", *asked, "pool_grow", "1").count("OK") == 1
    until(lambda: nq.workers()["processes"].tolist() == [3])
    gate.touch()
    job.result(20)


def test_nobody_to_ask_is_celerys_exit_status(nbqueue, servers):
    said = nbqueue("inspect", "ping", "-t", "0.5", NBQUEUE_BROKER=servers.redis("x"), status=69)
    assert "No nodes replied" in said


def test_a_broker_that_is_not_there_is_told_in_a_line(nbqueue):
    said = nbqueue("inspect", "ping", NBQUEUE_BROKER="redis://127.0.0.1:9/0", status=1)
    assert said.startswith("nbqueue: no broker answers at redis://127.0.0.1:9/0")


def test_wrong_arguments_are_celerys_to_tell(nbqueue):
    assert "No such option" in nbqueue("inspect", "--nothing", status=2)


@pytest.mark.usefixtures("client")
def test_events_name_the_functions(servers, url, until):
    process, log = servers.start(
        "events",
        [sys.executable, "-u", "-m", "nbqueue", "events", "--dump"],
        env=environment(url),
    )
    until(lambda: "heartbeat" in log.read_text(), 40)
    assert fit.map(range(3), name="grid").result(20) == [0, 1, 2]
    until(lambda: "task succeeded: fit(" in log.read_text())
    assert re.search(r"task received: fit\(.*grid\[0:3\] of job", log.read_text())
    process.terminate()


@pytest.mark.usefixtures("client")
def test_flower_names_the_functions(servers, url, until):
    server, log = servers.start(
        "flower",
        [sys.executable, "-u", "-m", "nbqueue", "flower", f"--port={free_port()}"],
        env=environment(url, FLOWER_UNAUTHENTICATED_API="true"),
    )
    [page] = until(lambda: re.findall(r"Visit me at (http://127.0.0.1:\d+)", log.read_text()), 40)

    def ask(path):
        with urllib.request.urlopen(page + path, timeout=20) as answer:
            return answer.read().decode()

    until(lambda: "Connected to" in log.read_text())
    found = {}

    def seen():
        assert fit.map(range(3), name="grid").result(20) == [0, 1, 2]
        found.update(json.loads(ask("/api/tasks?taskname=fit")))
        return [task for task in found.values() if task["state"] == "SUCCESS"]

    task = until(seen, 40)[0]
    assert task["name"] == "fit"
    assert task["args"].startswith("grid[")
    assert task["worker"].startswith("seen-")
    until(lambda: list(json.loads(ask("/api/workers?refresh=1"))) == [task["worker"]])
    assert "fit" in json.loads(ask("/api/task/types"))["task-types"]
    assert task["uuid"] in ask(f"/task/{task['uuid']}")
    assert any(word in ask("/tasks") for word in ("fit", "tasks-table"))
    server.terminate()


def test_flower_that_is_not_installed_is_named_with_its_extra(monkeypatch, capsys):
    from nbqueue import cli
    from nbqueue.cli import monitoring

    monkeypatch.setattr(monitoring, "find_spec", lambda name: None)
    assert cli.main(["flower"]) == 1
    assert "pip install 'nbqueue[flower]'" in capsys.readouterr().err
