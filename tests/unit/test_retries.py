"""Whether an item is run again, and when: given an exception, a policy and the retries so far."""

import pickle
from datetime import datetime, timedelta, timezone

import pytest
from celery.exceptions import Ignore, Reject, Retry
from hypothesis import given
from hypothesis import strategies as st

from nbqueue.store.code.retries import Again, Policy, after_error, asked, due

NOW = 1_800_000_000.0


def waits(policy, exc, retries):
    again = after_error(policy, exc, retries)
    return None if again is None else due(again, NOW) - NOW


@pytest.mark.parametrize(
    ("exc", "retries", "expected"),
    [
        (OSError("away"), 0, 180),
        (OSError("away"), 2, 180),
        (OSError("away"), 3, None),
        (FileNotFoundError("gone"), 0, None),
        (ValueError("wrong"), 0, None),
        (Ignore(), 0, None),
        (Reject(), 0, None),
        (Retry(), 0, None),
    ],
)
def test_an_exception_of_those_named_leads_to_a_retry_until_there_were_enough(
    exc, retries, expected
):
    policy = Policy((OSError, Exception)[:1], (FileNotFoundError,))
    assert waits(policy, exc, retries) == expected


def test_celerys_own_exceptions_are_no_errors_even_when_all_are_retried():
    policy = Policy((Exception,), max_retries=None)
    assert [waits(policy, exc, 0) for exc in (Ignore(), Reject(), Retry())] == [None] * 3
    assert waits(policy, ValueError(), 10_000) == 180


@pytest.mark.parametrize(
    ("backoff", "most", "expected"),
    [
        (True, 600, [1, 2, 4, 8, 16]),
        (5, 600, [5, 10, 20, 40, 80]),
        (0.3, 600, [1, 2, 4, 8, 16]),
        (2, 10, [2, 4, 8, 10, 10]),
    ],
)
def test_a_backoff_doubles_up_to_its_limit_as_celerys_does(backoff, most, expected):
    policy = Policy(
        (OSError,),
        (),
        100,
        retry_backoff=float(backoff),
        retry_backoff_max=most,
        retry_jitter=False,
    )
    assert [waits(policy, OSError(), k) for k in range(5)] == expected


@given(st.integers(0, 200), st.integers(1, 60))
def test_jitter_stays_between_nothing_and_the_backoff(retries, backoff):
    policy = Policy((OSError,), (), None, retry_backoff=backoff)
    assert 0 <= waits(policy, OSError(), retries) <= min(600, backoff * 2**retries)


def test_retry_kwargs_are_for_retries_by_itself():
    policy = Policy((OSError,), retry_kwargs={"max_retries": 1, "countdown": 7})
    assert waits(policy, OSError(), 0) == 7
    assert waits(policy, OSError(), 1) is None


def test_a_task_that_asks_may_say_when_and_how_often():
    policy = Policy(max_retries=2, default_retry_delay=9)
    assert due(asked(policy, 0), NOW) == NOW + 9
    assert due(asked(policy, 0, countdown=0), NOW) == NOW
    assert asked(policy, 2) is None
    assert asked(policy, 2, max_retries=3) is not None
    assert asked(policy, 1, max_retries=0) is None
    assert asked(Policy(max_retries=None), 10**6) is not None


def test_an_eta_is_a_moment_and_without_a_zone_in_utc():
    moment = datetime.fromtimestamp(NOW + 60, timezone(timedelta(hours=9)))
    assert due(asked(Policy(), 0, eta=moment), NOW) == NOW + 60
    naive = moment.astimezone(timezone.utc).replace(tzinfo=None)
    assert due(asked(Policy(), 0, eta=naive), NOW) == NOW + 60
    assert due(Retry(), NOW) == NOW


def test_a_retry_travels_with_what_it_asks_for():
    error = ValueError("no")
    again = pickle.loads(pickle.dumps(Again(error, 3, (1,), {"x": 2})))
    assert (again.when, again.new_args, again.new_kwargs) == (3, (1,), {"x": 2})
    assert repr(again.exc) == repr(error)
    assert again.changes_call
    assert not Again(None, 0).changes_call
