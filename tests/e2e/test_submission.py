"""What can be sent, and in which ways: the calls of a task and their arguments."""

import asyncio
import functools
import math
import operator
from dataclasses import dataclass

import pytest

import nbqueue as nq

pytestmark = pytest.mark.usefixtures("cluster")


@nq.task
def double(x):
    return 2 * x


@nq.task
def add(a, b=10, *, scale=1):
    return (a + b) * scale


@nq.task
def collect(*args, **kwargs):
    return args, kwargs


@nq.task
def quadruple(x):
    return double(double(x))


@nq.task
def factorial(n):
    return 1 if n < 2 else n * factorial(n - 1)


@nq.task
async def later(x):
    await asyncio.sleep(0)
    return x + 1


@dataclass
class Scaled:
    by: int

    def __call__(self, x):
        return x * self.by

    def times(self, x, y=1):
        return x * y * self.by

    @classmethod
    def named(cls, x):
        return cls.__name__, x

    @staticmethod
    def plain(x):
        return x


def test_a_task_is_still_a_function():
    assert double(4) == 8
    assert double.__name__ == "double"
    assert asyncio.run(later(1)) == 2


def test_submit_and_delay_give_what_the_function_returns():
    assert double.submit(21).result(20) == 42
    assert double.delay("ab").result(20) == "abab"
    assert double.submit(x=[1]).result(20) == [1, 1]


def test_apply_async_takes_name_queue_and_priority():
    job = double.apply_async((3,), name="six", queue="celery", priority=3)
    assert (job.name, job.result(20)) == ("six", 6)
    assert add.apply_async(args=[1], kwargs={"scale": 2}).result(20) == 22
    assert double.apply_async([4]).result(20) == 8


def test_keywords_and_defaults_arrive():
    assert add.submit(1).result(20) == 11
    assert add.submit(1, 2, scale=3).result(20) == 9
    assert add.submit(b=5, a=1).result(20) == 6


def test_variable_arguments_arrive():
    assert collect.submit(1, 2, three=3).result(20) == ((1, 2), {"three": 3})
    assert collect.submit().result(20) == ((), {})
    assert collect.map("ab", "cd").result(20) == [(("a", "c"), {}), (("b", "d"), {})]


def test_map_pairs_iterables_and_stops_at_the_shortest():
    assert add.map([1, 2, 3], [10, 20]).result(20) == [11, 22]


def test_map_takes_generators_once():
    seen = []

    def numbers():
        for i in range(5):
            seen.append(i)
            yield i

    job = double.map(numbers())
    assert seen == [0, 1, 2, 3, 4]
    assert job.result(20) == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("send", [double.map, double.starmap])
def test_nothing_to_do_is_a_finished_job(send):
    job = send([])
    assert (len(job), job.state, job.finished) == (0, "SUCCESS", True)
    assert job.wait(0)
    assert job.result(0) == []
    assert list(job) == list(job.as_completed()) == []
    assert len(job.to_frame()) == 0


def test_an_empty_job_is_found_again():
    job = double.map([], name="nothing")
    assert nq.job("nothing").id == job.id
    assert nq.job("nothing").result(20) == []
    assert nq.jobs().loc[job.id, "state"] == "SUCCESS"


def test_what_is_the_same_for_all_items_goes_by_partial_under_the_functions_name():
    task = nq.task(functools.partial(add.function, b=1, scale=3))
    assert repr(task) == "<Task add(a, *, b=1, scale=3)>"
    job = task.map([1, 2])
    assert job.result(20) == [6, 9]
    assert job.to_frame()["b"].tolist() == [1, 1]
    assert task.starmap([{"a": 1, "b": 0}]).result(20) == [3]


def test_starmap_spreads_tuples():
    assert add.starmap([(1, 2), (3,), [4, 5]]).result(20) == [3, 13, 9]
    assert add.starmap(zip(range(3), range(3), strict=True)).result(20) == [0, 2, 4]


