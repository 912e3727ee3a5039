"""Whatever is done to a job, in whatever order: the store's counters equal the fold of its log, on
a fake and on a real Redis."""

from itertools import pairwise

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nbqueue.core import states
from nbqueue.core.errors import Expired
from nbqueue.core.fold import JobState
from nbqueue.core.records import (
    Cancelled,
    Error,
    Progressed,
    Rejected,
    Retried,
    Retrying,
    Started,
)
from nbqueue.core.splitting import indices, runs_of, undone
from nbqueue.store import keys
from nbqueue.store.log.joblog import JobLog
from nbqueue.store.signing import Keyring
from tests.unit.builders import KEY, make_outcomes, make_spec


@st.composite
def some_runs(draw, n):
    """Runs in the order in which a worker may have run them: disjoint, not always ascending."""
    edges = sorted(draw(st.lists(st.integers(0, n), min_size=2, max_size=8, unique=True)))
    pairs = list(pairwise(edges))
    chosen = [pair for pair in pairs if draw(st.booleans())] or pairs[:1]
    return draw(st.permutations(chosen))


class JobLogMachine(RuleBasedStateMachine):
    """Clients and workers do to one job what they do, in any order and more than once."""

    def __init__(self, store):
        super().__init__()
        self.redis = store

    @initialize(n=st.sampled_from([1, 2, 7, 8, 9, 17, 40, 64, 65]))
    def begin(self, n):
        self.joblog = JobLog(self.redis, Keyring(KEY))
        self.spec = make_spec(n)
        self.sent = []
        self.clock = 1000.0
        self.opened = False
        self.forgotten = False
        self.tries = {}
        self.live = JobState(self.spec)
        self.cursor = "-"

    def now(self):
        self.clock += 1
        return self.clock

    def fold(self):
        state = JobState(self.spec)
        for entry in self.joblog.read(self.spec.id, limit=100_000):
            state.apply(entry.record)
        return state

    # -- what clients do -----------------------------------------------------------------------

    @rule()
    def open(self):
        assert self.joblog.open(self.joblog.opening(self.spec)) is (not self.opened)
        self.opened = True

    @rule()
    def cancel_all(self):
        self.expect(lambda: self.joblog.cancel(self.spec.id, Cancelled(self.now())))

    @rule(data=st.data(), lag=st.booleans())
    def cancel_one(self, data, lag):
        # As `Future.cancel` does: the round is the one this client has read of.
        i = data.draw(st.integers(0, self.spec.n - 1))
        state = self.live if lag else self.fold()
        record = Cancelled(self.now(), ((i, i + 1),), state.round[i])
        self.expect(lambda: self.joblog.cancel(self.spec.id, record))

    @precondition(lambda self: self.opened and not self.forgotten)
    @rule(twice=st.booleans())
    def retry(self, twice):
        state = self.fold()
        failed = state.where(states.FAILURE_CODE)
        if failed:
            record = Retried(
                state.current_round + 1, tuple(runs_of(failed)), self.now(), "fit", "f2"
            )
            assert self.joblog.retry(self.spec.id, record) == len(failed)
            if twice:
                assert self.joblog.retry(self.spec.id, record) == 0

    @precondition(lambda self: len(self.sent) > 3)
    @rule()
    def forget(self):
        assert self.joblog.forget(self.spec.id) is (self.opened and not self.forgotten)
        self.forgotten = self.forgotten or self.opened

    def expect(self, act):
        try:
            act()
        except Expired:
            assert self.forgotten or not self.opened

    # -- what workers do -----------------------------------------------------------------------

    @rule(data=st.data(), uniform=st.booleans(), opening=st.booleans())
    def commit(self, data, uniform, opening):
        runs = data.draw(some_runs(self.spec.n))
        items = list(indices(runs))
        if uniform:
            failed = items if data.draw(st.booleans()) else []
        else:
            failed = data.draw(st.lists(st.sampled_from(items), unique=True))
        # Round 4 of a job that has had three is what only a stranger's message would say.
        round_ = data.draw(st.integers(1, 4))
        worker = data.draw(st.sampled_from(["w1", "w2", "w3"]))
        self.send(make_outcomes(runs, round=round_, failed=failed, worker=worker), opening=opening)

    @rule(data=st.data())
    def reject(self, data):
        runs = data.draw(some_runs(self.spec.n))
        self.send(Rejected(data.draw(st.integers(1, 3)), tuple(runs), "w9", "BadSignature"))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def commit_again(self, data):
        record = data.draw(st.sampled_from(self.sent))
        before = self.redis.xlen(keys.log(self.spec.id))
        if self.send(record).recorded == 0:
            assert self.redis.xlen(keys.log(self.spec.id)) == before

    @rule(data=st.data(), count=st.integers(1, 3))
    def put_off(self, data, count):
        # As a worker does when an item asks to be run again: twice for the same try is once.
        i = data.draw(st.integers(0, self.spec.n - 1))
        round_ = data.draw(st.integers(1, 4))
        state = self.fold() if self.opened and not self.forgotten else None
        error = Error("ValueError", "again", "tb")
        record = Retrying(round_, "w1", ((i, count, self.now() + 10, 0),), (error,))
        envelope = f"{round_} {i} {count}"
        kept = self.redis.zscore(keys.LATER, envelope)
        reply = self.joblog.put_off(
            self.spec.id, record, [(self.clock + 10, envelope, [(i, count)])], "f" * 64
        )
        assert reply.known == (2 if self.forgotten else int(self.opened))
        known = self.tries.get((round_, i), 0)
        is_open = (
            state is not None
            and round_ <= state.current_round
            and state.round[i] == round_
            and not state.done[i]
        )
        if is_open and known < count:
            assert reply.recorded == 1
            assert self.redis.zscore(keys.LATER, envelope) is not None
            self.tries[round_, i] = count
        else:
            assert reply.recorded == 0
            assert self.redis.zscore(keys.LATER, envelope) == kept
        # Whoever has a message of an earlier try leaves the item to the later one.
        known = self.tries.get((round_, i), 0)
        if not self.forgotten:
            for retried in range(4):
                mine = self.joblog.unretried(self.spec.id, round_, [(i, i + 1)], {i: retried})
                assert bool(mine) is (known <= retried)

    @rule(data=st.data(), started=st.booleans())
    def note(self, data, started):
        i = data.draw(st.integers(0, self.spec.n - 1))
        round_ = data.draw(st.integers(1, self.fold().current_round))
        record = Started(round_, "w1", "m", i, self.now()) if started else Progressed(i, 1.0, 2.0)
        self.joblog.note(self.spec.id, record)

    def send(self, record, *, opening=False):
        given = self.joblog.opening(self.spec) if opening else None
        reply = self.joblog.commit(self.spec.id, record, self.now(), opening=given)
        self.sent.append(record)
        self.opened = self.opened or opening
        assert reply.known == (2 if self.forgotten else int(self.opened))
        return reply

    # -- what a follower does ------------------------------------------------------------------

    @rule(limit=st.integers(1, 5), again=st.booleans())
    def follow(self, limit, again):
        for entry in self.joblog.read(self.spec.id, self.cursor, limit=limit):
            self.live.apply(entry.record)
            self.cursor = entry.id
            if again:
                self.live.apply(entry.record)

    # -- what always holds ---------------------------------------------------------------------

    @invariant()
    def counters_equal_the_fold(self):
        names = ("n", "left", "round", "success", "failure", "revoked")
        raw = self.redis.hmget(keys.meta(self.spec.id), names)
        if raw[0] is None:
            return
        found = {name: int(value or 0) for name, value in zip(names, raw, strict=True)}
        state = self.fold()
        counts = [bytes(state.states).count(code) for code in range(len(states.NAMES))]
        assert state.counts == counts
        assert found == {
            "n": self.spec.n,
            "left": self.spec.n - sum(counts[states.FIRST_DONE_CODE :]),
            "round": state.current_round,
            "success": counts[states.SUCCESS_CODE],
            "failure": counts[states.FAILURE_CODE],
            "revoked": counts[states.REVOKED_CODE],
        }
        active = self.redis.zscore(keys.ACTIVE, self.spec.id) is not None
        assert active is (found["left"] > 0)
        assert (self.redis.pttl(keys.meta(self.spec.id)) > 0) is (found["left"] == 0)

    @invariant()
    def bitmaps_equal_the_fold(self):
        if not self.redis.hexists(keys.meta(self.spec.id), "n"):
            return
        state = self.fold()
        open_ = []
        for round_ in range(1, state.current_round + 1):
            bitmap = self.redis.get(keys.done(self.spec.id, round_)) or b""
            open_ += indices(undone(0, self.spec.n, bitmap, 0))
        assert sorted(open_) == [i for i in range(self.spec.n) if not state.done[i]]

    def teardown(self):
        # Live, with records taken twice, comes to the same end as a reading from the start.
        if not hasattr(self, "joblog") or self.forgotten:
            return
        for entry in self.joblog.read(self.spec.id, self.cursor, limit=100_000):
            self.live.apply(entry.record)
        again = self.fold()
        for column in (
            "states",
            "done",
            "round",
            "attempts",
            "counts",
            "current_round",
            "function",
        ):
            assert getattr(self.live, column) == getattr(again, column), column
        assert self.live.workers == again.workers
        assert self.live.running == again.running
        assert self.live.rejections == again.rejections
        assert self.live.batches == again.batches
        assert self.live.batch_of == again.batch_of
        before = bytes(again.states), list(again.counts), dict(again.running)
        for entry in self.joblog.read(self.spec.id, limit=100_000):
            again.apply(entry.record)
        assert before == (bytes(again.states), again.counts, again.running)


def test_whatever_is_done_to_a_job_its_counters_equal_the_fold_of_its_log(state_machine):
    state_machine(JobLogMachine)
