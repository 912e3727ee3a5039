"""What a task finds inside: self, its request, loggers, hooks, retries; on Redis and RabbitMQ."""

import time
from pathlib import Path

import celery
import pytest
from celery import current_task
from celery.exceptions import Ignore, MaxRetriesExceededError, Reject, Retry
from celery.utils.log import get_task_logger

import nbqueue as nq
from nbqueue.core.errors import UnknownJob, UsageError

logger = get_task_logger("a.module")


@pytest.fixture(scope="module")
def worker(servers, wires):
    return servers.worker(wires.broker, wires.key, "-c", "2", backend=wires.backend)


@pytest.fixture(autouse=True)
def client(wires, worker):
    with nq.connect(wires.broker, backend=wires.backend, key=wires.key) as made:
        yield made


def text(job, i=0):
    return "".join(said.get("text", "") for said in job.outputs.get(i, ()))


# -- self and its request --------------------------------------------------------------------------


@nq.task(bind=True, max_retries=5)
def about(self, x, y=2):
    request = self.request
    return {
        "self": (self.name, self.max_retries),
        "id": request.id,
        "args": request.args,
        "kwargs": request.kwargs,
        "group": (request.group, request.group_index),
        "root": request.root_id,
        "plain": (request.retries, request.called_directly, request.chord, request.chain),
        "where": (request.hostname, (request.delivery_info or {}).get("routing_key")),
        "get": request.get("timelimit"),
        "same": request is self.request and request is nq.current() is current_task.request,
    }


def test_self_has_celerys_request_for_each_item(worker):
    job = about.map([10, 11])
    for i, found in enumerate(job.result(30)):
        assert found["self"] == ("about", 5)
        assert found["id"] == f"{job.id}-{i}"
        assert (found["args"], found["kwargs"]) == ((10 + i,), {})
        assert found["group"] == (job.id, i)
        assert found["root"] == job.id
        assert found["plain"] == (0, False, None, None)
        assert found["where"][0].startswith("worker-")
        assert found["where"][1] == "celery"
    found = about.with_options(time_limit=60, soft_time_limit=50).submit(1, y=3).result(30)
    assert (found["args"], found["kwargs"]) == ((1,), {"y": 3})
    assert found["group"] == (None, None)
    assert found["get"] == [60, 50]
    assert found["same"]


def test_a_bound_task_shows_its_own_parameters_and_checks_them():
    assert repr(about) == "<Task about(x, y=2)>"
    assert about(1)["plain"][1] is True
    assert list(about.starmap([(1, 2)]).to_frame().columns)[:2] == ["x", "y"]
    with pytest.raises(TypeError, match="nothing was sent"):
        about.submit()
    with pytest.raises(TypeError, match="missing"):
        about.with_options(typing=False).submit().result(30)


def test_plain_tasks_have_a_current_request_and_a_current_task():
    @nq.task
    def plain(x):
        return current_task.name, celery.current_task.request.id, nq.current().args, nq.current().n

    job = plain.map("ab")
    assert job.result(30) == [("plain", f"{job.id}-{i}", (x,), 2) for i, x in enumerate("ab")]


def test_task_loggers_write_to_the_item_and_name_it():
    @nq.task
    def chatty(x):
        logger.info("about %s", x)

    job = chatty.map("ab")
    job.result(30)
    for i, x in enumerate("ab"):
        line = text(job, i)
        assert "INFO" in line
        assert line.endswith(f"chatty[{job.id}-{i}]: about {x}\n")


def test_update_state_reports_progress(until, gate):
    @nq.task(bind=True)
    def slow(self, path):
        self.update_state(state="LOADING", meta={"current": 3, "total": 12, "file": "a.csv"})
        while not Path(path).exists():
            time.sleep(0.01)

    job = slow.submit(str(gate))
    until(lambda: len(job.progress()))
    row = job.progress().loc[0]
    assert (row["done"], row["total"], row["state"], row["file"]) == (3, 12, "LOADING", "a.csv")
    gate.touch()
    job.result(20)


@nq.task(bind=True)
def countdown(self, n):
    return n and self.replace(self.s(n - 1) | nq.group(self.si(0), self.si(0)))


@nq.task(bind=True, base=celery.Task)
def factorial(self, n):
    return 1 if n < 2 else n * self.apply((n - 1,)).result


