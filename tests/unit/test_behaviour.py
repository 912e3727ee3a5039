"""A task's behaviour: how it travels, what self is, and when it is pickled anew."""

import inspect
import logging
import pickle
import threading

import celery
import pytest
from celery.app.task import Context
from celery.exceptions import MaxRetriesExceededError, Retry
from celery.utils.log import get_task_logger, logger_isa, task_logger

import nbqueue as nq
from nbqueue.client.code import CodeCache, fingerprint
from nbqueue.core.errors import NotPicklable, UsageError
from nbqueue.store.code.behaviour import Behaviour, Hooks, PlainTask
from nbqueue.store.code.functions import dump, load
from nbqueue.store.code.itemtask import ItemTask, Nowhere
from nbqueue.store.code.retries import Again, Policy, policy_of
from nbqueue.store.values.packing import pack, unpack
from tests.unit.builders import DictBlobs


class Item:
    """An item that runs, to whoever asks."""

    app = None

    def __init__(self, retries=0):
        self.context = Context({"id": "j-3", "retries": retries, "called_directly": False})
        self.again = None

    def request(self):
        return self.context

    def options(self):
        return {}

    def report(self, state, meta):
        self.said = state, meta

    def run_again(self, again):
        self.again = again


@pytest.fixture
def running(monkeypatch):
    def run(retries=0):
        item = Item(retries)
        monkeypatch.setattr(ItemTask, "here", item)
        return item

    return run


def there(behaviour):
    """The behaviour as a worker gets it."""
    blobs = DictBlobs()
    return load(dump(behaviour, blobs), blobs).function


def bound(**attributes):
    def f(self, x, y=1):
        return self.name, x, y

    return Behaviour(f, "fit", bind=True, attributes=attributes)


def test_a_bound_function_is_called_without_its_self():
    behaviour = there(bound())
    assert str(inspect.signature(behaviour)) == "(x, y=1)"
    assert behaviour(3) == ("fit", 3, 1)
    assert behaviour.task is behaviour.task


def test_celerys_defaults_hold_where_nobody_says_otherwise():
    task = bound().task
    assert policy_of(task) == Policy()
    celerys = celery.Task
    assert (task.max_retries, task.default_retry_delay) == (
        celerys.max_retries,
        celerys.default_retry_delay,
    )


@pytest.mark.parametrize("parent", [object, celery.Task])
def test_options_go_before_the_bases_and_the_bases_before_celerys(parent):
    class Base(parent):
        max_retries = 7
        autoretry_for = (KeyError,)
        retry_backoff = True

    def f():
        pass

    task = there(Behaviour(f, "f", base=Base, attributes={"max_retries": None})).task
    policy = policy_of(task)
    assert (policy.max_retries, policy.autoretry_for) == (None, (KeyError,))
    assert (policy.retry_backoff, policy.default_retry_delay) == (1.0, 180)
    assert task.name == "f"
    assert isinstance(task, ItemTask)


def test_retry_asks_with_what_it_is_given(running):
    running(retries=2)
    task = bound(max_retries=3).task
    error = OSError("away")
    with pytest.raises(Retry) as caught:
        task.retry(exc=error, countdown=4)
    assert (caught.value.when, caught.value.reason) == (4, error)
    assert task.retry(throw=False) is ItemTask.here.again
    assert isinstance(ItemTask.here.again, Again)


def test_retry_gives_up_with_the_reason_or_with_celerys_own(running):
    running(retries=3)
    task = bound().task
    with pytest.raises(OSError, match="away"):
        task.retry(exc=OSError("away"))
    with pytest.raises(MaxRetriesExceededError, match=r"Can't retry fit\[j-3\]"):
        task.retry()
    with pytest.raises(Retry):
        task.retry(max_retries=4)


def test_called_directly_there_is_nothing_to_retry():
    assert isinstance(ItemTask.here, Nowhere) or ItemTask.here.request() is None
    task = bound().task
    assert task.request.called_directly
    assert task.request.retries == 0
    with pytest.raises(Retry, match="Task can be retried"):
        task.retry()
    task.update_state(state="LOADING", meta={"current": 1})


