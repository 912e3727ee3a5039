"""Schedules on an embedded cluster, with its real beat: made, changed and removed while it runs."""

import contextlib
import os
import re
import signal
import threading
import time
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from celery.schedules import crontab

import nbqueue as nq
from nbqueue.cluster import embedded
from nbqueue.cluster.status import Status
from nbqueue.notebook.views import things
from nbqueue.store import keys
from nbqueue.terminal import status_page
from tests.e2e.ticks import ended, tick

pytestmark = pytest.mark.usefixtures("cluster", "no_schedules_left")


@pytest.fixture
def no_schedules_left(cluster):
    yield
    for name in nq.schedules().index:
        nq.schedule(name).remove()


# -- runs -----------------------------------------------------------------------------------------


def test_an_interval_runs_again_and_again_each_run_a_named_job(until):
    schedule = tick.every("1s", name="fast", args=[4])
    runs = until(lambda: found if len(found := ended(schedule)) >= 3 else None)
    assert {run.outcome for run in runs} == {"SUCCESS"}
    job = nq.job(runs[0].job)
    assert re.fullmatch(r"fast @ \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", job.name)
    assert job.result() == 8
    apart = np.diff([run.due.timestamp() for run in runs])
    assert np.allclose(apart, np.round(apart), atol=0.01)


def test_a_listing_of_schedules(until):
    schedule = tick.every("1s", name="fast")
    tick.cron("0 3 29 2 *", name="nightly", timezone="Europe/Berlin")  # and not during this test
    until(lambda: ended(schedule))
    found = nq.schedules()
    assert found.columns.tolist() == [
        "schedule", "task", "enabled", "last_run", "next_run", "duration_s", "outcome", "n_runs",
        "job",
    ]  # fmt: skip
    assert found.index.tolist() == ["fast", "nightly"]
    assert found.loc["fast", "n_runs"] >= 1
    assert found.loc["fast", "enabled"]
    nightly = found.loc["nightly"]
    assert nightly["schedule"] == "cron 0 3 29 2 * (Europe/Berlin)"
    assert nightly["next_run"].tz_convert("Europe/Berlin").hour == 3
    assert nightly[["last_run", "duration_s", "outcome"]].isna().all()
    assert nightly["n_runs"] == 0


def test_a_listing_without_schedules():
    found = nq.schedules()
    assert len(found) == 0
    assert str(found["next_run"].dtype).startswith("datetime64")


def test_a_run_that_fails_is_shown(until):
    @nq.task
    def fail():
        raise ValueError("no data today")

    schedule = fail.every("1s")
    until(lambda: ended(schedule))
    schedule.pause()
    until(lambda: nq.schedules().loc["fail", "outcome"] == "FAILURE")
    job = nq.job(schedule.history().index[-1])
    with pytest.raises(ValueError, match="no data today"):
        job.result()
    job.retry(tick).wait(20)  # with the mistake mended
    assert schedule.history()["outcome"].iloc[-1] == "SUCCESS"


def test_a_run_once_at_a_time(until):
    schedule = tick.at(timedelta(seconds=5), args=[5], name="once")
    assert schedule.next_run > datetime.now(timezone.utc)
    run = until(lambda: ended(schedule))[0]
    assert nq.job(run.job).result() == 10
    assert schedule.next_run is None
    assert not nq.schedules().loc["once", "enabled"]


def test_the_cell_of_a_time_that_has_come_can_be_run_again(until):
    when = datetime.now(timezone.utc) + timedelta(seconds=5)
    schedule = tick.at(when)
    until(lambda: ended(schedule))
    again = tick.at(when)
    assert len(again.history()) == 1
    with pytest.raises(nq.UsageError, match="still to come") as refused:
        tick.at(when, name="other")
    assert refused.value.__context__ is None  # that there is none of the name is no news


def test_no_more_runs_than_wanted_and_the_cell_again_starts_anew(until):
    schedule = tick.every(1, max_runs=2)
    until(lambda: len(ended(schedule)) == 2)
    assert schedule.next_run is None
    again = tick.every(1, max_runs=2)
    until(lambda: len(ended(again)) == 4)


def test_run_now_is_a_run_out_of_turn():
    schedule = tick.every("1h", args=[3]).pause()
    job = schedule.run_now()
    assert job.result(timeout=20) == 6
    assert job.name.startswith("tick @ ")
    assert schedule.history().index.tolist() == [job.id]


