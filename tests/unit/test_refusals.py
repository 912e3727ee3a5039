"""Redis's errors in words, and who waits for what."""

import pickle
from math import inf

import pytest
import redis
from redis import exceptions

import nbqueue as nq
from nbqueue.store.connection import connection, patience, refusals
from nbqueue.store.connection.patience import Outage, Patience

WHERE = "redis://:***@host/0"
OOM = exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'.")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OOM, "out of memory.*maxmemory"),
        (redis.ResponseError("Error running script: -OOM command not allowed"), "out of memory"),
        (redis.ResponseError("Command # 1 (SET a b) of pipeline caused error: OOM no"), "memory"),
        (exceptions.ExecAbortError("Transaction discarded because of: MISCONF Redis is"), "disk"),
        (redis.ResponseError("MISCONF Redis is configured to save RDB snapshots"), "disk full"),
        (exceptions.ReadOnlyError("You can't write against a read only replica."), "primary"),
        (redis.ResponseError("NOREPLICAS Not enough good replicas to write."), "replicas"),
        (exceptions.NoPermissionError("this user has no permissions to run 'set'"), "ACL"),
        (redis.ResponseError("BUSY Redis is busy running a script."), "SCRIPT KILL"),
    ],
)
def test_what_is_refused_for_now_says_what_to_do(error, words):
    found = refusals.explained(error, WHERE)
    assert isinstance(found, refusals.RefusedForNow)
    assert isinstance(found, nq.StoreRefused)
    assert isinstance(found, redis.ResponseError)
    with pytest.raises(nq.StoreRefused, match=f"Redis at .*refuses to write: .*{words}"):
        raise found


def test_of_a_scripts_error_what_a_person_needs_is_said():
    script = "Error running script (call to f_78800089): @user_script:133: @user_script: 133: -"
    found = refusals.explained(redis.ResponseError(f"{script}MISCONF Errors writing"), WHERE)
    assert str(found).endswith("goes on by itself (MISCONF Errors writing)")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (redis.ConnectionError("Error 111 connecting"), "no Redis answers at .*check that it runs"),
        (redis.TimeoutError("Timeout reading from socket"), "no Redis answers"),
        (ConnectionResetError(104, "Connection reset by peer"), "no Redis answers"),
        (exceptions.BusyLoadingError("Redis is loading the dataset in memory"), "still loading"),
        (exceptions.AuthenticationError("invalid username-password pair"), "these credentials"),
        (exceptions.AuthenticationError("Authentication required."), "these credentials"),
        (redis.ConnectionError("max number of clients reached"), "raise its maxclients"),
    ],
)
def test_who_does_not_answer_is_named_with_what_to_do(error, words):
    found = refusals.explained(error, WHERE)
    assert isinstance(found, redis.ConnectionError)
    with pytest.raises(nq.BrokerUnreachable, match=words):
        raise found


def test_an_error_of_one_command_is_no_state_of_the_store():
    found = refusals.explained(redis.ResponseError("WRONGTYPE Operation against a key"), WHERE)
    assert type(found) is refusals.StoreRefused
    assert "WRONGTYPE" in str(found)


def test_what_callers_take_as_an_answer_is_left_alone():
    assert refusals.explained(exceptions.NoScriptError("no"), WHERE) is None
    assert refusals.explained(redis.WatchError("no"), WHERE) is None


@pytest.mark.parametrize("error", [OOM, redis.ConnectionError("gone")])
def test_the_errors_survive_pickling_and_have_a_repr(error):
    found = refusals.explained(error, WHERE)
    again = pickle.loads(pickle.dumps(found))
    assert (type(again), str(again)) == (type(found), str(found))
    assert WHERE in repr(found)


# -- patience --------------------------------------------------------------------------------------

AWAY = refusals.explained(redis.ConnectionError("gone"), WHERE)
REFUSED = refusals.explained(OOM, WHERE)


def _outage():
    said = []
    return Outage(said.append), said


def test_patience_ends_and_is_not_for_what_will_not_pass(monkeypatch):
    monkeypatch.setattr(patience, "_LONGEST_S", 0.01)
    monkeypatch.setattr(patience, "_FIRST_S", 0.01)
    outage, _ = _outage()
    short = Patience(0.03, outage)
    assert short.wait(AWAY)
    while short.wait(AWAY):
        pass
    assert not Patience(inf, outage).wait(REFUSED)
    assert not Patience(inf, outage).wait(nq.UsageError("no"))
    assert Patience(inf, outage, refusals=True).wait(REFUSED)
    assert not Patience(inf, outage, enough=lambda: True).wait(AWAY)


def test_an_outage_is_told_once_and_its_end(monkeypatch):
    monkeypatch.setattr(patience, "_TELL_AFTER_S", 0.0)
    outage, said = _outage()
    for _ in range(3):
        outage.lost(AWAY, "waiting")
    assert outage.text == str(AWAY)
    outage.found()
    outage.found()
    assert len(said) == 2
    assert said[0].endswith("waiting")
    assert "there again" in said[1]
    assert outage.text == ""


def test_an_outage_says_in_brief_what_is_away_and_for_how_long(monkeypatch):
    monkeypatch.setattr(patience, "_TELL_AFTER_S", 0.0)
    outage, _ = _outage()
    assert (outage.brief, outage.lasted_s) == ("", 0.0)
    outage.lost(AWAY, "waiting")
    assert outage.brief == "Redis has not answered"
    before = outage.lasted_s
    assert 0 <= before < 60
    outage.lost(REFUSED, "waiting")
    assert outage.brief == "Redis has taken no writes"
    assert outage.lasted_s >= before  # since it began, not since it was last noticed
    outage.found()
    assert (outage.brief, outage.lasted_s) == ("", 0.0)
    nobody = nq.BrokerUnreachable("no broker answers at amqp://host (gone): check")
    assert patience.in_brief(nobody) == "RabbitMQ has not answered"


def test_a_hiccup_is_not_told():
    outage, said = _outage()
    outage.lost(AWAY, "waiting")
    outage.found()
    assert said == []


def test_a_thread_has_the_patience_of_the_innermost_block():
    outage, _ = _outage()
    mine, default = Patience(1, outage), Patience(2, outage)
    assert patience.for_a_wait(lambda: default) is default
    with patience.of(lambda: mine):
        assert patience.for_a_wait(lambda: default) is mine
        with patience.none():
            assert patience.for_a_wait(lambda: default) is None
        assert patience.for_a_wait(lambda: default) is mine
    assert patience.for_a_wait(lambda: default) is default


class _Flaky(connection.Store):
    """A store that fails a few times."""

    def __init__(self):
        super().__init__()
        self.failures = [redis.ConnectionError("gone"), redis.ConnectionError("gone")]

    def _execute(self, *args, **options):
        if self.failures:
            raise self.failures.pop()
        return args


def test_a_store_tries_again_for_whom_waits_and_fails_at_once_for_others():
    outage, _ = _outage()
    with pytest.raises(nq.BrokerUnreachable):
        _Flaky().execute_command("GET", "x")
    with patience.of(lambda: Patience(inf, outage)):
        assert _Flaky().execute_command("GET", "x") == ("GET", "x")


def test_a_refusal_says_nothing_of_the_values_that_were_to_be_written():
    command = "Command # 1 (HSET k 0 s3cret\x93\n(x) y)"
    error = redis.ResponseError(f"{command} of pipeline caused error: OOM no")
    found = str(refusals.explained(error, WHERE))
    assert "s3cret" not in found
    assert "Command" not in found
    assert "(OOM no)" in found
