"""What is told of an item that has ended its process several times."""

import pytest

from nbqueue.worker.messages import deaths


@pytest.mark.parametrize(
    ("said", "how"),
    [
        ("Worker exited prematurely: signal 11 (SIGSEGV) Job: 3.", "signal 11 (SIGSEGV)"),
        ("Worker exited prematurely: signal 64 Job: 3.", "signal 64"),
        ("Worker exited prematurely: exitcode 7 Job: 12.", "exit code 7"),
        ("something else", ""),
    ],
)
def test_how_a_process_ended_is_read_from_celery_s_error(said, how):
    assert deaths._how(said) == how


def test_all_ways_are_told_with_how_often():
    found = deaths.told({"exit code 1": 1, "signal 9 (SIGKILL)": 2}, 2)
    assert "died 3 times" in found
    assert "exit code 1, os._exit, or C code that exits (1 times)" in found
    assert "signal 9 (SIGKILL), killed from outside, or by the system for the memory" in found


def test_where_nothing_is_known_that_is_said():
    assert deaths.told({}, 2).endswith("and the whole worker with it, so that how is not known")