def test_a_run_may_be_skipped_while_the_one_before_goes_on(until, gate):
    @nq.task
    def wait(path):
        while not os.path.exists(path):  # noqa: PTH110 - nothing else to import by value
            time.sleep(0.05)

    schedule = wait.every("1s", args=[str(gate)], overlap=False)
    until(lambda: (schedule.history()["outcome"] == "SKIPPED").sum() >= 2)
    assert (schedule.history()["outcome"] == "PENDING").sum() == 1
    assert nq.schedules().loc["wait", "n_runs"] == 1
    schedule.pause()
    gate.touch()
    until(lambda: ended(schedule))


# -- while beat runs ------------------------------------------------------------------------------


def test_paused_it_does_not_run_and_resumed_it_does_not_make_up(until):
    schedule, other = tick.every("1s", name="paused"), tick.every("1s", name="other")
    until(lambda: ended(schedule))
    assert repr(schedule.pause()) == "<Schedule 'paused': tick every 1 s, paused>"
    assert schedule.next_run is None
    paused = datetime.now(timezone.utc)
    until(lambda: (other.history()["due"] > paused).any())  # what was on its way is sent
    sent = datetime.now(timezone.utc)  # a worker may come to that later
    until(lambda: (other.history()["due"] > sent + timedelta(seconds=2)).any())
    assert (schedule.history()["due"] <= sent).all()
    resumed = datetime.now(timezone.utc)
    assert schedule.resume().enabled
    until(lambda: (schedule.history()["due"] > resumed).any())
    assert not schedule.history()["due"].between(sent, resumed).any()


def test_what_beat_leaves_behind_of_a_paused_schedule_is_nothing(cluster):
    schedule = tick.every("1h")
    store = cluster._address.keepalive
    meta = store.hget("nbq:beat:nbqueue tick", "meta")
    schedule.pause()
    store.hset("nbq:beat:nbqueue tick", "meta", meta)  # beat was just sending it
    assert schedule.next_run is None
    assert not nq.schedules().loc["tick", "enabled"]
    assert schedule.resume().next_run is not None


def test_pausing_and_resuming_twice_changes_nothing(until):
    schedule = tick.every("1h", max_runs=5)
    before = schedule.next_run
    assert schedule.resume().next_run == before
    assert schedule.pause().pause().next_run is None
    assert not nq.schedules().loc["tick", "enabled"]
    assert schedule.resume().next_run is not None


def test_changed_it_runs_at_other_times_with_other_arguments(until):
    schedule = tick.every("1h", args=[1])
    assert repr(schedule.change(every="1s", args=[7])) == "<Schedule 'tick': tick every 1 s>"
    run = until(lambda: ended(schedule))[0]
    assert nq.job(run.job).result() == 14
    schedule.change(cron=crontab(minute=0, hour=3), timezone="UTC")
    assert schedule.next_run.strftime("%H:%M %Z") == "03:00 UTC"
    schedule.change(max_runs=4, overlap=False)
    assert schedule.times == "cron 0 3 * * * (UTC)"
    assert schedule.terms["at most"] == "4 run(s)"


def test_a_change_of_a_paused_schedule_leaves_it_paused():
    schedule = tick.every("1h").pause()
    schedule.change(every="2h")
    assert schedule.next_run is None
    assert repr(nq.schedule("tick")) == "<Schedule 'tick': tick every 2 h, paused>"
    assert schedule.resume().next_run is not None


def test_a_bad_change_changes_nothing():
    schedule = tick.every("1h")
    for bad in ({"every": "soon"}, {"every": 5, "cron": "* * * * *"}, {"at": "2020-01-01"},
                {"max_runs": 0}, {"overlap": 2}, {"end": "2020-01-01"}):  # fmt: skip
        with pytest.raises(nq.UsageError):
            schedule.change(**bad)
    with pytest.raises(TypeError, match="colour"):
        schedule.change(colour="red")
    with pytest.raises(nq.NotPicklable):
        schedule.change(args=[threading.Lock()])
    assert repr(nq.schedule("tick")) == "<Schedule 'tick': tick every 1 h>"


def test_removed_it_is_gone_and_once_more_is_no_error(cluster, until):
    schedule = tick.every("1s")
    until(lambda: ended(schedule))
    assert schedule.remove()
    assert not schedule.remove()
    assert not schedule.cancel()
    assert len(nq.schedules()) == 0
    with pytest.raises(nq.UnknownSchedule, match="tick"):
        nq.schedule("tick")
    for use in (schedule.pause, schedule.resume, schedule.run_now, schedule.change):
        with pytest.raises(nq.UnknownSchedule):
            use()
    # (A run that was under way may come to its end, and finds nothing to note.)
    assert cluster._address.keepalive.keys("nbq:schedule*") == []


