"""Clients are killed while they submit and while they read."""

import sys
import time
from dataclasses import replace
from functools import reduce

import nbqueue as nq
from tests.e2e.servers import ROOT, until
from tests.faults.stage import END_S
from tests.faults.trial import Row, Trial

AFTER_LAST = [0, 0.001, 0.003, 0.005, 0.007, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 2]
"""Seconds after the last item was taken: packing, publishing and opening take some milliseconds,
and on a busy machine some hundred."""

MOMENTS = ["0", "0.3", "0.6", "0.999", *(f"+{s:g}" for s in AFTER_LAST)]


def start(stage, trial, name, moment):
    """Start a client that submits the job of a trial and dies."""
    words = [stage.broker_url, stage.store_url, trial.tally, name, trial.n, moment]
    env = {"NBQUEUE_KEY": stage.key, "PYTHONPATH": str(ROOT), "NBQUEUE_HOME": str(stage.folder)}
    command = [sys.executable, "-m", "tests.faults.submitter", *map(str, words)]
    return stage.servers.start(f"client-{name}", command, env=env, cwd=ROOT)


def died(process, log):
    """Wait for a client's death, and say when that was."""
    until(lambda: process.poll() is not None, END_S)
    assert process.returncode == -9, log.read_text()
    return time.time()


def both(one, other):
    """Give the account of two jobs as one: sums, and the longer of two times."""
    return replace(
        one,
        **{name: getattr(one, name) + getattr(other, name) for name in COUNTS},
        **{name: max(getattr(one, name), getattr(other, name)) for name in TIMES},
    )


COUNTS = ("items", "lost", "twice", "ran_twice")
TIMES = ("back_s", "pause_s", "held_s")


def test_clients_are_killed_while_they_submit(stage, n, said):
    """A job that was half sent is wholly there, for a new client by its name, or not at all."""
    stage.start_workers()
    trials = {}
    for k, moment in enumerate(MOMENTS):
        trial = trials[f"job-{k}"] = Trial(stage, n // 10)
        trial.fault_at = died(*start(stage, trial, f"job-{k}", moment))
    client = stage.connect()
    accounts, refused = [], []
    for name, trial in trials.items():
        try:
            trial.job = nq.job(name)
        except nq.UnknownJob:
            refused.append(trial)
            continue
        trial.end()
        assert len(trial.job.to_frame()) == trial.n
        accounts.append(trial.account(client))
    # One that is sent later has ended: nothing of the others was in the queue before it.
    assert nq.task(lambda: 1).submit().result(END_S) == 1
    assert [trial.ran() for trial in refused] == [0] * len(refused)
    assert 4 <= len(refused) < len(MOMENTS)
    assert set(nq.jobs()["name"]) >= {trial.job.name for trial in trials.values() if trial.job}
    text = f"{len(MOMENTS)} clients killed as they submit, {len(accounts)} jobs in"
    said(Row(text, stage.broker, reduce(both, accounts)))


def test_a_client_is_killed_while_it_reads(stage, n, said):
    stage.start_workers()
    trial = Trial(stage, n)
    process, log = start(stage, trial, "read", "reading")
    until(lambda: log.read_text().count("\n") > 0.3 * n, END_S)
    process.kill()
    trial.fault_at = died(process, log)
    assert trial.ran() < n
    client = stage.connect()
    trial.job = nq.job("read")
    trial.end()
    assert trial.job.to_frame()["result"].tolist() == list(range(n))
    said(Row("client killed as it reads", stage.broker, trial.account(client)))


def test_what_a_half_sent_job_has_put_into_the_store_goes_away(stage, n):
    died(*start(stage, Trial(stage, n), "half", "0.999"))
    keys = stage.ask("keys", "nbq:*")
    assert keys
    # (-2: it has gone meanwhile.)
    assert [key for key in keys if stage.ask("pttl", key) == -1] == []
