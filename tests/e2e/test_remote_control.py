"""``nq.control`` on Redis and RabbitMQ: every question and order, and what is asked in vain."""

import os
import signal
import time

import pandas as pd
import pytest

import nbqueue as nq
from nbqueue.client.remote import asking
from nbqueue.core.errors import BrokerUnreachable, ClusterError, UsageError

MODULE = """
from celery import shared_task
from celery.worker.control import inspect_command

@shared_task(name="proj.add")
def add(x, y):
    return x + y

@inspect_command()
def colour(state, **_):
    return {"ok": "green"}
"""

RESTARTS = """
from celery.signals import celeryd_init

@celeryd_init.connect
def allow(conf, **_):
    conf.worker_pool_restarts = True
"""


@nq.task
def hold(folder, i, gate):
    import pathlib
    import time

    (pathlib.Path(folder) / f"began-{i}").touch()
    while not pathlib.Path(gate).exists():
        time.sleep(0.01)
    return i


@pytest.fixture(scope="module")
def workers(servers, wires):
    (servers.folder / "proj_module.py").write_text(MODULE)
    for name in ("left", "right"):
        options = ("-c", "1", "-I", "proj_module")
        servers.worker(wires.broker, wires.key, *options, backend=wires.backend, name=name)


@pytest.fixture(autouse=True)
def client(wires, workers):
    with nq.connect(wires.broker, backend=wires.backend, key=wires.key) as made:
        yield made


def answering():
    """The names of the workers that answer; one that died before costs its second, and is a row."""
    frame = nq.control.ping()
    return set(frame.index[frame["ok"]])


@pytest.fixture
def two(until, monkeypatch):
    """The names of both workers, left first; from now on they have time to answer."""
    # Whoever asks for the first time waits a second for those it does not know.
    found = sorted(until(lambda: len(names := answering()) == 2 and names))
    monkeypatch.setattr(asking, "REPLY_S", 10.0)
    return found


def test_known_workers_are_not_waited_for(two):
    took = []
    for _ in range(5):
        began = time.monotonic()
        assert nq.control.ping().index.tolist() == two
        assert nq.workers().index.tolist() == two
        took.append(time.monotonic() - began)
    assert min(took) < 1.5  # Celery's own takes two seconds, each time


def test_what_runs_is_shown_by_job_item_and_function(two, tmp_path, gate, until):
    job = hold.map([tmp_path] * 4, range(4), [gate] * 4, name="grid")
    until(lambda: nq.control.active()["item"].notna().sum() == 2)
    frame = nq.control.active()
    assert frame.index.tolist() == two
    assert set(frame["task"]) == {"hold"}
    assert set(frame["job"]) == {"grid"}
    assert set(frame["job_id"]) == {job.id}
    until(lambda: len(list(tmp_path.glob("began-*"))) == 2)
    assert set(frame["item"]) == {int(path.name[6:]) for path in tmp_path.glob("began-*")}
    until(lambda: nq.control.active()["seconds"].min() > 0.3)
    only = nq.control.active(destination=two[0])
    assert only.index.tolist() == two[:1]
    found = nq.control.query_task(only["id"].tolist())
    assert found["state"].tolist() == ["active"]
    assert found["task"].tolist() == ["hold"]
    gate.touch()
    assert job.result(20) == list(range(4))
    until(lambda: nq.control.active().empty)


def test_tasks_of_celerys_are_shown_by_their_names_and_times(client, two):
    from datetime import datetime, timedelta, timezone

    eta = datetime.now(timezone.utc) + timedelta(hours=1)
    sent = client.app.send_task("proj.add", (1, 2), eta=eta, ignore_result=True)
    deadline = time.monotonic() + 20
    while (frame := nq.control.scheduled()).empty and time.monotonic() < deadline:
        time.sleep(0.01)
    [row] = frame.to_dict("records")
    assert (row["task"], row["args"], row["id"]) == ("proj.add", "(1, 2)", sent.id)
    assert abs(row["eta"] - pd.Timestamp(eta)) < pd.Timedelta("1s")
    assert nq.control.reserved().empty
    answer = nq.control.revoke(sent.id)
    assert answer["ok"].all()
    assert sent.id in set(nq.control.revoked()["id"])


