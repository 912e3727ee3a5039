"""What the store promises about workflows, on a fake and on a real Redis: a stage begins when all
that it waits for has succeeded, never before and never twice, and nothing waits for ever."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbqueue.core import states, wire
from nbqueue.core.errors import BadSignature, UnknownJob
from nbqueue.core.fold import JobState
from nbqueue.core.plan import All, Failed, Listed, One, Other, Spread, from_plain, to_plain
from nbqueue.core.records import Cancelled, Expanded, Planned, Retried, Stage
from nbqueue.core.splitting import runs_of
from nbqueue.store import keys
from nbqueue.store.broker.message import Message, decode, encode
from nbqueue.store.log.joblog import JobLog
from nbqueue.store.messages.plans import Plans
from nbqueue.store.signing import Keyring
from tests.unit.builders import KEY, DictBlobs, make_outcomes, make_spec

ID = make_spec().id


class Sent:
    """Stands where messages are sent; keeps them."""

    def __init__(self):
        self.messages = []

    def send(self, message):
        self.messages.append(message)

    def take(self):
        """The stages that were sent since the last time, with their items."""
        taken, self.messages = self.messages, []
        return [(m.stage.number, m.start, m.stop) for m in taken]


class World:
    """A store, a workflow, and whoever looks after it."""

    def __init__(self, store):
        self.store = store
        self.joblog = JobLog(store, Keyring(KEY))
        self.sent = Sent()
        self.plans = self.process()

    def process(self):
        return Plans(self.joblog, self.sent, DictBlobs(), now=lambda: 1002.0, name="me")

    def open(self, *stages, after=()):
        spec = make_spec(
            sum(s.stop - s.start for s in stages), block=1, stages=len(stages), after=after
        )
        self.spec = spec
        planned = Planned(stages, One(stages[-1].number))
        self.plans.open(self.joblog.opening(spec), planned)
        self.plans.advance(spec)
        return self

    def end(self, stage, *runs, failed=(), round=1):
        outcomes = make_outcomes(runs, failed=failed, round=round)
        reply = self.joblog.commit(ID, outcomes, 1003.0, stage=stage)
        self.plans.advance(self.spec)
        return reply

    def cancel(self, *runs):
        record = Cancelled(1004.0, tuple(runs) or None, 1)
        self.joblog.cancel(ID, record)
        self.plans.advance(self.spec)

    def retry(self, *items, round=2, function=""):
        state = self.state()
        counts = {}
        for i in items:
            number = state.stage_of(i).number
            counts[number] = counts.get(number, 0) + 1
        revoked = sum(state.states[i] == states.REVOKED_CODE for i in items)
        record = Retried(round, tuple(runs_of(sorted(items))), 1005.0, "fit", "")
        table = [(s, k, function) for s, k in counts.items()]
        self.joblog.retry(ID, record, table, revoked)
        self.plans.advance(self.spec)

    def state(self):
        state = JobState(self.spec)
        for entry in self.joblog.read(ID, limit=10_000):
            state.apply(entry.record)
        return state

    def meta(self, *names):
        return [int(v or 0) for v in self.store.hmget(keys.meta(ID), names)]

    def names(self):
        return [states.NAMES[code] for code in self.state().states]

    def check(self):
        state = self.state()
        assert self.meta("n", "left", "success", "failure", "revoked") == [
            state.n,
            state.n - state.n_done,
            state.counts[states.SUCCESS_CODE],
            state.counts[states.FAILURE_CODE],
            state.counts[states.REVOKED_CODE],
        ]


@pytest.fixture
def world(store):
    return World(store)


def stage(number, start, stop, *after, kind="", takes=None):
    spec = make_spec(stop - start, task=f"t{number}")
    return Stage(number, start, stop, spec, kind, after, takes)


def chord(n):
    return stage(0, 0, n), stage(1, n, n + 1, 0, takes=All(0))


# -- what begins -------------------------------------------------------------------------------


def test_a_stage_is_sent_when_all_items_of_the_one_before_have_succeeded(world):
    world.open(*chord(10))
    assert world.sent.take() == [(0, 0, 10)]
    world.end(0, (0, 9))
    assert world.sent.take() == []
    world.end(0, (9, 10))
    assert world.sent.take() == [(1, 10, 11)]
    world.end(1, (10, 11))
    assert world.state().finished
    assert world.store.smembers(keys.READY) == set()
    world.check()


def test_what_is_recorded_twice_begins_nothing_twice(world):
    world.open(stage(0, 0, 2), stage(1, 2, 4), stage(2, 4, 5, 0, 1))
    world.sent.take()
    for _ in range(3):
        world.end(0, (0, 2))
    assert world.sent.take() == []
    world.end(1, (2, 4))
    world.end(1, (2, 4))
    assert world.sent.take() == [(2, 4, 5)]


def test_a_stage_that_waits_for_two_begins_once(world):
    world.open(stage(0, 0, 1), stage(1, 1, 2, 0), stage(2, 2, 3, 0), stage(3, 3, 4, 1, 2))
    world.end(0, (0, 1))
    assert world.sent.take() == [(0, 0, 1), (1, 1, 2), (2, 2, 3)]
    world.end(2, (2, 3))
    world.end(1, (1, 2))
    assert world.sent.take() == [(3, 3, 4)]


def test_a_stage_without_items_is_passed_over(world):
    world.open(stage(0, 0, 0), stage(1, 0, 1, 0))
    assert world.sent.take() == [(1, 0, 1)]


def test_a_stage_that_takes_from_one_without_items_is_told_so(world):
    grows = stage(2, 0, 0, 1, kind="grows")
    both = stage(3, 1, 2, 2, takes=Listed((All(0), All(2))))
    world.open(stage(0, 0, 0), stage(1, 0, 1, kind="spreads"), grows, both)
    world.plans.spread(ID, 2, 0)
    world.end(1, (0, 1))
    assert world.sent.messages[-1].sources == ((0, (0, 0)),)


def test_only_one_process_sends_what_begins_and_another_may_when_it_has_died(world):
    world.open(*chord(2))
    world.sent.take()
    world.joblog.run("advance", ID, 60_000, "somebody else")
    world.joblog.commit(ID, make_outcomes([(0, 2)]), 1003.0, stage=0)
    claimed = world.joblog.run("advance", ID, 60_000, "somebody else")
    assert claimed[1] == b"1"
    world.plans.advance(world.spec)
    assert world.sent.take() == []
    world.store.delete(keys.claim(ID))  # its time has run out
    world.process().advance(world.spec)
    assert world.sent.take() == [(1, 2, 3)]


def test_a_countdown_is_counted_from_the_moment_when_the_stage_may_begin(world):
    later = replace(stage(1, 2, 3, 0), countdown=60.0)
    world.open(stage(0, 0, 2), later)
    world.sent.take()
    world.end(0, (0, 2))
    (message,) = world.sent.messages
    assert message.spec.route.eta == 1062.0


# -- what does not -----------------------------------------------------------------------------


def test_whatever_waits_for_what_failed_fails_with_it(world):
    world.open(*chord(3), stage(2, 4, 6, 1))
    world.sent.take()
    world.end(0, (0, 1), failed=[0])
    assert world.names() == ["FAILURE", "PENDING", "PENDING", "FAILURE", "FAILURE", "FAILURE"]
    assert world.state().error(4).type == "UpstreamFailed"
    assert "'t0'" in world.state().error(4).message
    world.end(0, (1, 3))
    assert world.sent.take() == []
    assert world.state().finished
    world.check()


def test_an_item_that_is_cancelled_counts_as_failed(world):
    world.open(*chord(3))
    world.cancel((1, 2))
    world.end(0, (0, 1), (2, 3))
    assert world.names() == ["SUCCESS", "REVOKED", "SUCCESS", "FAILURE"]
    world.check()


def test_a_cancelled_workflow_sends_nothing_more(world):
    world.open(*chord(3))
    world.sent.take()
    world.end(0, (0, 2))
    world.cancel()
    world.end(0, (2, 3))
    assert world.sent.take() == []
    assert world.names() == ["SUCCESS", "SUCCESS", "REVOKED", "REVOKED"]
    world.check()


# -- errbacks ----------------------------------------------------------------------------------


def test_an_errback_has_one_item_when_something_has_failed_and_none_otherwise(world):
    rescue = stage(2, 0, 0, 0, 1, kind="rescues", takes=Failed("three"))
    world.open(*chord(2), rescue)
    world.end(0, (0, 2), failed=[0, 1])
    assert world.sent.take() == [(0, 0, 2), (2, 3, 4)]
    assert not world.state().finished
    world.end(2, (3, 4))
    assert world.state().finished
    assert world.names() == ["FAILURE", "FAILURE", "FAILURE", "SUCCESS"]
    world.check()


def test_an_errback_of_what_succeeds_never_was(world):
    world.open(*chord(2), stage(2, 0, 0, 0, 1, kind="rescues"))
    world.end(0, (0, 2))
    world.end(1, (2, 3))
    assert world.state().finished
    assert world.state().n == 3
    world.check()


# -- fan-outs ----------------------------------------------------------------------------------


def growing():
    return (
        stage(0, 0, 1),
        stage(1, 1, 2, 0, kind="spreads", takes=One(0)),
        stage(2, 0, 0, 1, kind="grows"),
        stage(3, 2, 3, 2, takes=All(2)),
    )


def test_a_stage_that_grows_gets_its_items_behind_all_others(world):
    world.open(*growing())
    world.end(0, (0, 1))
    assert world.plans.spread(ID, 2, 12) == 3
    assert world.plans.spread(ID, 2, 12) == 3  # it ran twice, and it has them once
    world.end(1, (1, 2))
    assert world.sent.take()[-1] == (2, 3, 15)
    assert world.state().stage_of(14).number == 2
    world.end(2, (3, 15))
    world.end(3, (2, 3))
    assert world.state().finished
    world.check()


def test_a_fan_out_over_nothing_lets_the_next_stage_begin(world):
    world.open(*growing())
    world.end(0, (0, 1))
    assert world.plans.spread(ID, 2, 0) == 3
    world.end(1, (1, 2))
    assert world.sent.take()[-1] == (3, 2, 3)


def test_items_that_come_after_a_retry_are_not_taken_for_recorded(world):
    # The round's bitmap begins with every bit set, to the end of its last byte.
    world.open(*growing())
    world.end(0, (0, 1), failed=[0])
    world.retry(0, 1, 2)
    world.end(0, (0, 1), round=2)
    assert world.plans.spread(ID, 2, 20) == 3
    assert world.joblog.pending(ID, 2, 3, 23) == (False, [(3, 23)])
    world.end(1, (1, 2), round=2)
    world.end(2, (3, 23), round=2)
    world.end(3, (2, 3), round=2)
    assert world.state().finished
    assert set(world.names()) == {"SUCCESS"}
    world.check()


# -- retries -----------------------------------------------------------------------------------


def test_a_retry_goes_on_from_what_failed(world):
    world.open(stage(0, 0, 1), stage(1, 1, 4, 0), stage(2, 4, 5, 1))
    world.end(0, (0, 1))
    world.end(1, (1, 4), failed=[2])
    world.sent.take()
    world.retry(2, 4, function="a" * 64)
    (message,) = world.sent.messages
    assert (message.stage.number, message.round, message.function) == (1, 2, "a" * 64)
    assert message.check
    assert world.joblog.pending(ID, 2, 1, 4) == (False, [(2, 3)])
    world.sent.take()
    world.end(1, (2, 3), round=2)
    assert world.sent.take() == [(2, 4, 5)]
    world.end(2, (4, 5), round=2)
    assert set(world.names()) == {"SUCCESS"}
    world.check()


def test_what_somebody_writes_into_the_store_gives_a_stage_no_other_function(world):
    world.open(stage(0, 0, 1), stage(1, 1, 4, 0))
    stolen = JobLog(world.store, Keyring(KEY))._named("ffff", 1, "b" * 64)  # another job's
    for told in ("a" * 64, "", stolen, stolen[:64]):
        world.store.hset(keys.plan(ID), "fn:1", told)
        if told:
            with pytest.raises(BadSignature):
                world.joblog.function_of_stage(ID, 1, told)
    world.store.hset(keys.plan(ID), "fn:1", stolen)
    world.sent.take()
    world.end(0, (0, 1))
    assert world.sent.take() == []  # nothing is sent, and its items have failed
    assert world.names() == ["SUCCESS", "FAILURE", "FAILURE", "FAILURE"]
    assert world.state().error(2).type == "BadSignature"
    world.check()


def test_what_somebody_writes_into_the_store_gives_a_stage_no_other_items(world):
    world.open(stage(0, 0, 1), stage(1, 1, 4, 0))
    world.sent.take()
    world.store.hset(keys.plan(ID), "items:1", "0 1")
    world.end(0, (0, 1))
    assert world.sent.take() == [(1, 1, 4)]


def test_a_stage_that_grows_never_gets_the_items_of_others(world):
    world.open(stage(0, 0, 1, kind="spreads"), stage(1, 0, 0, 0, kind="grows"))
    world.plans.spread(ID, 1, 3)
    world.store.hset(keys.plan(ID), "items:1", "0 3")
    with pytest.raises(BadSignature, match="cannot have the items from 0 to 3"):
        world.end(0, (0, 1))


def test_a_retry_takes_up_what_was_cancelled(world):
    world.open(*chord(3), stage(2, 4, 5, 1))
    world.end(0, (0, 1), failed=[0])
    world.cancel()
    world.sent.take()
    world.retry(0, 1, 2, 3, 4)
    assert world.sent.take() == [(0, 0, 3)]
    world.end(0, (0, 3), round=2)
    world.end(1, (3, 4), round=2)
    world.end(2, (4, 5), round=2)
    assert set(world.names()) == {"SUCCESS"}
    world.check()


def test_an_errback_that_has_run_does_not_run_again(world):
    world.open(*chord(1), stage(2, 0, 0, 0, 1, kind="rescues"))
    world.end(0, (0, 1), failed=[0])
    world.end(2, (2, 3))
    world.sent.take()
    world.retry(0, 1)
    world.end(0, (0, 1), failed=[0], round=2)
    assert world.sent.take() == [(0, 0, 1)]
    assert world.state().finished


# -- other jobs --------------------------------------------------------------------------------


@pytest.mark.parametrize("failed", [(), (0,)])
def test_a_workflow_follows_a_job_that_runs(world, failed):
    other = make_spec(2, id="f" * 16, name="other")
    world.joblog.open(world.joblog.opening(other))
    world.open(stage(0, 0, 1, takes=Other(other.id, False)), after=(other.id,))
    assert world.sent.take() == []
    world.joblog.commit(other.id, make_outcomes([(0, 2)], failed=failed), 1003.0)
    assert world.store.smembers(keys.READY) == {ID.encode()}
    world.plans.advance(world.spec)
    assert world.sent.take() == ([] if failed else [(0, 0, 1)])
    assert world.names() == (["FAILURE"] if failed else ["PENDING"])
    world.check()


def test_a_workflow_that_follows_nobody_knows_is_refused(world):
    with pytest.raises(UnknownJob, match="nothing was sent"):
        world.open(stage(0, 0, 1), after=("nobody",))
    assert world.store.exists(keys.meta(ID)) == 0


# -- anything ----------------------------------------------------------------------------------


@st.composite
def workflows(draw):
    stages, at = [], 0
    for number in range(draw(st.integers(1, 6))):
        n = draw(st.integers(0, 4))
        after = tuple(s for s in range(number) if draw(st.booleans()))
        stages.append(stage(number, at, at + n, *after))
        at += n
    stages.append(stage(len(stages), at, at + 1, *range(len(stages))))
    return stages


@given(workflows(), st.data())
def test_every_workflow_ends_and_each_stage_begins_at_most_once(workflow, data):
    import fakeredis

    world = World(fakeredis.FakeRedis(server=fakeredis.FakeServer())).open(*workflow)
    begun = []
    todo = []
    while True:
        for number, a, b in world.sent.take():
            assert number not in begun
            begun.append(number)
            todo += [(number, i) for i in range(a, b)]
        if not todo:
            break
        number, item = todo.pop(data.draw(st.integers(0, len(todo) - 1)))
        failed = [item] if data.draw(st.integers(0, 5)) == 0 else []
        world.end(number, (item, item + 1), failed=failed)
    state = world.state()
    assert state.finished
    world.check()
    good = set()
    for s in state.stages:
        may_begin = set(s.after) <= good
        if s.stop > s.start:
            assert (s.number in begun) == may_begin
        if may_begin and set(state.states[s.start : s.stop]) <= {states.SUCCESS_CODE}:
            good.add(s.number)


# -- how it is written -------------------------------------------------------------------------

TAKES = st.recursive(
    st.builds(One, st.integers(0, 9))
    | st.builds(All, st.integers(0, 9))
    | st.builds(Spread, st.integers(0, 9))
    | st.builds(Other, st.text("abc", min_size=1), st.booleans()),
    lambda parts: st.builds(Listed, st.lists(parts, max_size=3).map(tuple)),
)


@given(TAKES | st.builds(Failed, st.sampled_from(["id", "three"])) | st.none())
def test_a_take_survives_its_writing(take):
    assert from_plain(to_plain(take)) == take


def test_a_plan_and_the_message_of_a_stage_survive_their_writing(fake_store):
    first = replace(stage(0, 0, 4, 2, takes=Listed((One(1), Spread(2)))), star=True)
    planned = Planned((first,), All(0))
    assert wire.decode(Planned.kind, wire.encode(planned)) == planned
    keyring = Keyring(KEY)
    opening = JobLog(fake_store, keyring).opening(make_spec(4, stages=1))
    message = Message(opening, 0, 4, stage=first)
    again = decode(keyring, encode(keyring, message))
    assert again == message
    assert again.spec.task == "t0"


def test_a_strangers_expansion_is_taken_once_and_within_bounds():
    state = JobState(make_spec(3, stages=4))
    state.apply(Planned(growing(), One(3)))
    for record in (
        Expanded(9, 3, 5),
        Expanded(2, 4, 5),
        Expanded(2, 3, 1 << 60),
        Expanded(0, 3, 9),
    ):
        state.apply(record)
    assert state.n == 3
    state.apply(Expanded(2, 3, 5))
    state.apply(Expanded(2, 3, 5))
    assert state.n == 5


def test_items_that_come_later_have_no_reason_of_others():
    state = JobState(make_spec(3, stages=4))
    state.apply(Planned(growing(), One(3)))
    state.apply(Cancelled(1004.0, ((0, 1),), 1, reason="expired"))
    state.apply(Expanded(2, 3, 5))
    state.apply(Cancelled(1005.0))
    assert [state.reason(i) for i in range(5)] == ["expired", "", "", "", ""]
