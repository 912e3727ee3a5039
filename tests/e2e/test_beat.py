"""`nbqueue beat`: two of them, a project's own entries, and a store that is away."""

import contextlib
import os
import signal
import sys
import textwrap
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
import redis

import nbqueue as nq
from nbqueue.cli import main
from nbqueue.store import signing
from tests.e2e.ticks import ended, tick

KEY = signing.generate()
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def url(servers):
    return servers.redis("s3cret-w0rd")


@pytest.fixture(scope="module")
def worker(servers, url):
    return servers.worker(url, KEY, "-c", "2")


@pytest.fixture
def client(url, worker):
    with nq.connect(url, key=KEY) as made:
        yield made
        for name in nq.schedules().index:
            nq.schedule(name).remove()


def test_a_schedule_that_nothing_runs_is_said(client, capsys):
    schedule = tick.every("1h")
    assert "`nbqueue beat`" in capsys.readouterr().err
    schedule.remove()


def test_large_values_stay_as_long_as_the_schedule(client, url):
    schedule = nq.task(np.sum).every("1h", args=[np.ones(400_000)], name="sum")
    with redis.Redis.from_url(url) as store:
        keys = [*store.keys("nbq:blob:*"), *store.keys("nbq:fn:*")]
        assert len(keys) >= 2
        store.delete(*keys)  # as if more than a week had passed
        assert schedule.run_now().result(20) == 400_000
        assert schedule.remove()
        assert store.keys("nbq:schedule:*") == []


@pytest.mark.usefixtures("client")
def test_of_two_beats_one_sends_and_the_other_takes_over(start_beat, url, until):
    first, _ = start_beat("--broker", url)
    second, log = start_beat("--broker", url, ready="beat: Starting")
    schedule = tick.every("1s")
    until(lambda: len(ended(schedule)) >= 2)
    assert "Acquired" not in log.read_text()
    history = schedule.history()
    assert history["due"].is_unique
    os.kill(first.pid, signal.SIGKILL)
    killed = datetime.now(timezone.utc)
    first.wait(10)
    until(lambda: any(run.due > killed + timedelta(seconds=1) for run in ended(schedule)))
    assert second.poll() is None


@pytest.mark.usefixtures("client")
def test_a_beat_that_was_asleep_waits_for_the_one_that_took_over(start_beat, url, until):
    first, log = start_beat("--broker", url)
    schedule = tick.every("1s")
    os.kill(first.pid, signal.SIGSTOP)
    start_beat("--broker", url)
    until(lambda: ended(schedule))
    os.kill(first.pid, signal.SIGCONT)
    until(lambda: "another beat has taken over" in log.read_text())
    n = len(ended(schedule))
    until(lambda: len(ended(schedule)) >= n + 2)
    assert schedule.history()["due"].is_unique
    assert first.poll() is None


@pytest.mark.usefixtures("client")
def test_a_projects_own_entries_are_sent_as_well(start_beat, url, tmp_path, until):
    # (A project's own beat_schedule, with names that it has chosen.)
    (tmp_path / "proj.py").write_text(
        textwrap.dedent(
            f"""
            from datetime import timedelta
            from celery import Celery
            from celery.schedules import BaseSchedule, schedstate

            class Often(BaseSchedule):
                def remaining_estimate(self, last_run_at):
                    return last_run_at + timedelta(seconds=1) - self.now()

                def is_due(self, last_run_at):
                    rest = self.remaining_estimate(last_run_at).total_seconds()
                    return schedstate(rest <= 0, rest if rest > 0 else 1.0)

            app = Celery("proj", broker={url!r})
            app.conf.beat_schedule = {{
                "beats": {{"task": "proj.beats", "schedule": 1.0, "options": {{"queue": "proj"}}}},
                "custom": {{
                    "task": "proj.custom", "schedule": Often(), "options": {{"queue": "proj"}}
                }},
            }}
            """
        )
    )
    _, log = start_beat("--app", "proj:app", folder=tmp_path)
    until(lambda: log.read_text().count("Sending due task beats (proj.beats)") >= 2)
    until(lambda: log.read_text().count("Sending due task custom (proj.custom)") >= 2)
    schedule = tick.every("1s", name="beats")  # a name that is taken, there
    until(lambda: ended(schedule))
    schedule.remove()
    n = log.read_text().count("(proj.beats)")
    until(lambda: log.read_text().count("(proj.beats)") > n)


@pytest.mark.usefixtures("client")
def test_entries_that_cannot_be_read_do_not_hold_up_the_others(start_beat, url, until):
    with redis.Redis.from_url(url) as store:
        for name, text in {
            "torn": "{",
            "newer": '{"name": "newer", "schedule": {"what": 1}}',
        }.items():
            store.hset(f"nbq:beat:{name}", "definition", text)
            store.zadd("nbq:beat::schedule", {f"nbq:beat:{name}": 1.0})
        process, log = start_beat("--broker", url)
        schedule = tick.every("1s")
        until(lambda: ended(schedule))
        assert "Failed to load" in log.read_text()
        assert process.poll() is None


@pytest.mark.usefixtures("client")
def test_celerys_own_command_finds_the_schedules_too(servers, url, until):
    env = {**os.environ, "PYTHONPATH": str(ROOT), "NBQUEUE_KEY": KEY, "NBQUEUE_BROKER": url}
    command = [sys.executable, "-m", "celery", "-A", "nbqueue", "beat", "-l", "info"]
    process, log = servers.start("celery-beat", command, env=env)
    schedule = tick.every("1s")
    until(lambda: ended(schedule) or process.poll() is not None)
    process.terminate()
    assert process.wait(30) == 0, log.read_text()
    assert ended(schedule)
    assert "celery.backend_cleanup" not in log.read_text()


def test_a_beat_outlives_a_store_that_is_away(servers, until, start_beat, capsys):
    url = servers.redis("s3cret-w0rd")
    process, log = servers._processes[-1], None
    _, log = start_beat("--broker", url)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    until(lambda: "the store is away" in log.read_text())
    assert "s3cret" not in log.read_text()


def test_wrong_use_is_told_in_a_line(capsys, monkeypatch):
    for name in ("NBQUEUE_BROKER", "NBQUEUE_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    with contextlib.suppress(SystemExit):
        main(["beat"])
    assert "which broker?" in capsys.readouterr().err
    assert main(["beat", "--broker", "redis://127.0.0.1:1/0"]) == 1
    assert "no Redis answers" in capsys.readouterr().err
    assert main(["beat", "--app", "no_such_module:app", "--broker", "redis://127.0.0.1:1/0"]) == 1
    assert "no Celery app at 'no_such_module:app'" in capsys.readouterr().err
