"""Processes of the workers die or stand still among running items."""

import os
import signal
from contextlib import contextmanager

from nbqueue.core.settings import LEASE_S
from nbqueue.store.broker.holding import first_lease_s
from tests.e2e.servers import until
from tests.faults.trial import Trial


@contextmanager
def stopped(worker):
    """Have a worker stand still, with its pool, for the length of a block."""
    os.killpg(worker.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(worker.process.pid, signal.SIGCONT)


def test_a_child_is_killed(trial, passed):
    trial.until_ran(0.3)
    os.kill(trial.stage.workers[0].children[1], signal.SIGKILL)
    passed("SIGKILL of a child", trial)


def test_all_children_of_a_worker_are_killed(trial, passed):
    trial.until_ran(0.3)
    for pid in trial.stage.workers[0].children:
        os.kill(pid, signal.SIGKILL)
    passed("SIGKILL of all children of a worker", trial)


def test_a_worker_is_killed_with_its_children(trial, passed):
    trial.until_ran(0.3)
    trial.stage.workers[0].kill(children=True)
    passed("SIGKILL of a worker and its children", trial)


def test_a_worker_is_killed_and_its_children_live_on(trial, passed):
    trial.until_ran(0.3)
    trial.stage.workers[0].kill(children=False)
    passed("SIGKILL of a worker, its children left alone", trial)


def test_all_workers_are_killed_and_new_ones_started(trial, passed):
    trial.until_ran(0.3)
    for worker in trial.stage.workers:
        worker.kill(children=True)
    trial.stage.start_workers()
    passed("SIGKILL of all workers, new ones started", trial)


def test_a_worker_stands_still_for_longer_than_its_lease(trial, passed):
    trial.until_ran(0.3)
    with stopped(trial.stage.workers[0]):
        trial.end()
        until(lambda: trial.since_fault_s() > 1.5 * trial.stage.lease_s)
    trial.stage.all_work()
    passed("SIGSTOP of a worker for longer than its lease", trial)


def test_a_worker_that_stands_still_for_less_than_its_lease_is_not_taken_for_dead(stage, n, passed):
    lease_s = 3 * LEASE_S  # the rest is for a machine that has them stand still for longer
    stage.start_workers(lease_s=lease_s)
    stage.connect()
    trial = Trial(stage, n)
    trial.begin()
    trial.until_ran(0.3)
    with stopped(stage.workers[0]):
        # (A message that it took a moment ago has a shorter lease until the first renewal.)
        until(lambda: trial.since_fault_s() > 0.3 * first_lease_s(lease_s))
    account = passed("SIGSTOP of a worker for less than its lease", trial)
    assert account.ran_twice == 0