@nq.task(bind=True, queue=None, time_limit=60)
def sends_another(self, n):
    if n == 0:
        return nq.current().time_limit
    return self.delay(n - 1).id, self.apply_async((0,), name=f"another {nq.current().job_id}").name


def found(id_or_name):
    """A job that another process has just sent."""
    try:
        return nq.job(id_or_name)
    except UnknownJob:
        return None


def test_self_is_composed_and_sent_from_inside(until):
    assert countdown.submit(2).result(30) == [0, 0]
    assert factorial.map([4, 5]).result(30) == [24, 120]
    job = sends_another.submit(1)
    sent, name = job.result(30)
    assert until(lambda: found(sent)).result(30) == 60
    assert until(lambda: found(name)).result(30) == 60
    assert name == f"another {job.id}"


def test_celerys_words_for_what_became_of_an_item(gate):
    @nq.task(bind=True)
    def looks(self, other, path=None):
        found = self.AsyncResult(other)
        while path and not Path(path).exists():
            time.sleep(0.01)
        return found.state, found.result, self.AsyncResult(self.request.id).state

    job = nq.task(lambda x: 1 / x).map([2, 0])
    assert job.wait(30)
    well, badly = (nq.AsyncResult(f"{job.id}-{i}") for i in range(2))
    assert (well.state, well.get(), well.ready(), well.failed()) == ("SUCCESS", 0.5, True, False)
    assert (badly.status, badly.failed()) == ("FAILURE", True)
    assert isinstance(badly.result, ZeroDivisionError)
    assert "ZeroDivisionError" in badly.traceback
    assert isinstance(badly.get(propagate=False), ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        badly.get(timeout=20)
    assert nq.AsyncResult(job.id).state == "FAILURE"
    assert looks.submit(well.id).result(30)[:2] == ("SUCCESS", 0.5)
    assert nq.AsyncResult("0123456789abcdef-0").state == "PENDING"
    waiting = looks.submit(well.id, str(gate))
    result = nq.AsyncResult(waiting.id)
    assert not result.ready()
    assert result.result is None
    result.revoke()
    assert result.state == "REVOKED"
    with pytest.raises(UnknownJob, match="there is none 7"):
        nq.AsyncResult(f"{job.id}-7").get()


# -- hooks -----------------------------------------------------------------------------------------


class Diary:
    """A base by value."""

    max_retries = 1
    default_retry_delay = 0.1

    def before_start(self, task_id, args, kwargs):
        print("before", task_id[-1], args, kwargs)

    def on_success(self, retval, task_id, args, kwargs):
        print("success", retval, task_id[-1])

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        print("failure", repr(exc), "raise exc" in str(einfo))

    def on_retry(self, exc, task_id, args, kwargs, einfo):
        print("retry", repr(exc), einfo.type.__name__)

    def after_return(self, status, retval, task_id, args, kwargs, einfo):
        print("after", status, repr(retval))


class CeleryDiary(Diary, celery.Task):
    """The same, of a Celery project."""


def diary(self, x):
    if x == "again" and self.request.retries == 0:
        self.retry(exc=OSError("away"))
    if x == "wrong":
        exc = ValueError(x)
        raise exc
    return x.upper()


@pytest.mark.parametrize("base", [Diary, CeleryDiary])
def test_hooks_are_called_for_each_item_as_celery_calls_them(base):
    job = nq.task(bind=True, base=base)(diary).map(["fine", "wrong", "again"])
    assert job.wait(30)
    said = [
        [line for line in text(job, i).splitlines() if not line.startswith("[nbqueue")]
        for i in range(3)
    ]
    assert said[0] == ["before 0 ('fine',) {}", "success FINE 0", "after SUCCESS 'FINE'"]
    assert said[1] == [
        "before 1 ('wrong',) {}",
        "failure ValueError('wrong') True",
        "after FAILURE ValueError('wrong')",
    ]
    assert said[2] == [
        "before 2 ('again',) {}",
        "retry OSError('away') Retry",
        "before 2 ('again',) {}",
        "success AGAIN 2",
        "after SUCCESS 'AGAIN'",
    ]
    assert job.to_frame()["attempts"].tolist() == [1, 1, 2]


def test_a_base_keeps_what_it_has_opened_and_may_wrap_the_call():
    class Once:
        opened = 0
        _connection = None

        def __call__(self, x):
            return "wrapped", self.run(x)

        @property
        def connection(self):
            if self._connection is None:
                self._connection = object()
                type(self).opened += 1
            return self._connection

    @nq.task(bind=True, base=Once)
    def use(self, x):
        assert self.connection is not None
        return self.opened

    assert use.map(range(50)).result(30) == [("wrapped", 1)] * 50


def test_a_hook_that_raises_is_shown_and_changes_nothing():
    class Broken:
        def on_success(self, *args):
            raise KeyError("hook")

    job = nq.task(base=Broken)(lambda x: x).map([1, 2])
    assert job.result(30) == [1, 2]
    assert "[nbqueue: on_success raised]" in text(job, 1)
    assert "KeyError: 'hook'" in text(job, 1)


# -- retries ---------------------------------------------------------------------------------------


def test_an_item_is_retried_after_its_countdown_and_everybody_sees_why(until):
    @nq.task(bind=True, max_retries=2)
    def shy(self, x):
        if x == 1 and self.request.retries < 2:
            # The first is long enough to be seen on a machine that stands still for a moment.
            raise self.retry(exc=OSError("not yet"), countdown=(10, 0.6)[self.request.retries])
        return x, self.request.retries

    asked = time.monotonic()
    job = shy.map([0, 1, 2])
    until(lambda: job.counts()["RETRY"])
    frame = job.to_frame()
    assert frame["state"].tolist()[1] == "RETRY"
    assert frame["error"].tolist()[1] == "OSError: not yet"
    assert job.state == "STARTED"
    assert job.result(30) == [(0, 0), (1, 2), (2, 0)]
    assert time.monotonic() - asked >= 10.6
    assert job.to_frame()["attempts"].tolist() == [1, 3, 1]
    assert any("RETRY" in line and "OSError: not yet" in line for line in job.log(1))
    assert "attempt 1 ended in OSError: not yet; trying again in 10 s" in text(job, 1)


@pytest.mark.parametrize("how", ["submit", "map", "starmap", "chunks"])
def test_retries_by_themselves_are_each_items_own_however_it_was_sent(how):
    @nq.task(
        autoretry_for=(OSError,), dont_autoretry_for=(FileNotFoundError,), max_retries=3,
        retry_backoff=0.1, retry_backoff_max=0, throws=(OSError,),
    )  # fmt: skip
    def flaky(x):
        if x < 0:
            raise FileNotFoundError(x)
        if nq.current().retries < x:
            raise OSError(f"try {nq.current().retries}")
        return nq.current().retries

    if how == "submit":
        jobs = [flaky.submit(x) for x in (0, 2, 9, -1)]
        assert [job.wait(30) for job in jobs] == [True] * 4
        frames = [job.to_frame().loc[0] for job in jobs]
        attempts = [frame["attempts"] for frame in frames]
        states = [frame["state"] for frame in frames]
    else:
        rows = [(0,), (2,), (9,), (-1,)]
        job = {
            "map": lambda: flaky.map([x for (x,) in rows]),
            "starmap": lambda: flaky.starmap(rows),
            "chunks": lambda: flaky.chunks(rows, 2),
        }[how]()
        assert job.wait(30)
        attempts = job.to_frame()["attempts"].tolist()
        states = job.to_frame()["state"].tolist()
        assert job.result(errors="drop") == [0, 2]
        assert isinstance(job.exceptions()[2], OSError)
        assert str(job.exceptions()[2]) == "try 3"
    assert attempts == [1, 3, 4, 1]
    assert states == ["SUCCESS", "SUCCESS", "FAILURE", "FAILURE"]


def test_too_many_retries_fail_with_the_exception_or_celerys_own():
    @nq.task(bind=True, max_retries=1, default_retry_delay=0.05)
    def hopeless(self, exc):
        raise self.retry(exc=exc)

    job = hopeless.map([KeyError("mine"), None])
    assert job.wait(30)
    assert isinstance(job.exceptions()[0], KeyError)
    assert isinstance(job.exceptions()[1], MaxRetriesExceededError)
    assert f"Can't retry hopeless[{job.id}-1]" in str(job.exceptions()[1])
    assert job.to_frame()["attempts"].tolist() == [2, 2]


def test_a_retry_may_change_its_arguments():
    @nq.task(bind=True)
    def grows(self, x, step=1):
        if x < 12:
            self.retry(args=(x + step,), kwargs={"step": step}, countdown=0)
        if x < 14:
            self.retry(args=(14,), countdown=0.05)
        return x, step, self.request.retries, self.request.args

    assert grows.map([10, 20]).result(30) == [(14, 1, 3, (14,)), (20, 1, 0, (20,))]


def test_a_retry_that_is_not_raised_comes_when_the_item_returns():
    @nq.task(bind=True)
    def polite(self, x):
        if self.request.retries == 0:
            again = self.retry(countdown=0.05, throw=False)
            assert isinstance(again, Retry)
            print("clean up")
            return "dropped"
        return "kept"

    job = polite.map([1, 2])
    assert job.result(30) == ["kept", "kept"]
    assert text(job, 1).startswith("clean up\n")


def test_an_unbound_task_retries_by_the_current_task():
    @nq.task
    def plain(x):
        if current_task.request.retries == 0:
            raise current_task.retry(countdown=0.05)
        return current_task.request.retries

    assert plain.map("ab").result(30) == [1, 1]


def test_ignore_and_reject_end_an_item():
    @nq.task(bind=True)
    def predicate(self, x):
        if x == "ignore":
            raise Ignore
        if x == "failed":
            self.update_state(state="FAILURE", meta={"exc_type": "Bad", "exc_message": ("row", 3)})
            raise Ignore
        if x == "requeue" and self.request.retries == 0:
            raise Reject("elsewhere", requeue=True)
        if x == "reject":
            raise Reject("not mine")
        return x

    job = predicate.map(["ignore", "failed", "requeue", "reject"])
    assert job.wait(30)
    frame = job.to_frame()
    assert frame["state"].tolist() == ["SUCCESS", "FAILURE", "SUCCESS", "FAILURE"]
    assert job.result(errors="drop") == [None, "requeue"]
    assert frame["error"].tolist()[1] == "Bad: row, 3"
    assert "Reject" in frame["error"].tolist()[3]


def test_called_directly_a_task_raises_instead_of_being_retried():
    @nq.task(bind=True)
    def shy(self):
        raise self.retry(exc=OSError("away"))

    with pytest.raises(OSError, match="away"):
        shy()


# -- what is kept ----------------------------------------------------------------------------------


def test_ignored_results_are_none_and_their_states_are_not():
    @nq.task(ignore_result=True)
    def half(x):
        return 1 / x

    job = half.map([1, 0])
    assert job.wait(30)
    assert job.to_frame()["state"].tolist() == ["SUCCESS", "FAILURE"]
    assert job.result(errors="drop") == [None]


def test_a_steps_result_is_what_the_next_takes_even_when_results_are_ignored():
    @nq.task(ignore_result=True)
    def half(x):
        return x / 2

    assert nq.run(nq.chain(half.s(8), half.s())).result(30) == 2.0


def test_a_tracked_item_is_started_before_it_does_anything():
    @nq.task(track_started=True)
    def quick():
        return nq.current().job_id

    job = quick.submit()
    assert job.result(30) == job.id
    assert any("started on" in line for line in job.log(0))


def test_an_expected_error_has_no_traceback():
    @nq.task(throws=(KeyError,))
    def expects(x):
        raise (KeyError if x else ValueError)(x)

    job = expects.map([0, 1])
    assert job.wait(30)
    assert "in expects" in str(job.exceptions()[0].__cause__)
    assert "in expects" not in str(job.exceptions()[1].__cause__)


@pytest.mark.parametrize(
    "options",
    [
        {"max_retries": -1},
        {"max_retries": "3"},
        {"autoretry_for": ValueError},
        {"autoretry_for": ("ValueError",)},
        {"default_retry_delay": -1},
        {"retry_backoff": "yes"},
        {"retry_jitter": 1},
        {"retry_kwargs": {"queue": "x"}},
        {"base": nq.Task},
        {"base": "Base"},
        {"bind": 1},
        {"typing": "no"},
    ],
)
def test_an_option_that_is_not_possible_is_refused_where_it_is_given(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        nq.task(**options)(print)
