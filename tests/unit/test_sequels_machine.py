"""Whatever happens to jobs that wait for others, in whatever order: each is begun once, when all
that it waits for have succeeded, or fails when one has not, and none waits for ever."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nbqueue.core import states
from nbqueue.core.errors import Expired, UnknownJob
from nbqueue.core.fold import JobState
from nbqueue.core.records import Cancelled, Retried
from nbqueue.store import keys
from nbqueue.store.broker.message import Message, encode
from nbqueue.store.log.joblog import JobLog
from nbqueue.store.messages.plans import Plans
from nbqueue.store.messages.sequels import Sequels
from nbqueue.store.signing import Keyring
from tests.unit.builders import KEY, DictBlobs, make_outcomes, make_spec

RUNS, ENDED_WELL, ENDED_BADLY, GONE = "runs", "ended well", "ended badly", "gone"


class Later:
    """Stands where messages are sent."""

    def __init__(self):
        self.sent = []

    def send(self, message):
        self.sent.append(message.spec.id)


class SequelsMachine(RuleBasedStateMachine):
    """Clients and workers open, end, cancel, retry and forget jobs of one item that follow others.

    The model: of each job how it stands, what it waits for, and whether it has been sent.
    """

    def __init__(self, store):
        super().__init__()
        self.store = store

    @initialize()
    def begin(self):
        self.keyring = Keyring(KEY)
        self.joblog = JobLog(self.store, self.keyring)
        self.later, self.clock = Later(), 1000.0
        plans = Plans(self.joblog, self.later, DictBlobs(), now=self.now, name="me")
        self.sequels = Sequels(
            self.store,
            self.keyring,
            self.joblog,
            self.later,
            DictBlobs(),
            plans=plans,
            now=self.now,
            name="me",
        )
        self.stands, self.after, self.rounds = {}, {}, {}

    def now(self):
        self.clock += 1
        return self.clock

    def spec(self, after=()):
        number = len(self.stands)
        return make_spec(1, id=f"{number:016x}", name=f"j{number}", after=tuple(after))

    def those(self, *how):
        return [job for job, stands in self.stands.items() if stands in how]

    def can_run(self, job):
        return not self.after[job] or job in self.later.sent

    # -- what happens --------------------------------------------------------------------------

    @rule()
    def open(self):
        spec = self.spec()
        assert self.joblog.open(self.joblog.opening(spec))
        self.stands[spec.id], self.after[spec.id], self.rounds[spec.id] = RUNS, (), 1

    @precondition(lambda self: self.stands)
    @rule(data=st.data())
    def follow(self, data):
        after = data.draw(st.lists(st.sampled_from(sorted(self.stands)), min_size=1, unique=True))
        spec = self.spec(after)
        first = Message(self.joblog.opening(spec), 0, 1, whole=True)
        if any(self.stands[job] == GONE for job in after):
            with pytest.raises(UnknownJob):
                self.joblog.hold(first.opening, encode(self.keyring, first))
            return
        left = self.joblog.hold(first.opening, encode(self.keyring, first))
        assert left == sum(self.stands[job] == RUNS for job in after)
        self.stands[spec.id], self.after[spec.id], self.rounds[spec.id] = RUNS, tuple(after), 1

    @precondition(lambda self: any(map(self.can_run, self.those(RUNS))))
    @rule(data=st.data(), well=st.booleans(), looks=st.booleans())
    def end(self, data, well, looks):
        job = data.draw(st.sampled_from([job for job in self.those(RUNS) if self.can_run(job)]))
        failed = () if well else (0,)
        record = make_outcomes([(0, 1)], round=self.rounds[job], failed=failed)
        reply = self.joblog.commit(job, record, self.now())
        self.stands[job] = ENDED_WELL if well else ENDED_BADLY
        if reply.ready and looks:  # else its process has died
            self.look()

    @precondition(lambda self: self.those(RUNS))
    @rule(data=st.data())
    def cancel(self, data):
        job = data.draw(st.sampled_from(self.those(RUNS)))
        assert self.joblog.cancel(job, Cancelled(self.now())) == 1
        self.stands[job] = ENDED_BADLY

    @precondition(lambda self: self.those(ENDED_WELL, ENDED_BADLY))
    @rule(data=st.data())
    def forget(self, data):
        job = data.draw(st.sampled_from(self.those(ENDED_WELL, ENDED_BADLY)))
        assert self.joblog.forget(job)
        self.stands[job] = GONE

    @precondition(lambda self: self.failed())
    @rule(data=st.data())
    def retry(self, data):
        job = data.draw(st.sampled_from(self.failed()))
        self.rounds[job] += 1
        record = Retried(self.rounds[job], ((0, 1),), self.now(), "fit", "f")
        assert self.joblog.retry(job, record) == 1
        self.stands[job] = RUNS
        self.later.sent.append(job)  # (a retry sends its own message)

    def failed(self):
        return [
            job
            for job in self.those(ENDED_BADLY)
            if self.fold(job).states[0] == states.FAILURE_CODE
        ]

    @rule()
    def look(self):
        self.sequels.release()
        self.note_failures()

    @precondition(lambda self: self.stands)
    @rule(data=st.data())
    def die_with_a_claim(self, data):
        job = data.draw(st.sampled_from(sorted(self.stands)))
        self.joblog.claim(job, self.after[job])
        self.store.delete(keys.claim(job))  # which has run out

    # -- what holds ----------------------------------------------------------------------------

    def fold(self, job):
        state = JobState(make_spec(1))
        for entry in self.joblog.read(job):
            state.apply(entry.record)
        return state

    def note_failures(self):
        """Take it from the log which jobs have failed because of what they were to follow."""
        for job in self.those(RUNS):
            state = self.fold(job)
            if state.finished:
                assert state.error(0).type == "UpstreamFailed"
                assert any(self.stands[one] in (ENDED_BADLY, GONE) for one in self.after[job])
                self.stands[job] = ENDED_BADLY

    @invariant()
    def nothing_is_sent_before_its_time_nor_twice(self):
        for job in self.stands:
            if self.after[job] and self.rounds[job] == 1:
                assert self.later.sent.count(job) <= 1

    @invariant()
    def the_store_agrees(self):
        for job, stands in self.stands.items():
            left = self.store.hget(keys.meta(job), "left")
            assert left == {RUNS: b"1", GONE: None}.get(stands, b"0"), (job, stands)
            if stands == GONE:
                with pytest.raises(Expired):
                    self.joblog.spec(job)

    def teardown(self):
        """When all that can end has ended, nobody waits."""
        if not hasattr(self, "stands"):
            return
        for _ in range(2 * len(self.stands) + 1):
            self.look()
            for job in self.those(RUNS):
                if self.can_run(job):
                    record = make_outcomes([(0, 1)], round=self.rounds[job])
                    self.joblog.commit(job, record, self.now())
                    self.stands[job] = ENDED_WELL
        self.look()
        assert self.those(RUNS) == []
        assert self.store.smembers(keys.READY) == set()


class _Chosen:
    """Stands for hypothesis' data where it is known what to draw."""

    def __init__(self, value):
        self.value = value

    def draw(self, _):
        return self.value


def test_a_job_that_is_retried_before_anybody_has_looked_is_still_followed(store):
    machine = SequelsMachine(store)
    machine.begin()
    machine.open()
    (first,) = machine.stands
    machine.follow(_Chosen([first]))
    machine.end(_Chosen(first), well=False, looks=False)
    machine.retry(_Chosen(first))
    machine.look()
    machine.end(_Chosen(first), well=True, looks=True)
    assert len(machine.later.sent) == 2  # the retry, and what follows
    machine.teardown()


def test_each_job_that_waits_for_others_is_begun_once_or_fails(state_machine):
    state_machine(SequelsMachine)