def test_starmap_gives_what_is_taken_by_name_only_by_its_name():
    @nq.task(cache=True)
    def train(data, *, lr, depth=3):
        if lr > 1:
            raise ValueError(lr)
        return data * lr

    grid = [{"data": 2, "lr": 0.5}, {"lr": 2, "data": 1, "depth": 4}, {"data": 4, "lr": 0.5}]
    job = train.starmap(grid)
    assert job.result(20, errors="drop") == [1.0, 2.0]
    frame = job.to_frame()
    assert frame["lr"].tolist() == [0.5, 2.0, 0.5]
    assert frame["depth"].tolist() == [3, 4, 3]
    with pytest.raises(ValueError, match="2"):
        job.rerun(1)
    mended = nq.task(lambda data, *, lr, depth: depth, name="train")
    assert job.retry(mended).result(20) == [1.0, 4, 2.0]
    assert collect.chunks([{"a": 1}, (2,)], 1).result(20) == [((), {"a": 1}), ((2,), {})]
    steps = nq.run(nq.starmap(train, grid[:1]) | nq.task(sum).s())
    assert steps.result(20) == 1.0


@pytest.mark.parametrize("n", [1, 2, 5, 100])
def test_chunks_of_any_size_give_every_item(n):
    assert double.chunks([(i,) for i in range(11)], n).result(20) == [2 * i for i in range(11)]


@pytest.mark.parametrize("n", [0, -1])
def test_chunks_of_no_items_are_refused(n):
    with pytest.raises(ValueError, match=f"must be at least 1, not {n}"):
        double.chunks([(1,)], n)


@pytest.mark.parametrize("n", [1.5, "2", None, True])
def test_a_chunk_size_is_a_whole_number(n):
    with pytest.raises(nq.UsageError, match="whole number"):
        double.chunks([(1,)], n)


@pytest.mark.parametrize(
    "send",
    [
        lambda: double.submit(),
        lambda: double.submit(1, 2),
        lambda: double.delay(y=1),
        lambda: double.apply_async((1, 2)),
        lambda: double.map([1], [2]),
        lambda: double.map(),
        lambda: add.map([1], [2], [3]),
        lambda: double.starmap([(1,), (1, 2)]),
        lambda: double.starmap([1]),
        lambda: double.chunks([(1,), ()], 2),
    ],
)
def test_wrong_arguments_are_refused_at_the_call_and_nothing_is_sent(send):
    before = len(nq.jobs())
    with pytest.raises(TypeError):
        send()
    assert len(nq.jobs()) == before


def test_wrong_arguments_say_what_the_task_takes():
    with pytest.raises(TypeError, match=r"double\(x\).*nothing was sent"):
        double.submit(1, 2)
    with pytest.raises(TypeError, match=r"item 1: double\(x\).*nothing was sent"):
        double.starmap([(1,), (1, 2)])


def test_an_error_of_the_iterable_itself_sends_nothing():
    def broken():
        yield from range(100)
        raise LookupError("no more")

    before = len(nq.jobs())
    with pytest.raises(LookupError, match="no more"):
        double.map(broken())
    assert len(nq.jobs()) == before


@pytest.mark.parametrize(
    "send",
    [
        lambda: nq.task(colour="red"),
        lambda: double.with_options(colour="red"),
        lambda: double.apply_async((1,), colour="red"),
    ],
)
def test_an_unknown_option_is_a_type_error_that_lists_the_known(send):
    with pytest.raises(TypeError, match=r"unknown task option 'colour'.*queue"):
        send()


def test_options_are_changed_on_a_copy():
    other = double.with_options(name="other")
    assert (double.name, other.name) == ("double", "other")
    assert other.submit(2).task == "other"
    assert other.submit(2).result(20) == 4


def test_a_task_may_call_another_and_itself():
    assert quadruple.submit(3).result(20) == 12
    assert factorial.submit(10).result(20) == math.factorial(10)
    assert factorial.map(range(5)).result(20) == [1, 1, 2, 6, 24]


