"""What the follower makes of logs that somebody has meddled with, and of those that just ended."""

import contextlib

import pytest

from nbqueue.client.follower import NOTHING_READ, Follower
from nbqueue.core.fold import JobState
from nbqueue.store import keys
from nbqueue.store.connection.patience import Outage
from nbqueue.store.log.joblog import JobLog
from nbqueue.store.signing import Keyring
from tests.unit.builders import KEY, make_outcomes, make_spec

SPEC = make_spec(3)


class Followed:
    """A job, as far as the follower is concerned."""

    id, name = SPEC.id, SPEC.name

    def __init__(self):
        self.state, self.cursor, self.heard = JobState(SPEC), NOTHING_READ, []
        self.feeding = contextlib.nullcontext(True)

    @property
    def finished(self):
        return self.state.finished

    def apply(self, record, entry_id=""):
        self.state.apply(record)

    def vanished(self):
        self.heard.append("vanished")

    def unreadable(self):
        self.heard.append("unreadable")


@pytest.fixture
def joblog(store):
    made = JobLog(store, Keyring(KEY))
    made.open(made.opening(SPEC))
    return made


@pytest.fixture
def follower(store, joblog):
    made = Follower(store, joblog, "me", Outage(print))
    yield made
    made._bell.close()


@pytest.fixture
def job(follower):
    made = Followed()
    follower.follow(made)
    follower._sweep()
    return made


def end(joblog):
    joblog.commit(SPEC.id, make_outcomes([(0, 3)]), 1002.0)


def test_a_job_that_runs_is_left_alone(follower, job):
    follower._sweep()
    assert job.heard == []


def test_a_job_that_ends_while_it_is_looked_at_has_ended_and_no_more(follower, joblog, job):
    was_over = joblog.is_over

    def ends_now(job_id):
        end(joblog)
        return was_over(job_id)

    joblog.is_over = ends_now
    follower._sweep()
    assert job.heard == []
    assert job.finished


def test_a_job_that_has_ended_in_records_that_were_taken_away_is_unreadable(
    follower, joblog, job, store
):
    end(joblog)
    for entry_id, _ in store.xrange(keys.log(SPEC.id))[1:]:
        store.xdel(keys.log(SPEC.id), entry_id)
    follower._sweep()
    assert job.heard == ["unreadable"]


def test_a_log_that_is_gone_is_told(follower, job, store):
    store.delete(keys.log(SPEC.id))
    follower._sweep()
    assert job.heard == ["vanished"]


@pytest.mark.parametrize("cursor", ["9999999999999-0", "x", "-1-0", ""])
def test_a_ring_that_lied_about_its_entry_makes_nobody_miss_the_next(follower, joblog, job, cursor):
    job.cursor = cursor
    end(joblog)
    follower._sweep()
    assert job.finished
    assert job.heard == []


def test_records_that_were_taken_out_of_a_log_are_not_missed(follower, joblog, job, store):
    # The log drops what it need not hold any more: the last entry that is there may be an old one.
    latest = store.xadd(keys.log(SPEC.id), {"k": "progress", "b": "{}", "s": ""})
    job.cursor = latest.decode()
    store.xdel(keys.log(SPEC.id), latest)
    follower._sweep()
    assert job.cursor == latest.decode()
