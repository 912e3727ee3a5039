"""What is to end: seen by every process that shares the memory, and by no other message."""

import uuid

from nbqueue.core.description import describe, described
from nbqueue.worker.process.unwanted import PLACES, Unwanted


def test_an_item_of_a_message_is_unwanted_and_its_neighbours_are_not():
    unwanted, message, other = Unwanted(), str(uuid.uuid4()), str(uuid.uuid4())
    unwanted.add(message, 3, 5)
    assert [i for i in range(8) if unwanted.has(message, i)] == [3, 4]
    assert not unwanted.has(other, 3)


def test_several_runs_of_one_message_count():
    unwanted, message = Unwanted(), str(uuid.uuid4())
    unwanted.add(message, 0, 1)
    unwanted.add(message, 7, 9)
    assert [i for i in range(10) if unwanted.has(message, i)] == [0, 7, 8]


def test_the_oldest_make_way():
    unwanted, first = Unwanted(), str(uuid.uuid4())
    unwanted.add(first, 0, 1)
    for _ in range(PLACES):
        unwanted.add(str(uuid.uuid4()), 0, 1)
    assert not unwanted.has(first, 0)


def test_a_description_is_read_back_whatever_the_job_is_called():
    for name in ("grid", "a[1:2] of job x", "new\nline", ""):
        assert described(describe(name, 10, 20, "5f0c")) == (name, 10, 20, "5f0c")


def test_what_is_no_description_is_none():
    assert described(None) is described("(1, 2)") is described([1]) is None
