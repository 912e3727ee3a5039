"""Celery's signals and events for functions by value: once an item, and by the function's name."""

import json
import os
import sys
import threading
from pathlib import Path

import pytest

import nbqueue as nq

ROOT = Path(__file__).resolve().parents[2]

MODULE = """
import json, os, time
from celery import signals

HEARD = {heard!r}

def note(signal, sender, **about):
    with open(HEARD, "a") as file:
        file.write(json.dumps({{"signal": signal, "sender": sender, **about}}) + "\\n")

@signals.task_prerun.connect
def prerun(sender, task_id, task, args, kwargs, **_):
    note("prerun", sender.name, id=task_id, args=repr(args), request=sender.request.id)

@signals.task_postrun.connect
def postrun(sender, task_id, state, retval, **_):
    note("postrun", sender.name, id=task_id, state=state, retval=repr(retval))

@signals.task_success.connect
def success(sender, result, **_):
    note("success", sender.name, result=repr(result))

@signals.task_failure.connect
def failure(sender, task_id, exception, einfo, **_):
    note("failure", sender.name, id=task_id, exception=repr(exception), text=str(einfo))

@signals.task_retry.connect
def retry(sender, request, reason, **_):
    note("retry", sender.name, id=request.id, reason=str(reason))

@signals.task_revoked.connect
def revoked(sender, request, terminated, expired, **_):
    note("revoked", sender.name, id=request.id, terminated=terminated, expired=expired)

@signals.task_received.connect
def received(request, **_):
    note("received", request.name)

@signals.task_unknown.connect
def unknown(name, **_):
    note("unknown", name)

@signals.task_rejected.connect
def rejected(message, **_):
    note("rejected", "")

@signals.before_task_publish.connect
def publishes(sender, headers, routing_key, **_):
    note("publish", sender, routing_key=routing_key)

@signals.task_prerun.connect(sender="chosen")
def only_chosen(sender, **_):
    note("chosen", sender.name)

@signals.task_success.connect(sender="breaks")
def breaks(sender, **_):
    raise RuntimeError("a receiver that raises")

for name in ("celeryd_init", "celeryd_after_setup", "worker_init", "worker_ready",
             "worker_process_init", "worker_shutdown", "worker_process_shutdown",
             "after_setup_logger", "after_setup_task_logger", "worker_before_create_process"):
    def made(name):
        def receiver(*_, **__):
            note(name, "")
        return receiver
    getattr(signals, name).connect(made(name), weak=False)
"""

CONFIG = """
import json
from celery import signals

@signals.celeryd_init.connect
def init(sender, **_):
    with open({heard!r}, "a") as file:
        file.write(json.dumps({{"signal": "celeryd_init", "sender": sender}}) + "\\n")
"""
"""Celery imports what ``-I`` names after it has sent celeryd_init; this is imported before."""


CELERYS = (
    "celeryd_init",
    "celeryd_after_setup",
    "worker_init",
    "worker_ready",
    "worker_process_init",
    "after_setup_logger",
    "after_setup_task_logger",
    "worker_before_create_process",
)


class Heard:
    def __init__(self, path):
        self.path = path

    def all(self, signal, sender=None):
        if not self.path.exists():
            return []
        # Whole lines: one may be just being written.
        found = [json.loads(line) for line in self.path.read_text().split("\n")[:-1]]
        return [f for f in found if f["signal"] == signal and sender in (None, f["sender"])]


@pytest.fixture(scope="module")
def worker(servers, wires):
    number = len(servers._processes)
    heard = servers.folder / f"heard-{number}.jsonl"
    for name, text in (("hears", MODULE), ("inits", CONFIG)):
        (servers.folder / f"{name}{number}.py").write_text(text.format(heard=str(heard)))
    options = ("-c", "1", "-E", "-I", f"hears{number}", "--config", f"inits{number}")
    process, _ = servers.worker(wires.broker, wires.key, *options, backend=wires.backend)
    return process, Heard(heard)


@pytest.fixture
def heard(worker):
    return worker[1]


@pytest.fixture(autouse=True)
def client(wires, worker):
    with nq.connect(wires.broker, backend=wires.backend, key=wires.key) as made:
        yield made


