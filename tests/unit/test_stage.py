"""The thread that keeps displays live: who is stepped, when it sleeps, what a failure does."""

import threading
import time

import pytest

from nbqueue.notebook.stage import Stage


class Act:
    """Rests after so many steps."""

    def __init__(self, steps=1, fails=False):
        self.left = steps
        self.fails = fails
        self.threads = []
        self.was_left = 0

    def step(self):
        self.threads.append(threading.current_thread().name)
        if self.fails:
            raise RuntimeError("broken")
        self.left -= 1
        return self.left > 0

    def leave(self):
        self.was_left += 1


@pytest.fixture
def stage():
    made = Stage()
    yield made
    made.close()


def until(condition, timeout_s=10):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_the_first_step_is_in_the_thread_of_the_cell(stage):
    act = Act(steps=3)
    stage.begin(act)
    assert act.threads[0] == threading.current_thread().name
    until(lambda: stage.live == 0)
    assert set(act.threads[1:]) == {"nbqueue-display"}
    assert len(act.threads) == 3


def test_what_rests_is_not_stepped_until_it_enters_again(stage):
    act = Act(steps=1)
    stage.begin(act)
    assert stage.live == 0
    stage.settle()
    assert len(act.threads) == 1
    act.left = 2
    stage.enter(act)
    until(lambda: stage.live == 0)
    assert len(act.threads) == 3


def test_an_act_that_enters_while_it_comes_to_rest_stays(stage):
    act = Act(steps=1)

    def step():
        act.threads.append("woken")
        if len(act.threads) == 1:
            stage.enter(act)  # a retry, at the worst moment
            return False
        return False

    act.step = step
    stage.begin(act)
    until(lambda: len(act.threads) == 2 and stage.live == 0)


def test_an_act_that_fails_leaves_and_the_others_go_on(stage, caplog):
    bad, good = Act(fails=True), Act(steps=3)
    stage.begin(bad)
    stage.begin(good)
    until(lambda: stage.live == 0)
    assert bad.was_left == 1
    assert len(bad.threads) == 1
    assert good.left == 0
    assert [r.message for r in caplog.records if r.levelname == "ERROR"] == [
        "a display could not be brought up to date and is not live any more"
    ]


def test_settling_steps_everything_in_the_thread_that_asks(stage):
    act = Act(steps=1000)
    stage.begin(act)
    before = act.threads.count(threading.current_thread().name)
    stage.settle("the result of a cell")
    assert act.threads.count(threading.current_thread().name) == before + 1


def test_the_end_of_the_process_leaves_everything(stage):
    act = Act(steps=1000)
    stage.begin(act)
    stage.close()
    assert act.was_left == 1
    assert stage.live == 0
