"""What is too large for one job is refused, before it is read where that can be known."""

import itertools

import pytest
from celery.utils.functional import regen

from nbqueue.core.errors import JobTooLarge, UsageError
from nbqueue.store.values.bounds import Bounds, check_ahead, within


@pytest.fixture
def limits(monkeypatch):
    monkeypatch.setenv("NBQUEUE_MAX_ITEMS", "1000")
    monkeypatch.setenv("NBQUEUE_MAX_ARGUMENT_BYTES", "5000")


@pytest.mark.usefixtures("limits")
@pytest.mark.parametrize(
    ("iterables", "said"),
    [
        ([itertools.count()], "count(0) never ends"),
        ([itertools.repeat(1)], "repeat(1) never ends"),
        ([itertools.count(), itertools.repeat(2)], "never ends"),
        ([range(1001)], "range(0, 1001) has 1,001 items"),
        ([range(10**30)], "has 1,000,000,"),
        ([range(3000, 0, -2)], "has 1,500 items"),
        ([itertools.repeat(1, 1001)], "has 1,001 items"),
        ([[0] * 1001, range(2000)], "has 1,001 items"),
    ],
)
def test_what_is_known_to_be_too_much_is_refused_unread(iterables, said):
    with pytest.raises(
        JobTooLarge, match=r"1,000 items; nothing was sent.*NBQUEUE_MAX_ITEMS"
    ) as exc:
        check_ahead(*iterables)
    assert said in str(exc.value)


@pytest.mark.usefixtures("limits")
@pytest.mark.parametrize(
    "iterables",
    [
        [],
        [range(1000)],
        [range(5, 5)],
        [range(5, 0)],
        [itertools.count(), [1, 2]],
        [itertools.repeat(1, 1000)],
        [iter(range(10**9))],  # nobody knows
        [itertools.count(), iter([1])],
        [regen(iter(range(10**5)))],  # a list that reads all to know its length
    ],
)
def test_what_may_end_in_time_is_read(iterables):
    check_ahead(*iterables)


@pytest.mark.usefixtures("limits")
@pytest.mark.parametrize(
    ("iterables", "said"),
    [
        ([range(10**12)], "has 1,000,000,000,000 items"),
        ([[], range(10**12)], "has 1,000,000,000,000 items"),  # all of each is read
        ([iter([1]), itertools.count()], "never ends"),
        ([range(100), [0] * 11], "100 × 11 combinations are 1,100 items"),
    ],
)
def test_combinations_that_are_known_to_be_too_many_are_refused_unread(iterables, said):
    with pytest.raises(JobTooLarge, match=r"1,000.*nothing was sent.*NBQUEUE_MAX_ITEMS") as exc:
        Bounds().check_product(*iterables)
    assert said in str(exc.value)


@pytest.mark.usefixtures("limits")
@pytest.mark.parametrize(
    "iterables", [[], [range(1000)], [range(100), [0] * 10], [range(1000), iter([1, 2])]]
)
def test_combinations_that_may_be_few_enough_are_read(iterables):
    Bounds().check_product(*iterables)


@pytest.mark.usefixtures("limits")
def test_items_are_counted_as_they_are_read():
    bounds = Bounds()
    bounds.add(600, 10)
    bounds.add(400, 10)
    with pytest.raises(JobTooLarge, match=r"1,001 items were read.*1,000.*imap.*NBQUEUE_MAX_ITEMS"):
        bounds.add(1, 10)


@pytest.mark.usefixtures("limits")
def test_bytes_are_counted_as_they_are_read():
    bounds = Bounds()
    bounds.add(2, 5000)
    with pytest.raises(JobTooLarge, match=r"first 3 items are 5,001 bytes.*may be 5,000.*nq.put"):
        bounds.add(1, 1)


@pytest.mark.parametrize("said", ["many", "0", "-5", "1e6"])
def test_a_limit_that_is_no_number_is_refused(monkeypatch, said):
    monkeypatch.setenv("NBQUEUE_MAX_ITEMS", said)
    with pytest.raises(UsageError, match=r"NBQUEUE_MAX_ITEMS is .*whole number"):
        Bounds()


@pytest.mark.usefixtures("limits")
def test_what_has_to_be_in_memory_is_counted_as_it_is_read():
    numbers = itertools.count()
    with pytest.raises(JobTooLarge):
        list(within(numbers))
    assert next(numbers) == 1001
