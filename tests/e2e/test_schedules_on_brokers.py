"""Schedules with `nbqueue beat` and `nbqueue worker`, on both kinds of broker."""

import sys
from datetime import datetime, timedelta, timezone

import pytest

import nbqueue as nq
from nbqueue.core.errors import UsageError
from tests.e2e.ticks import ended, tick


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


@pytest.mark.usefixtures("client", "beat")
def test_schedules_run_are_changed_paused_and_removed_while_beat_runs(until):
    schedule = tick.every("1s", args=[4])
    run = until(lambda: ended(schedule))[0]
    assert nq.job(run.job).result(10) == 8
    schedule.change(args=[5])
    until(lambda: nq.job(ended(schedule)[0].job).result(10) == 10)
    schedule.pause()
    once = tick.at(timedelta(seconds=4), name="once")  # not past before it is sent
    until(lambda: ended(once))
    assert once.remove()
    assert schedule.resume().remove()
    assert len(nq.schedules()) == 0


@pytest.mark.usefixtures("beat")
def test_a_time_that_comes_while_its_schedule_is_saved_is_not_missed(client, monkeypatch, until):
    records = client.schedules._records
    save = records.save

    def save_slowly(definition):
        save(definition)
        until(lambda: client.now() > definition.timetable.rule.moments[0])

    monkeypatch.setattr(records, "save", save_slowly)
    schedule = tick.at(timedelta(seconds=1), name="slow")
    until(lambda: ended(schedule), 20)


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
    until(lambda: "proj.own" in log.read_text())


@pytest.mark.usefixtures("beat")
def test_a_time_zone_that_the_configuration_sets_is_that_of_schedules(wires, worker):
    config = {"timezone": "Asia/Tokyo"}
    with nq.connect(wires.broker, backend=wires.backend, key=wires.key, config=config):
        schedule = tick.cron("0 8 * * *")
        assert schedule.times == "cron 0 8 * * * (Asia/Tokyo)"
        assert tick.cron("0 8 * * *", timezone="UTC").next_run.utcoffset() == timedelta(0)
        assert schedule.remove()


# -- workflows and maps ----------------------------------------------------------------------------


@nq.task
def total(numbers):
    return sum(numbers)


@nq.task
def numbers(n):
    return list(range(n))


@nq.task
def fails(x):
    raise ValueError(x)


@pytest.mark.usefixtures("client", "beat")
def test_a_workflow_is_run_again_and_again_each_run_a_job_of_all_its_calls(until):
    workflow = nq.group(tick.s(1), tick.s(2)) | total.s()
    schedule = workflow.every("1s", name="sums")
    until(lambda: len(ended(schedule)) >= 2)
    assert [run.outcome for run in ended(schedule)][:2] == ["SUCCESS", "SUCCESS"]
    first, second = (nq.job(run.job) for run in ended(schedule)[:2])
    assert (first.result(10), second.result(10)) == (6, 6)
    assert first.name.startswith("sums @ 2")
    assert first.id != second.id
    assert len(first) == 3


@pytest.mark.usefixtures("client")
def test_maps_fan_outs_and_errbacks_run_on_a_schedule():
    mapped = nq.map(tick, range(2500)) | total.s()
    assert mapped.cron("0 8 * * *", name="map").run_now().result(30) == 2 * sum(range(2500))
    starred = nq.starmap(tick, [(1,), (2,)]).every("1h", name="starred")
    assert starred.run_now().result(30) == [2, 4]
    spread = (numbers.s() | nq.map(tick) | total.s()).every("1h", name="spread", args=(4,))
    assert [spread.run_now().result(30) for _ in range(2)] == [12, 12]
    chunked = nq.chunks(tick, [(1,), (2,), (3,)], 2).at(timedelta(days=1), name="chunked")
    assert chunked.run_now().result(30) == [2, 4, 6]
    saved = fails.si(3).on_error(tick.si(21)).every("1h", name="saved")
    job = saved.run_now()
    assert job.wait(30)
    assert job.counts()["FAILURE"] == job.counts()["SUCCESS"] == 1


@pytest.mark.usefixtures("client")
def test_a_signature_is_scheduled_as_the_call_that_it_is():
    schedule = tick.s(4).set(queue="celery").every("10m")
    assert repr(schedule) == "<Schedule 'tick': tick every 10 min>"
    assert schedule.run_now().result(30) == 8
    assert schedule.run_now().to_frame().columns[0] == "x"


def test_what_a_scheduled_workflow_needs_outlives_what_was_sent(client, wires):
    table = list(range(400_000))
    schedule = (nq.map(tick, ["a" * 10, "b" * 10]) | nq.task(lambda x: (x, len(table))).s()).every(
        "1h", name="kept"
    )
    store = client.joblog._store
    for key in [*store.scan_iter("nbq:fn:*"), *store.scan_iter("nbq:{*}:args")]:
        store.delete(key)
    for key in store.scan_iter("nbq:blob:*"):
        store.delete(key)
    assert schedule.run_now().result(30) == (["a" * 20, "b" * 20], 400_000)
    assert schedule.remove()
    assert not list(store.scan_iter("nbq:schedule:kept*"))


@pytest.mark.usefixtures("client")
def test_what_cannot_be_run_again_and_again_says_so():
    job = tick.submit(1)
    with pytest.raises(UsageError, match="an empty group"):
        nq.group().every("1h")
    with pytest.raises(UsageError, match="a schedule has end="):
        (tick.s(1).set(expires=datetime.now(timezone.utc)) | tick.s()).every("1h")
    with pytest.raises(UsageError, match="make it anew"):
        (tick.s(1) | tick.s()).every("1h", name="w").change(args=[2])
    with pytest.raises(TypeError, match="nothing was sent"):
        (tick.s(1) | tick.s(1, 2, 3)).every("1h")
    job.result(20)


@pytest.mark.usefixtures("client", "beat")
def test_a_solar_schedule_knows_the_next_sunset_and_needs_a_place(monkeypatch):
    schedule = tick.solar("sunset", 52.5, 13.4, args=[2], timezone="UTC")
    assert 14 <= schedule.next_run.hour <= 20  # 14:52 in December, 19:34 in June
    assert schedule.times == "solar sunset at 52.5, 13.4"
    assert schedule.run_now().result(20) == 4
    for wrong in (("noon", 52, 13), ("sunset", 520, 13), ("sunset", "north", 13)):
        with pytest.raises(UsageError, match=r"solar\(\)"):
            tick.solar(*wrong)
    monkeypatch.setitem(sys.modules, "ephem", None)
    with pytest.raises(UsageError, match=r"pip install 'nbqueue\[solar\]'"):
        tick.solar("sunset", 52.5, 13.4)