def test_what_workers_are(two):
    stats = nq.control.stats()
    assert stats.index.tolist() == two
    assert set(stats["pool"]) == {"prefork"}
    assert set(stats["processes"]) == {1}
    assert (stats["up_s"] >= 0).all()
    tasks = nq.control.registered()
    assert tasks["task"].unique().tolist() == ["proj.add"]
    assert "nbqueue.range" in set(nq.control.registered(builtins=True)["task"])
    assert nq.control.active_queues()["queue"].tolist() == ["celery", "celery"]
    assert nq.control.conf().columns.tolist() == two
    assert "s3cret" not in nq.control.conf(with_defaults=True).to_string()
    assert nq.control.report()["report"].str.contains("software").all()
    assert nq.control.heartbeat() is None
    assert set(nq.control.inspect(timeout=5, limit=2).ping()) == set(two)


def test_a_task_gets_limits_everywhere_and_an_unknown_one_is_refused(two):
    assert nq.control.rate_limit("proj.add", "10/s")["ok"].tolist() == [True, True]
    assert nq.control.registered("rate_limit")["info"].tolist() == ["rate_limit=10/s"] * 2
    assert nq.control.rate_limit("proj.add", 0)["ok"].all()
    assert nq.control.time_limit("proj.add", soft=5, hard=10)["ok"].all()
    with pytest.raises(UsageError, match="Invalid rate limit"):
        nq.control.rate_limit("proj.add", "ten")


def test_a_notebooks_task_gets_time_limits_for_its_items(two, tmp_path, gate, until):
    from celery.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded

    def nap(s):
        import time

        time.sleep(s)
        return s

    task = nq.task(nap, name="naps")
    answer = nq.control.time_limit(task, soft=3)
    assert answer["answer"].tolist() == ["time limits of items of 'naps': soft 3, hard None"] * 2
    job = task.map([0.0, 30.0, 0.01])
    assert job.wait(60)
    assert [type(exc) for exc in job.exceptions().values()] == [SoftTimeLimitExceeded]
    assert job.counts()["SUCCESS"] == 2
    nq.control.time_limit("naps", hard=3)
    job = task.map([0.0, 30.0, 0.01])
    assert job.wait(60)
    assert [type(exc) for exc in job.exceptions().values()] == [TimeLimitExceeded]
    nq.control.time_limit("naps")
    assert task.map([0.0, 3.1]).result(60) == [0.0, 3.1]


def test_pools_grow_and_shrink(two, until):
    assert nq.control.pool_grow(2, destination=two[0])["ok"].tolist() == [True]
    until(lambda: nq.workers()["processes"].tolist() == [3, 1])
    nq.control.pool_shrink(2, destination=two[0])
    until(lambda: nq.workers()["processes"].tolist() == [1, 1])
    with pytest.raises(UsageError, match=r"pool_shrink: this worker has 1 process.* and 5 fewer"):
        nq.control.pool_shrink(5)
    with pytest.raises(UsageError, match="Autoscale not enabled"):
        nq.control.autoscale(4, 1)
    with pytest.raises(UsageError, match="restarts not enabled"):
        nq.control.pool_restart()


@pytest.mark.usefixtures("two")
def test_an_autoscaled_pool_is_told_its_limits_and_a_pool_restarts(servers, wires, until):
    (servers.folder / "restarts.py").write_text(RESTARTS)
    options = ("--autoscale", "2,1", "--config", "restarts", "-Q", "scaled")
    scaled, _ = servers.worker(
        wires.broker, wires.key, *options, backend=wires.backend, name="scaled"
    )
    (name,) = until(lambda: [n for n in nq.control.ping().index if n.startswith("scaled-")])
    assert nq.control.autoscale(4, 3, destination=name)["ok"].tolist() == [True]
    until(lambda: nq.workers().loc[name, "processes"] == 3)
    pid = nq.task(os.getpid, name="pid").with_options(queue="scaled")
    before = pid.submit().result(60)
    assert nq.control.pool_restart(destination=name)["ok"].tolist() == [True]
    until(lambda: before not in {pid.submit().result(60) for _ in range(8)})
    nq.control.shutdown(destination=name)
    assert scaled.wait(60) == 0
    until(lambda: name not in nq.control.ping().query("ok").index)


def test_queues_are_added_and_left(two, until):
    nq.control.add_consumer("later", destination=[two[1]])
    until(lambda: nq.control.active_queues().loc[[two[1]], "queue"].tolist() == ["celery", "later"])
    assert nq.task(lambda: 1).with_options(queue="later").submit().result(20) == 1
    nq.control.cancel_consumer("later")
    until(lambda: nq.control.active_queues()["queue"].tolist() == ["celery", "celery"])


