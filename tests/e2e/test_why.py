"""`job.why`: what holds an item up, in real situations, on Redis and on RabbitMQ."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import nbqueue as nq
from nbqueue import cli
from nbqueue.client.remote import asking
from nbqueue.store import signing
from nbqueue.store.messages import peeking
from tests.e2e.servers import RedisServer

KEY = signing.generate()
ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def url(servers):
    made = servers.redis("s3cret")
    servers.worker(made, KEY, "-c", "1", name="only")
    return made


@pytest.fixture(autouse=True)
def client(url, monkeypatch):
    monkeypatch.setattr(asking, "REPLY_S", 5.0)  # a busy worker may not answer within a second
    with nq.connect(url, key=KEY) as made:
        made.roster.searched = True  # there are only the module's own workers to wait for
        yield made


@nq.task
def wait_for(path, say=""):
    import time

    print("waiting", say)
    while not path.exists():
        time.sleep(0.01)
    return say


@nq.task
def double(x):
    return 2 * x


def shown(until, ask, *words):
    """What somebody who asks again is told, once all of some words are in it."""
    said = []
    until(lambda: said.append(repr(ask())) or all(word in said[-1] for word in words), 30)
    return said[-1]


def test_who_stands_in_a_queue_is_told_its_place_and_what_the_workers_do(gate, until):
    load = wait_for.map([gate], name="load")
    shown(until, lambda: load.why(0), "runs on only", "waiting")
    for k in range(2):
        double.map([k], name=f"ahead-{k}")
    behind = double.map([7], name="behind")
    found = behind.why(0)
    assert (found.kind, found.state) == ("queue", "PENDING")
    assert "waits in queue 'celery' behind 2 messages (ahead-0, ahead-1)" in found.text
    assert "the only process is busy (only-" in found.text
    assert ": load for " in found.text
    assert behind.why().text.startswith("0 of 1 items ended (1 waiting); item 0 waits in queue")
    gate.touch()
    behind.result(20)
    done = behind.why(0)
    assert (done.kind, done.advice) == ("succeeded", "")
    assert [event.kind for event in done.events] == ["submitted", "begun", "succeeded"]
    assert behind[0].why().events == done.events
    assert behind.why().text == "all 1 items succeeded"


def test_who_waits_for_what_is_cancelled_and_runs_on_is_told_how_to_end_it(gate, until, capsys):
    never = wait_for.map([gate], name="never")
    shown(until, lambda: never.why(0), "runs on only", "begun")
    until(lambda: never.counts()["STARTED"])
    waits = double.submit(2)
    assert never.cancel() == 1
    assert "1 item of job 'never' runs to its end; cancelling with terminate=True" in (
        capsys.readouterr().err
    )
    end = f"nq.job({never.id!r}).cancel(terminate=True)"
    assert f"never is cancelled and runs on: {end} ends it" in waits.why().advice
    assert nq.job(never.id).cancel(terminate=True) == 0
    assert waits.result(60) == 4


def test_another_kernel_that_did_not_submit_it_is_told_the_same(gate, until, url):
    blocking = wait_for.map([gate], name="blocking")
    waits = double.map([1, 2], name="waits")
    shown(until, lambda: blocking.why(0), "runs on only")
    code = (
        "import sys, nbqueue as nq; job = nq.connect(sys.argv[1], key=sys.argv[2]).job('waits'); "
        "print(job.why(1)); print(job.why())"
    )
    command = [sys.executable, "-c", code, url, KEY]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert "item 1 of job 'waits', double, PENDING: waits in queue 'celery'" in said.stdout
    assert "submitted  a job of 2 items by client" in said.stdout
    gate.touch()
    assert waits.result(20) == [2, 4]


def test_behind_more_than_is_looked_at_it_is_not_called_lost(monkeypatch):
    monkeypatch.setattr(peeking, "_MOST", 40)
    monkeypatch.setattr(peeking, "_PAGE", 10)
    deep = double.with_options(queue="deep")
    ahead = [deep.submit(k) for k in range(60)]
    job = deep.map([1], name="last")
    found = job.why(0)
    assert found.kind == "unheard"
    assert "as it seems, in queue 'deep' behind more than 40 messages" in found.text
    assert "cancel" not in found.advice
    assert "behind 5 messages" in ahead[5].why(0).text
    for each in (*ahead, job):
        each.cancel()


def test_a_queue_that_nobody_consumes():
    job = double.with_options(queue="gpu").map([1])
    found = job.why(0)
    assert found.kind == "unheard"
    assert found.text == "waits in queue 'gpu', first, which no worker consumes; there are " + (
        "workers on celery"
    )
    assert "nbqueue worker -Q gpu" in found.advice
    assert "nbqueue worker -Q gpu" in repr(job.why())
    job.cancel()
    assert job.why(0).kind == "cancelled"
    assert job.why().text == "all 1 items ended: 1 cancelled"


def test_a_job_that_is_held_until_another_has_ended(gate, until):
    first = wait_for.map([gate], name="first")
    step = nq.run(nq.chain(wait_for.si(gate), double.si(3)), name="steps")
    shown(until, lambda: step.why(1), "waits for 1 step: 'wait_for' (0 of 1 items ended)")
    assert "wait_for" in repr(step.why())
    gate.touch()
    assert step.result(20) == 6
    assert step.why(1).task == "double"
    first.result(20)


def test_countdowns_retries_rates_and_turns(gate, until):
    later = double.apply_async((1,), countdown=60)
    assert later.why(0).kind == "time"
    assert later.why(0).text.startswith("begins in ")

    @nq.task(bind=True, max_retries=3, default_retry_delay=60)
    def stubborn(self):
        self.retry(exc=ValueError("not yet"))

    again = stubborn.submit()
    said = shown(until, lambda: again.why(0), "RETRY: runs again in", "ValueError: not yet")
    assert "retry 1 in 1 min" in said
    assert again.why().errors == ("item 0: ValueError: not yet",)

    rated = double.with_options(name="rated", rate_limit="1/m").map([1, 2])
    shown(until, lambda: rated.why(1), "waits for the rate limit of its task (1/m)")

    turns = wait_for.with_options(name="turns", concurrency=1)
    one = turns.map([gate], name="one")
    shown(until, lambda: one.why(0), "runs on only")
    for job in (later, again, rated, one):
        job.cancel()
    gate.touch()


def test_a_turn_is_waited_for(gate, until, servers, url):
    second, _ = servers.worker(url, KEY, "-c", "1", name="second")
    turns = wait_for.with_options(name="in-turn", concurrency=1)
    one = turns.map([gate], name="one")
    shown(until, lambda: one.why(0), "runs on")
    two = turns.map([gate], name="two")
    shown(
        until, lambda: two.why(0), "waits for a turn: 1 of 1 slot (concurrency)", "taken: one on "
    )
    gate.touch()
    two.result(30)
    second.terminate()
    second.wait(60)


def test_an_item_that_kills_its_process_tells_of_it(until):
    @nq.task
    def deadly():
        import os
        import time

        print("here I go", flush=True)
        for _ in range(50):  # so that what it says is written, however slow its process is
            time.sleep(0.01)
        os._exit(1)

    job = deadly.submit()
    assert job.wait(100)
    found = job.why(0)
    assert found.kind == "failed"
    assert "WorkerLost" in found.text
    assert found.deaths >= 2
    assert {"lost", "begun"} <= {event.kind for event in found.events}
    assert "job.rerun(0) calls it here and may end or block this process too" in found.advice
    assert f"nq.job({job.name!r}).rerun(0) in a Python of its own" in found.advice
    with pytest.raises(nq.WorkerLost, match=r"job\.rerun\(0\) .* may end this process too"):
        job.result()
    assert "here I go" in found.output
    frame = found.to_frame()
    assert frame.columns.tolist() == ["at", "event", "text", "worker"]
    assert len(frame) == len(found.events)


def test_a_failure_an_expiry_and_what_other_programs_can_read(monkeypatch, url, capsys, gate):
    failed = nq.task(lambda x: 1 / x, name="divide").map([1, 0], name="failing")
    failed.wait(20)
    assert failed.why().text == "all 2 items ended: 1 succeeded, 1 failed"
    assert failed.why().errors == ("item 1: ZeroDivisionError: division by zero",)
    monkeypatch.setenv("NBQUEUE_BROKER", url)
    monkeypatch.setenv("NBQUEUE_KEY", KEY)
    assert cli.main(["jobs", "why", "failing", "1"]) == 0
    assert "FAILURE: failed after" in capsys.readouterr().out
    assert cli.main(["jobs", "why", "failing", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["FAILURE"] == 1
    assert cli.main(["jobs", "why", "failing", "-1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "failed"

    blocking = wait_for.map([gate])
    late = double.apply_async((1,), expires=0.5)
    nq.jobs()
    gate_opens = late.why(0)
    assert gate_opens.kind in ("queue", "hand", "cancelled")
    with pytest.raises(IndexError):
        late.why(1)
    blocking.wait(0.7)
    gate.touch()
    late.wait(20)
    assert "expired: not begun by" in late.why(0).text


def test_workers_that_are_dead_and_a_broker_that_is_gone(servers, until, gate):
    server = RedisServer(servers, "other")
    server.start()
    process, _ = servers.worker(server.url, KEY, "-c", "1", name="doomed")
    with nq.connect(server.url, key=KEY):
        job = wait_for.map([gate], name="orphan")
        shown(until, lambda: job.why(0), "runs on doomed", "submitted", "begun")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        said = shown(until, lambda: job.why(0), "STARTED: was begun")
        assert "comes back by itself" in said
        assert "there is none now" in said
        assert "was begun" in repr(job.why())
        server.kill()
        found = job.why(0)
        assert (found.kind, found.state) == ("unreachable", "STARTED")
        assert "no Redis answers at redis://:***@" in found.text
        assert "no Redis answers" in job.why().text


def test_on_rabbitmq_the_queue_and_its_workers_are_told(servers, rabbit, gate, until):
    backend = servers.redis("store")
    worker, _ = servers.worker(rabbit, KEY, "-c", "1", backend=backend, name="hare")
    with nq.connect(rabbit, backend=backend, key=KEY):
        load = wait_for.map([gate], name="load")
        shown(until, lambda: load.why(0), "runs on hare")
        behind = double.map([1], name="behind")
        said = shown(until, lambda: behind.why(0), "waits in queue 'celery'", "is busy (hare")
        assert "message" in said
        gate.touch()
        assert behind.result(20) == [2]
    worker.terminate()
    worker.wait(60)
