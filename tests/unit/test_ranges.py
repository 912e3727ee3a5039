"""Ranges run, given away, lost and delivered again: every item is recorded exactly once."""

from collections import deque
from dataclasses import dataclass

import fakeredis
from hypothesis import given, settings
from hypothesis import strategies as st

from nbqueue.core import splitting, states
from nbqueue.core.fold import JobState
from nbqueue.core.records import Cancelled, Error, Retried
from nbqueue.core.splitting import indices, runs_of
from nbqueue.store.log.joblog import JobLog
from nbqueue.store.signing import Keyring
from nbqueue.store.values import results
from nbqueue.worker.reporting.ranges import NO_ITEM, RangeRun
from tests.unit.builders import KEY, make_outcomes, make_spec

BOOM = Error("ValueError", "boom", "tb")


def run_all(run, item=None):
    """Run the items of a range to the end; the odd multiples of three fail."""
    item = run.first() if item is None else item
    seen = []
    while item != NO_ITEM:
        seen.append(item)
        item = run.failed(item, 0, 1, BOOM) if item % 6 == 3 else run.succeeded(item, 0, 1, item)
    return seen


some_runs = st.sets(st.integers(0, 60)).map(lambda items: runs_of(sorted(items)))


@given(some_runs)
def test_a_range_runs_each_of_its_items_in_order(runs):
    run = RangeRun(runs)
    assert run_all(run) == list(indices(runs))
    assert run.current == NO_ITEM
    assert run.give_away() == []
    box = run.collect()
    assert (box.items if box else []) == list(indices(runs))
    assert run.collect() is None


@given(some_runs, st.data())
def test_what_is_given_away_is_what_nobody_has_begun(runs, data):
    run = RangeRun(runs)
    wanted, ran, given_away, handed_in = list(indices(runs)), [], [], []
    item = run.first()
    while item != NO_ITEM:
        for action in data.draw(st.lists(st.sampled_from(["give", "collect"]), max_size=2)):
            if action == "give":
                given_away += list(indices(run.give_away()))
                assert run.give_away() == []
            elif box := run.collect():
                handed_in += box.items
        assert run.current == item
        ran.append(item)
        item = run.succeeded(item, 0, 1, item)
    if box := run.collect():
        handed_in += box.items
    assert ran == handed_in
    assert sorted(ran + given_away) == wanted
    assert given_away == sorted(given_away)


class Interrupted:
    """A lock at whose release the ticker's thread comes by at once."""

    def __init__(self, run):
        self.run, self.boxes, self.inside = run, [], False

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if not self.inside:
            self.inside = True
            if box := self.run.collect():
                self.boxes.append(box)
            self.inside = False


def test_a_failure_is_handed_in_as_one_even_when_the_ticker_comes_by():
    run = RangeRun([(0, 3)])
    run.succeeded(run.first(), 0, 1, "zero")
    run._lock = lock = Interrupted(run)
    run.failed(1, 1, 2, BOOM)
    run.succeeded(2, 2, 3, "two")
    found = {
        i: (value, box.errors.get(i))
        for box in lock.boxes
        for i, value in zip(box.items, box.values, strict=True)
    }
    assert found == {0: ("zero", None), 1: (results.NO_RESULT, BOOM), 2: ("two", None)}


# -- a cluster, as events ------------------------------------------------------------------------


@dataclass(frozen=True)
class Delivery:
    start: int
    stop: int
    round: int = 1
    whole: bool = False
    check: bool = False
    redelivered: bool = False


class Worker:
    """What the executor does with one message, an event at a time."""

    def __init__(self, cluster, delivery):
        self.cluster, self.delivery = cluster, delivery
        runs = [(delivery.start, delivery.stop)]
        if delivery.redelivered or delivery.check:
            cancelled, runs = cluster.joblog.pending(
                cluster.spec.id, delivery.round, delivery.start, delivery.stop
            )
            runs = [] if cancelled else runs
        self.run = RangeRun(runs)
        self.item = self.run.first()
        self.cancelled = False

    @property
    def over(self):
        return self.item == NO_ITEM or self.cancelled

    def step(self, fails):
        self.cluster.executions += 1
        if fails:
            self.item = self.run.failed(self.item, 0.0, 0.1, BOOM)
        else:
            self.item = self.run.succeeded(self.item, 0.0, 0.1, self.item)

    def commit(self):
        box = self.run.collect()
        if box is None:
            return
        record = make_outcomes(
            runs_of(box.items), round=self.delivery.round, failed=box.errors, worker=str(id(self))
        )
        reply = self.cluster.joblog.commit(self.cluster.spec.id, record, 1001.0)
        self.cancelled = bool(reply.cancelled) or reply.left == 0

    def give_away(self):
        rest = self.run.give_away()
        if not rest or self.cancelled:
            return
        parts = splitting.FIRST_SPLIT_PARTS if self.delivery.whole else 2
        check = self.delivery.check or len(rest) > 1
        for a, b in splitting.share_out(rest[0][0], rest[-1][1], parts, None):
            self.cluster.queue.append(Delivery(a, b, self.delivery.round, check=check))


