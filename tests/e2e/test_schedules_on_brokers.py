"""Schedules with `nbqueue beat` and `nbqueue worker`, on both kinds of broker."""

from datetime import timedelta

import pytest

import nbqueue as nq

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def worker(servers, wires):
    return servers.worker(wires.broker, wires.key, "-c", "2", backend=wires.backend)


@pytest.fixture
def client(wires, worker):
    with nq.connect(wires.broker, backend=wires.backend, key=wires.key) as made:
        yield made
        for name in nq.schedules().index:
            nq.schedule(name).remove()


@pytest.fixture
def beat(start_beat, wires):
    return start_beat("--broker", wires.broker, "--backend", wires.backend)


@nq.task
def tick(x=1):
    return 2 * x


def ended(schedule):
    history = schedule.history()
    return list(history[history["finished"].notna()].reset_index().itertuples())


@pytest.mark.usefixtures("client", "beat")
def test_schedules_run_are_changed_paused_and_removed_while_beat_runs(until):
    schedule = tick.every("1s", args=[4])
    run = until(lambda: ended(schedule))[0]
    assert nq.job(run.job).result(10) == 8
    schedule.change(args=[5])
    until(lambda: nq.job(ended(schedule)[0].job).result(10) == 10)
    schedule.pause()
    once = tick.at(timedelta(seconds=1), name="once")
    until(lambda: ended(once))
    assert once.remove()
    assert schedule.resume().remove()
    assert len(nq.schedules()) == 0


@pytest.mark.usefixtures("client", "beat")
def test_a_schedule_for_a_queue_waits_for_a_worker_of_it(servers, wires, until):
    schedule, other = tick.every("1s", queue="gpu", name="gpu"), tick.every("1s", name="other")
    until(lambda: len(ended(other)) >= 2)
    assert ended(schedule) == []
    servers.worker(wires.broker, wires.key, "-c", "1", "-Q", "gpu", backend=wires.backend)
    until(lambda: ended(schedule))


@pytest.mark.usefixtures("client")
def test_a_projects_beat_sends_schedules_to_nbqueues_workers(start_beat, wires, tmp_path, until):
    (tmp_path / "proj.py").write_text(
        "from celery import Celery\n"
        f"app = Celery('proj', broker={wires.broker!r})\n"
        "app.conf.task_default_queue = 'proj'\n"
        "app.conf.beat_schedule = {'own': {'task': 'proj.own', 'schedule': 1.0}}\n"
    )
    _, log = start_beat("--app", "proj:app", "--backend", wires.backend, folder=tmp_path)
    schedule = tick.every("1s")
    until(lambda: ended(schedule))
    assert "proj.own" in log.read_text()


@pytest.mark.usefixtures("beat")
def test_a_time_zone_that_the_configuration_sets_is_that_of_schedules(wires, worker):
    config = {"timezone": "Asia/Tokyo"}
    with nq.connect(wires.broker, backend=wires.backend, key=wires.key, config=config):
        schedule = tick.cron("0 8 * * *")
        assert schedule.times == "cron 0 8 * * * (Asia/Tokyo)"
        assert tick.cron("0 8 * * *", timezone="UTC").next_run.utcoffset() == timedelta(0)
        assert schedule.remove()