def test_events_are_switched_on_and_off(two):
    assert nq.control.enable_events()["answer"].tolist() == ["task events enabled"] * 2
    assert nq.control.disable_events()["answer"].tolist() == ["task events disabled"] * 2


def test_any_command_is_broadcast(two, until):
    both = nq.control.broadcast("colour", reply=True)
    assert sorted(name for answer in both for name in answer) == two
    assert all(list(answer.values()) == [{"ok": "green"}] for answer in both)
    assert len(nq.control.broadcast("ping", reply=True, limit=1)) == 1
    some = {"reply": True, "pattern": "left*", "timeout": 0.5}
    one = until(lambda: nq.control.broadcast("ping", **some))  # a busy worker answers later
    assert [name for answer in one for name in answer] == two[:1]
    assert nq.control.broadcast("ping") is None
    unknown = nq.control.broadcast("no_such_command", reply=True)
    assert all("error" in said for answer in unknown for said in answer.values())


def test_a_destination_that_is_not_there_is_named_soon():
    began = time.monotonic()
    with pytest.raises(ClusterError, match="worker gone@nowhere does not answer"):
        nq.control.active(destination="gone@nowhere", timeout=0.3)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: nq.control.ping(destination=3),
        lambda: nq.control.ping(destination=[]),
        lambda: nq.control.ping(timeout="long"),
        lambda: nq.control.ping(timeout=-1),
        lambda: nq.control.broadcast(""),
        lambda: nq.control.broadcast("ping", arguments=[1]),
        lambda: nq.control.broadcast("ping", limit=0),
        lambda: nq.control.broadcast("ping", pattern="*", matcher="magic"),
        lambda: nq.control.rate_limit(3, "1/s"),
        lambda: nq.control.time_limit("proj.add", soft=-1),
        lambda: nq.control.pool_grow(0),
        lambda: nq.control.autoscale(1, 2),
        lambda: nq.control.add_consumer(""),
        lambda: nq.control.revoke([]),
    ],
)
def test_what_makes_no_sense_is_refused_before_it_is_sent(wrong):
    with pytest.raises(UsageError):
        wrong()


def test_a_job_is_revoked_by_its_name(two):
    job = nq.task(lambda: 1).with_options(queue="nobody").submit()
    assert nq.control.revoke(job.name) == 1
    assert job.state == "REVOKED"


def test_a_worker_that_was_killed_costs_its_timeout_once_and_is_named(
    servers, wires, two, capsys, until
):
    third, _ = servers.worker(
        wires.broker, wires.key, "-c", "1", "-Q", "x", backend=wires.backend, name="third"
    )
    [name] = until(lambda: answering() - set(two))
    os.killpg(third.pid, signal.SIGKILL)
    third.wait()
    assert nq.control.ping()["ok"].to_dict() == {**dict.fromkeys(two, True), name: False}
    capsys.readouterr()
    took = []
    for _ in range(5):
        began = time.monotonic()
        assert nq.control.stats().index.tolist() == two
        took.append(time.monotonic() - began)
    assert min(took) < 5  # its timeout is ten seconds here, each time
    assert capsys.readouterr().err == ""


def test_a_worker_that_hangs_is_named_and_found_again(servers, wires, two, capsys, until):
    third, _ = servers.worker(
        wires.broker, wires.key, "-c", "1", "-Q", "x", backend=wires.backend, name="third"
    )
    [name] = until(lambda: answering() - set(two))
    os.kill(third.pid, signal.SIGSTOP)
    try:
        assert nq.control.stats(timeout=5).index.tolist() == two
        assert name in capsys.readouterr().err
        assert nq.control.stats().index.tolist() == two
        with pytest.raises(ClusterError, match=name):
            nq.control.stats(destination=name, timeout=0.3)
    finally:
        os.kill(third.pid, signal.SIGCONT)
    until(lambda: nq.control.stats(destination=name).index.tolist() == [name])
    until(lambda: len(nq.control.stats()) == 3)
    nq.control.shutdown(destination=name)
    until(lambda: third.poll() is not None)
    assert third.returncode == 0
    until(lambda: nq.control.ping().index.tolist() == two)


def test_a_broker_that_is_gone_is_told_soon(servers):
    url = servers.redis("s3cret")
    with nq.connect(url, key="k" * 64):
        servers._processes[-1].kill()
        servers._processes[-1].wait()
        began = time.monotonic()
        for asked in (nq.control.ping, nq.control.enable_events, nq.control.shutdown):
            with pytest.raises(BrokerUnreachable):
                asked()
        assert time.monotonic() - began < 20