# -- the same name --------------------------------------------------------------------------------


def test_a_cell_that_is_run_again_replaces_the_code_and_keeps_the_rhythm(until):
    schedule = tick.every("1h")
    before = schedule.next_run

    @nq.task(name="tick")
    def other():
        return "new"

    again = other.every("1h")
    assert again.next_run == before
    assert len(nq.schedules()) == 1
    assert again.run_now().result(timeout=20) == "new"
    assert tick.every("2h").next_run > before


def test_another_task_in_the_place_of_one_is_said(capsys):
    tick.every("1h", name="shared")
    assert capsys.readouterr().err == ""
    nq.task(len).every("1h", name="shared", args=[""])
    assert "'shared' runs len now, and no longer tick" in capsys.readouterr().err


def test_a_cell_that_is_run_again_resumes_what_was_paused():
    tick.every("1h").pause()
    assert tick.every("1h").next_run is not None


# -- what cannot be -------------------------------------------------------------------------------


def test_what_cannot_be_scheduled_leaves_nothing():
    with pytest.raises(TypeError, match="nothing was sent"):
        tick.every("1h", args=[1, 2])
    for args in (5, "ab"):
        with pytest.raises(TypeError, match="takes a tuple"):
            tick.every("1h", args=args)
    with pytest.raises(nq.NotPicklable, match="lock"):
        tick.every("1h", args=[threading.Lock()])
    lock = threading.Lock()
    with pytest.raises(nq.NotPicklable, match="'lock'"):
        nq.task(lambda: lock).every("1h")
    with pytest.raises(nq.UsageError, match="five fields"):
        tick.cron("* * * *")
    with pytest.raises(nq.UsageError, match="no minute"):
        tick.cron("61 * * * *")
    with pytest.raises(nq.UsageError, match="name"):
        tick.every("1h", name="")
    with pytest.raises(nq.UsageError, match="countdown"):
        tick.every("1h", countdown=5)
    with pytest.raises(TypeError, match="colour"):
        tick.every("1h", colour="red")
    assert len(nq.schedules()) == 0


def test_a_name_that_looks_like_a_key_is_just_a_name(until):
    name = ":lock {x} * é \u00a0".strip()
    schedule = tick.every("1s", name=name)
    until(lambda: ended(schedule))
    assert nq.schedules().index.tolist() == [name]
    assert schedule.remove()


# -- what is kept ---------------------------------------------------------------------------------


def test_function_and_arguments_do_not_expire_before_the_schedule_does(cluster, until):
    big = np.arange(400_000)

    @nq.task
    def total(more):
        return int(big.sum() + more.sum())

    schedule = total.every("1h", args=[np.ones(300_000)])
    store = cluster._address.keepalive
    for key in [*store.keys("nbq:fn:*"), *store.keys("nbq:blob:*")]:
        store.delete(key)  # as if more than a week had passed
    assert schedule.run_now().result(timeout=20) == int(big.sum()) + 300_000


def test_how_a_run_ended_is_known_when_its_job_is_not_there_any_more(cluster):
    schedule = tick.every("1h")
    job = schedule.run_now()
    job.result(timeout=20)
    assert len(ended(schedule)) == 1
    job.forget()
    assert schedule.history()["outcome"].tolist() == ["SUCCESS"]
    job = schedule.run_now()
    job.result(timeout=20)
    job.forget()
    # As if nobody had looked before: beat may have just then, which it does now and then.
    cluster._address.keepalive.hdel(keys.schedule_ended("tick"), job.id)
    assert schedule.history()["outcome"].tolist() == ["EXPIRED", "SUCCESS"]


def test_a_definition_that_somebody_has_changed_is_not_run(cluster, caplog):
    schedule = tick.every("1h")
    store = cluster._address.keepalive
    sealed = store.hget(keys.schedule("tick"), "definition")
    store.hset(keys.schedule("tick"), "definition", sealed[:-1] + b"!")
    with pytest.raises(nq.BadSignature):
        schedule.run_now()
    tick.every("1h", name="another")
    assert nq.schedules().index.tolist() == ["another"]
    assert "left a schedule out" in caplog.text
    store.hset(keys.schedule("tick"), "definition", sealed)


# -- kernels, clusters, deaths --------------------------------------------------------------------


def test_another_kernel_finds_and_stops_it(notebook, until):
    notebook.run("@nq.task\ndef beep():\n    return 'beep'\nbeep.every('1s', name='left behind')\n")
    schedule = nq.schedule("left behind")
    run = until(lambda: ended(schedule))[0]
    assert nq.job(run.job).result() == "beep"
    assert notebook.run("print(nq.schedule('left behind').remove())") == "True\n"