class Cluster:
    def __init__(self, n):
        self.joblog = JobLog(fakeredis.FakeRedis(server=fakeredis.FakeServer()), Keyring(KEY))
        self.spec = make_spec(n)
        self.joblog.open(self.joblog.opening(self.spec))
        self.queue = deque([Delivery(0, n, whole=True)])
        self.workers = []
        self.executions = 0
        self.clock = 1000.0

    def happen(self, event, data):
        if event == "deliver" and self.queue:
            self.workers.append(Worker(self, self.queue.popleft()))
        elif event == "cancel":
            self.clock += 1
            self.joblog.cancel(self.spec.id, Cancelled(self.clock))
        elif event == "retry":
            self.retry()
        elif self.workers:
            self.happen_to(data.draw(st.sampled_from(self.workers)), event, data)

    def happen_to(self, worker, event, data):
        again = Delivery(
            worker.delivery.start, worker.delivery.stop, worker.delivery.round, redelivered=True
        )
        if event == "run" and not worker.over:
            for _ in range(data.draw(st.integers(1, 9))):
                if not worker.over:
                    worker.step(fails=data.draw(st.booleans()) if worker.item % 5 == 0 else False)
        elif event == "commit":
            worker.commit()
        elif event == "give":
            worker.give_away()
        elif event == "crash":  # what it had not committed is lost, and its message comes back
            self.workers.remove(worker)
            self.queue.append(again)
        elif event == "duplicate":  # the broker thinks it is dead; it is not
            self.queue.append(again)
        elif event == "finish" and worker.over:
            worker.commit()
            self.workers.remove(worker)

    def retry(self):
        state = self.fold()
        failed = state.where(states.FAILURE_CODE)
        if failed:
            self.clock += 1
            record = Retried(
                state.current_round + 1, tuple(runs_of(failed)), self.clock, "fit", "f2"
            )
            assert self.joblog.retry(self.spec.id, record) == len(failed)
            self.queue.append(
                Delivery(failed[0], failed[-1] + 1, record.round, whole=True, check=True)
            )

    def drain(self):
        """Let everything come to its end."""
        while self.queue or self.workers:
            while self.queue:
                self.workers.append(Worker(self, self.queue.popleft()))
            worker = self.workers.pop()
            while not worker.over:
                worker.step(fails=False)
            worker.commit()

    def fold(self):
        state = JobState(self.spec)
        for entry in self.joblog.read(self.spec.id, limit=100_000):
            state.apply(entry.record)
        return state


EVENTS = ["deliver", "run", "run", "commit", "give", "crash", "duplicate", "finish"]


@settings(max_examples=60)
@given(st.integers(1, 80), st.data())
def test_every_item_is_recorded_once_whatever_happens_to_its_workers(n, data):
    cluster = Cluster(n)
    for event in data.draw(st.lists(st.sampled_from(EVENTS), max_size=40)):
        cluster.happen(event, data)
    cluster.drain()
    state = cluster.fold()
    assert state.finished
    assert list(state.attempts) == [1] * n
    assert cluster.executions >= n
    (summary,) = cluster.joblog.summaries()
    assert (summary.left, summary.success + summary.failure) == (0, n)


@settings(max_examples=60)
@given(st.integers(1, 40), st.data())
def test_every_item_is_recorded_once_a_round_with_retries_and_cancellations(n, data):
    cluster = Cluster(n)
    events = [*EVENTS, "retry", "retry", "cancel"]
    for event in data.draw(st.lists(st.sampled_from(events), max_size=50)):
        cluster.happen(event, data)
    cluster.drain()
    state = cluster.fold()
    assert state.finished
    rounds = list(state.round)
    for i in range(n):
        once_a_round = state.attempts[i] <= rounds[i]
        assert once_a_round
        assert state.states[i] == states.REVOKED_CODE or state.attempts[i] == rounds[i]
    (summary,) = cluster.joblog.summaries()
    assert (summary.success, summary.failure, summary.revoked) == tuple(
        state.counts[states.FIRST_DONE_CODE :]
    )


def test_without_deaths_every_item_runs_once():
    cluster = Cluster(1000)
    while cluster.queue or cluster.workers:
        while cluster.queue:
            cluster.workers.append(Worker(cluster, cluster.queue.popleft()))
        worker = cluster.workers.pop(0)
        for _ in range(7):
            if not worker.over:
                worker.step(fails=False)
        worker.give_away()
        worker.commit()
        if not worker.over:
            cluster.workers.append(worker)
    assert cluster.executions == 1000
    assert cluster.fold().finished