def odd(x):
    if x % 2 == 0:
        raise ValueError(f"{x} is even")
    return {"x": x}


def test_each_item_is_told_by_its_functions_name(heard, until):
    job = nq.task(odd, name="told").map(range(4))
    job.wait()
    until(lambda: len(heard.all("postrun", "told")) == 4)
    ids = {f"{job.id}-{i}" for i in range(4)}
    before = heard.all("prerun", "told")
    assert {f["id"] for f in before} == {f["request"] for f in before} == ids
    assert {f["args"] for f in before} == {f"({i},)" for i in range(4)}
    assert {f["result"] for f in heard.all("success", "told")} == {"{'x': 1}", "{'x': 3}"}
    failed = {f["id"]: f for f in heard.all("failure", "told")}
    assert set(failed) == {f"{job.id}-0", f"{job.id}-2"}
    assert "2 is even" in failed[f"{job.id}-2"]["exception"]
    assert "Traceback" in failed[f"{job.id}-2"]["text"]
    states = {f["id"][-1]: f["state"] for f in heard.all("postrun", "told")}
    assert states == {"0": "FAILURE", "1": "SUCCESS", "2": "FAILURE", "3": "SUCCESS"}


def test_celerys_own_task_is_not_told_of(heard, until):
    nq.task(odd, name="quiet").submit(1).result(20)
    until(lambda: heard.all("postrun", "quiet"))
    told = {f["sender"] for s in ("prerun", "postrun", "success") for f in heard.all(s)}
    assert "nbqueue.range" not in told


def test_a_receiver_of_one_function_hears_of_that_one(heard, until):
    nq.task(odd, name="chosen").submit(1).result(20)
    nq.task(odd, name="other").submit(1).result(20)
    until(lambda: heard.all("postrun", "other"))
    assert [f["sender"] for f in heard.all("chosen")] == ["chosen"]


def test_messages_are_received_and_published_by_the_functions_name(heard, until):
    nq.task(odd, name="arrives").map(range(1, 400, 2)).result(20)
    until(lambda: heard.all("received", "arrives"))

    def slow(x):
        import time

        time.sleep(0.05)

    nq.task(slow, name="splits").map(range(10)).result(20)
    assert heard.all("publish", "splits")  # by the worker that passed on the rest


def test_results_of_all_kinds_of_tasks_are_the_values(heard, until):
    @nq.task(bind=True, name="bound")
    def bound(self, x):
        return [self.name, x]

    async def later(x):
        return [x]

    bound.submit(1).result(20)
    nq.task(later, name="later").submit(2).result(20)
    until(lambda: heard.all("postrun", "later"))
    assert [f["result"] for f in heard.all("success", "bound")] == ["['bound', 1]"]
    assert [f["result"] for f in heard.all("success", "later")] == ["[2]"]


def test_retries_are_told(heard, until):
    @nq.task(name="again", autoretry_for=(ValueError,), max_retries=2, default_retry_delay=0)
    def again():
        raise ValueError("once more")

    job = again.submit()
    job.wait()
    until(lambda: heard.all("failure", "again"))
    assert [f["id"] for f in heard.all("retry", "again")] == [f"{job.id}-0"] * 2
    assert "once more" in heard.all("retry", "again")[0]["reason"]


def test_what_will_not_run_is_revoked(heard, until, tmp_path, gate):
    def hold(gate):
        import pathlib
        import time

        while not pathlib.Path(gate).exists():
            time.sleep(0.01)

    first = nq.task(hold).submit(gate)
    until(lambda: first.counts()["STARTED"])
    job = nq.task(odd, name="unwanted").submit(1)
    late = nq.task(odd, name="late").apply_async((1,), expires=0.01)
    job.cancel()
    # Whether a job was cancelled is asked for messages that have waited; not for new ones.
    until(lambda: job._live.client.now() - late._live.state.spec.submitted > 0.1)
    gate.touch()
    until(lambda: heard.all("revoked", "unwanted") and heard.all("revoked", "late"))
    assert heard.all("revoked", "unwanted")[0]["id"] == f"{job.id}-0"
    assert heard.all("revoked", "late")[0]["expired"] is True
    late.wait()
    stuck = nq.task(hold, name="stuck").submit(tmp_path / "never")
    until(lambda: stuck.counts()["STARTED"])
    stuck.cancel(terminate=True)
    until(lambda: heard.all("revoked", "stuck"))
    assert heard.all("revoked", "stuck")[0]["terminated"] is True
    assert not heard.all("revoked", "nbqueue.range")