@pytest.mark.parametrize("base", [None, celery.Task])
def test_self_composes_more_calls_of_its_own_task(base):
    def f(self, x, y=1):
        return self.name, x, y

    task = there(Behaviour(f, "f", bind=True, base=base, attributes={"max_retries": 7})).task
    for made in (task.s(1, y=2), task.si(1, y=2), task.signature((1,), {"y": 2})):
        assert repr(made) == "f(1, y=2)"
        assert made() == ("f", 1, 2)
        assert made.type.options.max_retries == 7
        assert made.type.body.task is task
    assert task.subtask((1,), immutable=True).immutable
    assert task.signature((1,), queue="other").options["queue"] == "other"
    assert task.apply((3,)).get() == ("f", 3, 1)


def test_more_calls_go_where_the_item_went(running):
    running().options = lambda: {"queue": "far", "time_limit": 5}
    options = bound().task.s(1).type.options
    assert (options.queue, options.time_limit) == ("far", 5)


@pytest.mark.parametrize("base", [None, celery.Task])
def test_self_has_an_app_and_cannot_add_to_a_chord(base):
    def f(self):
        pass

    task = Behaviour(f, "f", bind=True, base=base).task
    assert task.app.main == celery.current_app.main
    with pytest.raises(UsageError, match="have a step return"):
        task.add_to_chord()


def test_the_current_task_of_an_unbound_one_says_how_to_compose():
    class Plain(PlainTask):
        name = "plain"

    with pytest.raises(UsageError, match="bind=True"):
        Plain().s(1)


def test_hooks_do_nothing_by_default():
    hooks = Hooks()
    assert hooks.before_start("id", (), {}) is None
    assert hooks.on_success(1, "id", (), {}) is None
    assert hooks.on_failure(None, "id", (), {}, None) is None
    assert hooks.on_retry(None, "id", (), {}, None) is None
    assert hooks.after_return("SUCCESS", 1, "id", (), {}, None) is None


def test_a_function_without_arguments_cannot_be_bound():
    with pytest.raises(UsageError, match="first is self"):
        nq.task(bind=True)(lambda: 1)


# -- how it travels --------------------------------------------------------------------------------


class Store:
    def __init__(self):
        self.puts = 0

    def put(self, stored):
        self.puts += 1
        return f"address {self.puts}"


def test_a_behaviour_is_pickled_again_only_when_it_may_have_changed():
    store = Store()
    code = CodeCache(store, DictBlobs())

    @nq.task(bind=True, max_retries=5, autoretry_for=(OSError,))
    def f(self, x):
        return x

    assert code.address(f.body) == code.address(f.body)
    assert store.puts == 1
    # Options that do not travel with the function leave it where it is.
    assert f.with_options(queue="other", priority=3, chunksize=7).body is f.body
    assert f.with_options(max_retries=6).body is not f.body
    assert f.with_options(name="g").body.task.name == "g"


def test_a_base_of_the_notebook_may_change_and_is_pickled_each_time():
    scope = {"__name__": "__main__"}
    exec("class Base:\n    pass\ndef f(self): pass", scope)
    behaviour = Behaviour(scope["f"], "f", bind=True, base=scope["Base"])
    assert fingerprint(behaviour) is None


def test_what_cannot_travel_is_named():
    class Base:
        lock = threading.Lock()

    def f():
        pass

    with pytest.raises(NotPicklable, match="'base'"):
        dump(Behaviour(f, "f", base=Base), DictBlobs())


def test_a_plain_task_travels_as_its_function():
    def f(x):
        return x

    assert nq.task(f).body is f
    assert nq.task(ignore_result=True, typing=False, track_started=True)(f).body is f


def test_the_current_task_and_task_loggers_arrive_as_what_they_are():
    from celery import current_task

    blobs = DictBlobs()
    logger = get_task_logger("somewhere.else")

    def f():
        return current_task, logger

    found, arrived = unpack(pack(f, blobs), blobs)()
    assert found is celery.current_task
    assert arrived is logger
    logging.Logger.manager.loggerDict.pop("somewhere.else")
    _, made = unpack(pack(f, blobs), blobs)()
    assert logger_isa(made, task_logger)
    plain = logging.getLogger("plain.one")
    assert unpack(pack(plain, blobs), blobs) is plain


def test_options_that_nobody_gave_survive_a_pickle():
    task = nq.task(bind=True)(pickle.loads)
    assert pickle.loads(pickle.dumps(task.options)) == task.options