def test_async_functions_run_to_their_end():
    assert later.submit(1).result(20) == 2
    assert later.map(range(4)).result(20) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("function", "args", "result"),
    [
        (lambda x: x + 1, (1,), 2),
        (len, ("abc",), 3),
        (pow, (2, 5), 32),
        (max, (1, 7, 3), 7),
        (dict, ([("a", 1)],), {"a": 1}),
        (operator.itemgetter(1), ("ab",), "b"),
        (math.hypot, (3, 4), 5.0),
        (functools.partial(pow, 2), (5,), 32),
        (functools.partial(int, base=2), ("101",), 5),
        (Scaled(3), (5,), 15),
        (Scaled(3).times, (5, 2), 30),
        (Scaled.named, (1,), ("Scaled", 1)),
        (Scaled.plain, (1,), 1),
        ("a-b".split, ("-",), ["a", "b"]),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_anything_callable_may_be_a_task(function, args, result):
    task = nq.task(function)
    assert task.submit(*args).result(20) == result
    assert task.starmap([args, args]).result(20) == [result, result]


def test_only_callables_may_be_tasks():
    with pytest.raises(nq.UsageError, match="decorates a function, not 5"):
        nq.task(5)


def test_a_callable_with_attributes_of_a_tasks_names_is_still_a_task():
    class Model:
        def __init__(self):
            self.map = {"a": 1}
            self.submit = None

        def __call__(self, key):
            return self.map[key]

    assert nq.task(Model()).map(["a"]).result(20) == [1]


def test_a_class_may_be_a_task():
    assert nq.task(Scaled).submit(2).result(20) == Scaled(2)


def test_tasks_travel_as_arguments_and_results():
    apply = nq.task(lambda f, x: f(x))
    assert apply.submit(double, 4).result(20) == 8
    again = nq.task(lambda: double).submit().result(20)
    assert again(3) == 6


def test_none_and_odd_values_are_results_like_others():
    same = nq.task(lambda x: x)
    values = [None, False, "", b"", 0, float("inf"), ..., NotImplemented, (), {1}, range(3)]
    assert same.map(values).result(20) == values
    assert same.submit(None).result(20) is None


def test_results_keep_what_they_were_when_they_were_returned():
    seen = []

    def grow(x):
        seen.append(x)
        return seen

    assert nq.task(grow).map([1, 2, 3]).result(20)[0] == [1]


def test_arguments_are_those_of_the_call_even_if_changed_after():
    values = [1, 2]
    job = nq.task(sum).submit(values)
    values.append(100)
    assert job.result(20) == 3
    assert job.rerun(0) == 3


@pytest.mark.parametrize("name", ["", "a\nb", "\x1b[31m", "\ud800", "n" * 301, 5])
def test_a_name_that_no_listing_could_show_is_refused(name):
    with pytest.raises(nq.UsageError, match="name"):
        double.map([1], name=name)


def test_a_task_that_waits_for_another_job_is_told_not_to(cluster):
    @nq.task
    def outer(broker, key):
        import nbqueue

        with nbqueue.connect(broker, key=key):
            return nbqueue.task(abs).submit(-1).result(20)

    with pytest.raises(nq.UsageError, match="may not wait"):
        outer.submit(cluster.broker_url, cluster._address.key).result(20)


def test_a_range_is_any_other_iterable_of_its_numbers():
    numbers = range(7, 60_007, 3)
    job = nq.task(lambda x: -x).map(numbers)
    assert job.result(30) == [-x for x in numbers]
    assert job.to_frame().iloc[:, 0].tolist() == list(numbers)
    assert job[15_000]._live.call(15_000) == ((numbers[15_000],), {})
    assert nq.task(lambda *x: x).map(range(2)).result(20) == [(0,), (1,)]
    assert nq.task(lambda x: x).map(range(0)).result(20) == []