def test_a_receiver_that_raises_breaks_nothing():
    assert nq.task(odd, name="breaks").map([1, 3]).result(20) == [{"x": 1}, {"x": 3}]


def test_the_workers_own_signals_are_celerys(heard, client, until):
    assert {name for name in CELERYS if heard.all(name)} == set(CELERYS)
    client.app.send_task("no.such.task", ignore_result=True)
    until(lambda: heard.all("unknown", "no.such.task"))


def test_a_message_that_is_no_task_is_told_as_rejected(heard, client, until):
    with client.app.connection_for_write() as connection, connection.Producer() as producer:
        producer.publish({"hello": "worker"}, routing_key="celery", serializer="json")
    until(lambda: heard.all("rejected"))
    assert nq.task(odd, name="after it").submit(1).result(20) == {"x": 1}


def test_the_kernels_publishing_is_told(client, heard):
    from celery.signals import after_task_publish, before_task_publish

    told = []

    def before(sender, headers, body, routing_key, **_):
        headers["mine"] = "x"
        told.append(("before", sender, routing_key, len(body)))

    def after(sender, headers, **_):
        told.append(("after", sender, headers["mine"]))

    before_task_publish.connect(before, sender="sent")
    after_task_publish.connect(after)
    try:
        assert nq.task(odd, name="sent").submit(1).result(20) == {"x": 1}
    finally:
        before_task_publish.disconnect(before, sender="sent")
        after_task_publish.disconnect(after)
    assert told == [("before", "sent", "celery", 3), ("after", "sent", "x")]


def test_events_carry_the_functions_name(wires, until):
    with nq.connect(
        wires.broker, backend=wires.backend, key=wires.key, task_send_sent_event=True
    ) as client:
        events, over = [], threading.Event()

        def listen():
            with client.app.connection_for_read() as connection:
                receiver = client.app.events.Receiver(connection, handlers={"*": events.append})
                with receiver.consumer_context() as (own, _, _):
                    ready.set()
                    while not over.is_set():
                        try:
                            own.drain_events(timeout=0.2)
                        except TimeoutError:
                            continue

        def told():
            """What was told of the message; workers may still tell of one before."""
            uuids = {e["uuid"] for e in list(events) if e.get("name") == "seen"}
            return {e["type"] for e in list(events) if e.get("uuid") in uuids}

        all_of_it = {"task-sent", "task-received", "task-started", "task-succeeded"}
        ready = threading.Event()
        thread = threading.Thread(target=listen)
        thread.start()
        try:
            assert ready.wait(20)
            nq.task(odd, name="seen").submit(1).result(20)
            until(lambda: told() >= all_of_it)
        finally:
            over.set()
            thread.join()
    named = {e["type"]: e for e in events if e.get("name") == "seen"}
    assert set(named) == {"task-sent", "task-received"}
    uuid = named["task-received"]["uuid"]
    assert named["task-sent"]["uuid"] == uuid
    assert named["task-sent"]["queue"] == "celery"


def test_a_worker_that_ends_says_so(worker, until):
    process, heard = worker
    process.terminate()
    process.wait(20)
    assert heard.all("worker_shutdown")


def test_beat_sends_its_signals_to_a_projects_module(servers, wires, until):
    text = (
        "from celery import Celery, signals\n"
        "from pathlib import Path\n"
        f"app = Celery(broker={wires.broker!r})\n"
        "@signals.beat_init.connect\n"
        "def init(sender, **_):\n"
        "    Path('beat-began').touch()\n"
    )
    (servers.folder / "beaten.py").write_text(text)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "NBQUEUE_KEY": wires.key}
    code = "import sys; from nbqueue.cli import main; sys.exit(main())"
    words = ("beat", "--app", "beaten:app", "--backend", wires.backend)
    servers.start("beat", [sys.executable, "-c", code, *words], env=env)
    until((servers.folder / "beat-began").exists)
    (servers.folder / "beat-began").unlink()