def test_a_beat_that_is_killed_is_replaced(cluster, until):
    schedule = tick.every("1s")
    until(lambda: ended(schedule))
    beat_pid = until(lambda: embedded.status(cluster.folder).beat_pid)
    os.kill(beat_pid, signal.SIGKILL)
    killed = datetime.now(timezone.utc)
    until(lambda: (schedule.history()["due"] > killed + timedelta(seconds=1)).any())
    until(lambda: embedded.status(cluster.folder).beat_pid not in (None, beat_pid))
    assert "SIGKILL" in embedded.status(cluster.folder).beat_message


def test_beat_outlives_a_store_that_is_started_again(cluster, until):
    schedule = tick.every("1s")
    until(lambda: ended(schedule))
    before = until(lambda: found if (found := embedded.status(cluster.folder)).beat_pid else None)
    os.kill(before.redis_pid, signal.SIGKILL)
    killed = datetime.now(timezone.utc)
    until(lambda: embedded.status(cluster.folder).redis_pid not in (None, before.redis_pid))

    def has_run():
        with contextlib.suppress(nq.BrokerUnreachable):  # it is starting
            return any(run.due > killed + timedelta(seconds=1) for run in ended(schedule))

    until(has_run)
    assert embedded.status(cluster.folder).beat_pid == before.beat_pid


def test_schedules_go_on_when_the_cluster_is_started_again(home, until):
    with nq.LocalCluster(workers=1, name="again"):
        schedule = tick.every("1s")
        until(lambda: ended(schedule))
    with nq.LocalCluster(workers=1, name="again") as cluster:
        stopped = datetime.now(timezone.utc)
        schedule = nq.schedule("tick")
        until(lambda: any(run.due > stopped for run in ended(schedule)))
        assert embedded.status(cluster.folder).schedules == 1
        schedule.remove()


def test_a_cluster_without_a_name_says_which_schedules_end_with_it(local_cluster, capsys):
    with local_cluster(workers=1):
        tick.every("1h", name="doomed")
    assert "1 schedule(s) are lost with this cluster, which has no name: 'doomed'" in (
        capsys.readouterr().err
    )


def test_a_cluster_without_schedules_runs_no_beat(local_cluster):
    with local_cluster(workers=1) as cluster:
        tick.submit().result(timeout=20)
        assert embedded.status(cluster.folder).beat_pid is None


# -- faces ----------------------------------------------------------------------------------------


def test_a_schedule_is_shown_as_a_small_table_that_runs_nothing():
    schedule = tick.cron(
        "0 8 * * *", name="<b>x</b>", timezone="UTC", end="2099-01-01", max_runs=3, overlap=False
    )
    html = things.schedule(schedule)
    assert "<b>" not in html
    for shown in ("&lt;b&gt;x", "tick", "cron 0 8 * * * (UTC)", "2099-01-01 00:00:00 (UTC)",
                  "3 run(s)", "skipped", "enabled"):  # fmt: skip
        assert shown in html
    assert "paused" in things.schedule(schedule.pause())


def test_the_status_of_a_cluster_says_what_keeps_it(cluster, until):
    assert "beat" not in status_page(Status(True, cluster.folder, keep_alive_s=600))
    kept = status_page(Status(True, cluster.folder, keep_alive_s=600, schedules=2, beat_pid=7))
    assert "2 schedules enabled, pid 7" in kept
    assert "`nbqueue down`, or when no schedule is enabled" in kept
    assert "last client" in status_page(Status(True, cluster.folder, keep_alive_s=0, schedules=2))


def test_a_runs_own_time_to_expire_begins_with_the_run(until):
    schedule = tick.every("1s", expires=60)
    run = until(lambda: ended(schedule))[0]
    assert run.outcome == "SUCCESS"
    with pytest.raises(nq.UsageError, match="expires"):
        tick.every("1h", expires=datetime.now(timezone.utc))


def test_what_a_task_is_told_holds_for_its_runs(until, tmp_path):
    @nq.task(max_retries=2, default_retry_delay=0.05, autoretry_for=(ValueError,))
    def second_time(folder):
        try:
            os.mkdir(folder)  # noqa: PTH102 - nothing else to import by value
        except FileExistsError:
            return "there"
        raise ValueError("not yet")

    schedule = second_time.every("1h", args=[str(tmp_path / "made")])
    assert schedule.run_now().result(timeout=20) == "there"
