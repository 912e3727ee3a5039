"""Workflows on real workers, the same on Redis and on RabbitMQ: what comes out, in which order,
what happens when something fails, and what a person can do about it.

What Celery's own integration tests say of its canvas is said here of ours.
"""

import itertools
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from celery.canvas import StampingVisitor

import nbqueue as nq
from nbqueue.core.errors import UpstreamFailed, UsageError
from nbqueue.notebook import taking
from nbqueue.notebook.table import Query, Table

WAIT_S = 30


@pytest.fixture(scope="module")
def worker(servers, wires):
    return servers.worker(wires.broker, wires.key, "-c", "2", backend=wires.backend)


@pytest.fixture(scope="module", autouse=True)
def client(wires, worker):
    with nq.connect(wires.broker, backend=wires.backend, key=wires.key) as made:
        yield made


@nq.task
def add(x, y, z=None):
    return x + y if z is None else x + y + z


@nq.task
def same(x):
    return x


@nq.task
def total(numbers):
    return sum(numbers)


@nq.task
def numbers(n):
    return list(range(n))


@nq.task
def add_to_all(numbers, x):
    return [number + x for number in numbers]


class TooHot(Exception):
    """An exception with something of its own."""

    def __init__(self, degrees):
        super().__init__(degrees)
        self.degrees = degrees


@nq.task
def fail(value=None):
    raise TooHot(99)


@nq.task
def say(path, text):
    with Path(path).open("a") as file:
        file.write(f"{text}\n")
    return text


@nq.task
def say_last(value, path):
    with Path(path).open("a") as file:
        file.write(f"{value}\n")


@nq.task
def alert(request, exc, traceback, path):
    with Path(path).open("a") as file:
        file.write(
            f"{request.task} {type(exc).__name__} {exc.degrees} {'raise TooHot' in traceback}\n"
        )


@nq.task
def note(item_id, path):
    with Path(path).open("a") as file:
        file.write(f"{item_id}\n")


@nq.task
def behind(gate, value):
    """Run until a gate is opened."""
    import time

    while not Path(gate).exists():
        time.sleep(0.005)
    return value


@nq.task
def opening(gate, value):
    Path(gate).touch()
    return value


@nq.task
def once_there(x, path):
    if not Path(path).exists():
        raise FileNotFoundError(path)
    return x


@pytest.fixture
def said(tmp_path):
    """What tasks have said, in order."""

    class Said:
        path = str(tmp_path / "said")

        def __call__(self):
            file = tmp_path / "said"
            return file.read_text().splitlines() if file.exists() else []

    return Said()


# -- what comes out --------------------------------------------------------------------------------


def nested_mixture():
    return nq.group(
        nq.chord(
            (
                same.si(42),
                nq.chain((same.si(42),) * 5),
                nq.group((same.si(42),) * 5),
                nq.chord((same.si(42),) * 5, same.si(1337)),
            ),
            same.s(),
        )
    )


RESULTS = {
    "a chain": (lambda: add.s(4, 4) | add.s(8) | add.s(16), 32),
    "a chain of one": (lambda: nq.chain(add.s(3, 4)), 7),
    "a chain in a chain": (
        lambda: (
            add.s(2, 2) | (add.s(4) | add.s(8) | add.s(16)) | nq.group(add.s(i) for i in range(4))
        ),
        [32, 33, 34, 35],
    ),
    "a group": (lambda: nq.group(same.s(i) for i in range(10)), list(range(10))),
    "a group of one": (lambda: nq.group(same.s(42)), [42]),
    "groups in groups": (
        lambda: nq.group(
            add.si(1, 10), nq.group(add.si(1, 100), nq.group(add.si(1, 1000), add.si(1, 2000)))
        ),
        [11, 101, 1001, 2001],
    ),
    "a group of a chain that ends in a group": (
        lambda: nq.group(add.s(1, 2) | nq.group(add.s(1), add.s(2))),
        [4, 5],
    ),
    "a group whose last member ends in a group": (
        lambda: nq.group(
            same.si(1), same.si(2), nq.chain(same.si(5), nq.group(same.si(3), same.si(4)))
        ),
        [1, 2, [3, 4]],
    ),
    "a chain in a group in a chain": (
        lambda: add.s(5, 6) | nq.group((add.s(1) | add.s(2), add.s(3))),
        [14, 14],
    ),
    "a group in the middle of a chain": (
        lambda: nq.chain(same.s(42), nq.group(same.s(), same.s()), same.s()),
        [42, 42],
    ),
    "nested groups and chains": (
        lambda: nq.chain(
            add.si(1, 0),
            nq.group(
                add.si(1, 100),
                nq.chain(add.si(1, 200), nq.group(add.si(1, 1000), add.si(1, 2000))),
            ),
            add.si(1, 10),
        ),
        11,
    ),
    "a chord": (lambda: nq.chord([add.s(2, 2), add.s(4, 4)], total.s()), 12),
    "a chord of one": (lambda: nq.chord([add.s(2, 5)], add_to_all.s(9)), [16]),
    "a group of one before a task": (lambda: nq.group([add.s(2, 5)]) | add_to_all.s(9), [16]),
    "a chord of a single signature": (
        lambda: nq.group((nq.chord(same.si(42), nq.chain((same.s(),))),)),
        [[42]],
    ),
    "groups of groups of one, with bodies": (
        lambda: (
            nq.group(
                [
                    nq.group([nq.group([nq.group([add.s(1, 2)]) | add.s([3])]) | add.s([4])])
                    | add.s([5])
                ]
            )
            | add.s([6])
        ),
        [[[[3, 3], 4], 5], 6],
    ),
    "everything in a header": (nested_mixture, [[42, 42, *(42,) * 5, 1337]]),
    "a header whose chain ends in a group": (
        lambda: nq.chord(nq.group(nq.chain(same.s(42), nq.group(same.s(), same.s()))), same.s()),
        [[42, 42]],
    ),
    "chords one after the other": (
        lambda: nq.chain(
            nq.chord(nq.group(add.si(1, 0), add.si(1, 0)), total.s()),
            nq.chord(nq.group(add.s(1), add.s(1)), total.s()),
            nq.chord(nq.group(add.s(0), add.s(0)), total.s()),
            nq.chord(nq.group(add.s(10), add.s(10)), total.s()),
        ),
        44,
    ),
    "nine chords made by bars": (
        lambda: nq.chain(
            nq.group(add.si(1, 0), add.si(1, 0), add.si(1, 0)),
            total.s(),
            *itertools.chain.from_iterable(
                (nq.group(add.s(1), add.s(1), add.s(1)), total.s()) for _ in range(7)
            ),
            nq.group(add.s(0), add.s(0), add.s(0)),
            total.s(),
        ),
        29520,
    ),
    "groups one after the other": (
        lambda: (
            add.si(1, 0) | nq.group(add.s(1), add.s(1)) | nq.group(total.s(), total.s()) | total.s()
        ),
        8,
    ),
    "a chord, tasks and a group": (
        lambda: (
            nq.group(add.s(1, 1), add.s(1, 1))
            | total.s()
            | add.s(1)
            | add.s(1)
            | nq.group(add.s(1), add.s(1))
        ),
        [7, 7],
    ),
    "chords of chains as bodies of chords": (
        lambda: nq.chord(
            [add.s(0, 1)],
            nq.chord(
                [total.s(), total.s()],
                nq.chain(total.s(), nq.group(add.s(8), add.s(16)), total.s() | add.s(32)),
            ),
        ),
        60,
    ),
    "a map": (lambda: nq.map(same, range(100)) | total.s(), 4950),
    "a starmap": (lambda: nq.starmap(add, [(1, 2), (3, 4, 5)]), [3, 12]),
    "chunks": (
        lambda: nq.chunks(add, zip(range(10), range(10), strict=True), 3),
        [*range(0, 20, 2)],
    ),
    "chunks as Celery's group": (
        lambda: nq.chunks(add, [(1, 1), (2, 2), (3, 3)], 2).group(),
        [[2, 4], [6]],
    ),
    "a map in a group": (
        lambda: nq.group(nq.starmap(add, [(1, 1), (2, 2)]), add.s(3, 3)),
        [[2, 4], 6],
    ),
    "a map after a task": (lambda: add.si(1, 1) | nq.starmap(add, [(1, 1), (2, 2)]), [2, 4]),
    "a map of a map": (lambda: nq.map(numbers, [1, 2]) | nq.map(total) | total.s(), 1),
    "a fan-out in mid-chain": (lambda: numbers.s(1000) | nq.map(same) | total.s(), 499500),
    "a fan-out over nothing": (lambda: numbers.s(0) | nq.map(same) | total.s(), 0),
    "a map of nothing": (lambda: nq.map(same, []) | total.s(), 0),
    "a starmap of nothing": (lambda: nq.starmap(add, iter(())) | total.s(), 0),
    "chunks of nothing": (lambda: nq.chunks(add, [], 3) | total.s(), 0),
    "a map of a map of nothing": (lambda: nq.map(same, []) | nq.map(same) | total.s(), 0),
    "a map of nothing behind a task": (lambda: same.s(1) | nq.map(same, []) | total.s(), 0),
    "nothing but maps of nothing": (lambda: nq.group(nq.map(same, []), nq.map(same, [])), [[], []]),
    "a map of nothing in a header": (
        lambda: nq.chord([nq.map(same, []), same.s(1)], same.s()),
        [[], 1],
    ),
    "a fan-out of tuples": (lambda: same.s([(1, 2), (3, 4)]) | nq.starmap(add) | same.s(), [3, 7]),
    "a fan-out of dicts": (
        lambda: same.s([{"y": "b", "x": "a"}, ("c", "d")]) | nq.starmap(add),
        ["ab", "cd"],
    ),
    "a fan-out that is the result": (lambda: numbers.s(3) | nq.map(same), [0, 1, 2]),
    "fan-outs in a group": (
        lambda: numbers.s(4) | nq.group(nq.map(same) | total.s(), total.s()) | total.s(),
        12,
    ),
    "a fan-out over an array": (lambda: same.s(np.arange(5)) | nq.map(same) | total.s(), 10),
    "a fan-out over a dict": (
        lambda: same.s({"a": 1, "b": 2}) | nq.map(same) | same.s(),
        ["a", "b"],
    ),
    "an empty group": (lambda: nq.group([]), []),
    "an empty header": (lambda: nq.chord([], add_to_all.s(9)), []),
    "an empty header by a bar": (lambda: nq.group([]) | add_to_all.s(9), []),
    "an empty body": (lambda: nq.chord([same.s(1), same.s(2)]), [1, 2]),
    "a body that is an empty group": (
        lambda: nq.chord([same.s(1), same.s(2)], nq.group([])),
        [1, 2],
    ),
    "a group before empty groups": (
        lambda: nq.chain(nq.group(add.s(2, 2), add.s(4, 4)), nq.group(), nq.group()),
        [4, 8],
    ),
    "empty chains in a header": (
        lambda: nq.chord([nq.chain(), add.s(1, 1), nq.chain(), add.s(2, 2)], total.s()),
        6,
    ),
    "a header of empty chains": (lambda: nq.chord([nq.chain()], total.s()), 0),
    "different tasks in a group": (
        lambda: nq.group(f for i in range(20) for f in (same.s(i), add.s(i, i))) | total.s(),
        570,
    ),
}


@pytest.mark.parametrize("case", RESULTS)
def test_result_of(case):
    make, want = RESULTS[case]
    assert nq.run(make()).result(WAIT_S) == want


def test_chords_in_a_chord_give_lists_of_lists():
    made = nq.chord(
        [nq.chord([add.s(1, 2), add.s(3, 4)], add.s([5])), nq.chord([add.s(6, 7)], add.s([10]))],
        same.s(),
    )
    assert made.delay().result(WAIT_S) == [[3, 7, 5], [13, 10]]


@pytest.mark.parametrize(
    ("make", "args", "kwargs", "want"),
    [
        (lambda: same.s() | same.s(), (1,), {}, 1),
        (lambda: nq.chain(nq.chord([same.s(), same.s()], same.s()), same.s()), (1,), {}, [1, 1]),
        (
            lambda: nq.group(add.s(i) for i in range(4)) | add_to_all.s(8),
            (4,),
            {"z": 1},
            [13, 14, 15, 16],
        ),
        (lambda: add.s(2, 2) | nq.group(add.s(i) for i in range(4)), (), {"z": 1}, [5, 6, 7, 8]),
        (lambda: nq.map(same), ([1, 2],), {}, [1, 2]),
    ],
    ids=["chain", "chord in chain", "group and task", "kwargs go to the first", "map"],
)
def test_arguments_given_when_it_is_run(make, args, kwargs, want):
    assert make().apply_async(args, kwargs).result(WAIT_S) == want
    assert make().delay(*args, **kwargs).result(WAIT_S) == want


def test_a_workflow_runs_when_called_and_as_often_as_it_is():
    made = nq.chord(same.s(i) for i in range(5))
    assert made(total.s()).result(WAIT_S) == 10
    assert made(add_to_all.s(1)).result(WAIT_S) == [1, 2, 3, 4, 5]
    mapped = nq.map(same, iter(range(4))) | total.s()
    assert [mapped().result(WAIT_S), (~mapped)] == [6, 6]


def test_a_chord_of_a_thousand():
    assert nq.chord((same.s(i) for i in range(1000)), total.s())().result(WAIT_S) == 499500


def test_a_hundred_thousand_items_join_once():
    job = nq.run(nq.map(same, range(100_000)) | total.s())
    assert job.result(WAIT_S) == 4999950000
    assert job.n == 100_001


def test_a_long_chain():
    assert nq.chain(add.s(0, 0), *(add.s(1) for _ in range(99)))().result(WAIT_S) == 99


def test_results_are_in_order_whatever_ends_first(tmp_path):
    gate = str(tmp_path / "gate")
    made = nq.group(behind.s(gate, "first"), opening.s(gate, "last"), add.s(1, 2)) | same.s()
    assert made().result(WAIT_S) == ["first", "last", 3]


def test_immutable_steps_wait_for_those_before(said):
    before = nq.group(say.si(said.path, f"before {i}") for i in range(3))
    after = nq.group(say.si(said.path, f"after {i}") for i in range(2))
    (before | say.si(said.path, "between") | after)().result(WAIT_S)
    lines = said()
    assert set(lines[:3]) == {"before 0", "before 1", "before 2"}
    assert lines[3] == "between"
    assert set(lines[4:]) == {"after 0", "after 1"}


def test_every_step_runs_once(said):
    groups = [nq.group([say.si(said.path, f"{k}{i}") for i in "abc"]) for k in range(3)]
    nq.chain(*groups, nq.group(say.si(said.path, "alone")), say.si(said.path, "end"))().result(
        WAIT_S
    )
    assert sorted(said()) == sorted([f"{k}{i}" for k in range(3) for i in "abc"] + ["alone", "end"])


def test_large_values_pass_between_steps():
    array = np.arange(1_000_000, dtype=float)
    made = same.s(array) | nq.group(same.s(), same.s()) | same.s()
    first, second = made().result(WAIT_S)
    np.testing.assert_array_equal(first, array)
    np.testing.assert_array_equal(second, array)


def test_values_of_ones_own_classes_pass_between_steps():
    class Point:
        def __init__(self, x):
            self.x = x

    made = nq.task(lambda x: Point(x)).s(3) | nq.task(lambda point: point.x + 1).s()
    assert made().result(WAIT_S) == 4


def test_what_a_member_does_to_the_value_does_not_change_it_for_others():
    def spoil(values, x):
        values.append(x)
        return values

    made = numbers.s(2) | nq.group(nq.task(spoil).s(i) for i in range(20))
    assert made().result(WAIT_S) == [[0, 1, i] for i in range(20)]


# -- the job ---------------------------------------------------------------------------------------


def test_a_workflow_is_one_job_with_its_calls_as_items(client):
    job = nq.run(nq.group(same.s(1), add.s(1, 2)) | total.s() | add.s(5), name="four calls")
    assert job.result(WAIT_S) == 9
    assert (job.n, job.state, job.counts()["SUCCESS"]) == (4, "SUCCESS", 4)
    assert [future.result() for future in job] == [1, 3, 4, 9]
    frame = job.to_frame()
    assert frame["node"].tolist() == ["same", "add", "total", "add"]
    assert frame["args"].tolist() == ["1", "1, 2", "", "5"]
    assert frame["result"].tolist() == [1, 3, 4, 9]
    assert nq.job("four calls").result() == 9
    assert client.jobs().set_index("name").loc["four calls", "n"] == 4


def test_a_workflow_goes_on_without_its_client(wires, tmp_path):
    gate = tmp_path / "gate"
    with nq.connect(wires.broker, backend=wires.backend, key=wires.key):
        nq.run(behind.s(str(gate), 1) | add.s(2) | nq.group(add.s(1), add.s(2)), name="left alone")
    gate.touch()
    with nq.connect(wires.broker, backend=wires.backend, key=wires.key):
        assert nq.job("left alone").result(WAIT_S) == [4, 5]


def test_a_call_that_loses_its_worker_is_run_again(tmp_path):
    def die_once(x, path):
        if not Path(path).exists():
            Path(path).touch()
            os._exit(1)
        return x

    made = same.s(1) | nq.task(die_once).s(str(tmp_path / "died")) | add.s(1)
    assert made().result(WAIT_S) == 2


# -- going on from a job ---------------------------------------------------------------------------


def test_a_job_that_runs_goes_on(tmp_path, said):
    gate = tmp_path / "gate"
    job = behind.starmap([(str(gate), 1), (str(gate), 2)])
    after = job | total.s() | add.s(10)
    immutable = job | say.si(said.path, "after it")
    assert (said(), after.finished) == ([], False)
    gate.touch()
    assert after.result(WAIT_S) == 13
    assert immutable.result(WAIT_S) == "after it"


def test_what_goes_on_takes_what_the_job_returns():
    single, many = same.submit(20), same.map(range(4))
    workflow = nq.run(nq.group(same.s(1), same.s(2)) | nq.map(same))
    assert (single | add.s(1)).result(WAIT_S) == 21
    assert (many | nq.group(total.s(), same.s())).result(WAIT_S) == [6, [0, 1, 2, 3]]
    assert (many | nq.map(same) | total.s()).result(WAIT_S) == 6
    assert (workflow | total.s()).result(WAIT_S) == 3


def test_what_goes_on_from_a_job_takes_its_maps_of_nothing():
    job = nq.run(same.s(1) | nq.map(same, []))
    assert (job | total.s()).result(WAIT_S) == 0


def test_what_goes_on_from_a_job_that_fails_is_not_begun(said):
    job = fail.submit() | say.si(said.path, "never")
    with pytest.raises(UpstreamFailed):
        job.result(WAIT_S)
    assert said() == []


# -- failures --------------------------------------------------------------------------------------


def test_an_exception_arrives_as_itself_and_what_follows_is_not_begun(said):
    job = nq.run(same.s(1) | fail.s() | say.si(said.path, "never") | same.s())
    with pytest.raises(TooHot) as caught:
        job.result(WAIT_S)
    assert caught.value.degrees == 99
    assert "raise TooHot" in str(caught.value.__cause__)
    assert said() == []
    assert job[0].result() == 1
    assert [type(exc).__name__ for exc in job.exceptions().values()] == [
        "TooHot",
        "UpstreamFailed",
        "UpstreamFailed",
    ]
    assert "'fail'" in str(job.exceptions()[2])
    seen = job.to_frame()[["attempts", "worker", "memory_mb", "started"]]
    assert seen["attempts"].tolist() == [1, 1, 0, 0]
    assert seen[2:].drop(columns="attempts").isna().all(axis=None)


def test_a_failing_header_lets_the_others_finish_and_no_body_begin(said):
    header = [say.s(said.path, "one"), fail.s(), say.s(said.path, "two")]
    job = nq.chord(header, say.si(said.path, "never"))()
    with pytest.raises(TooHot):
        job.result(WAIT_S)
    assert sorted(said()) == ["one", "two"]
    assert job.result(errors="drop") is None


@pytest.mark.parametrize(
    "make",
    [
        lambda bad: same.s(1) | bad | same.s(),
        lambda bad: nq.group(bad, same.s(1), bad),
        lambda bad: nq.chord([bad, same.s(1), bad, bad], total.s()),
        lambda bad: nq.chord([same.s(1)], bad),
        lambda bad: nq.chord([nq.chord([bad, same.s(1)], total.s()), same.s(2)], total.s()),
        lambda bad: nq.chord([same.s(1), bad], nq.group(total.s(), total.s())),
        lambda bad: nq.chain(same.s(1), nq.group(same.s(), bad), total.s(), same.s()),
        lambda bad: nq.map(fail, range(5)) | total.s(),
        lambda bad: numbers.s(5) | nq.map(fail) | total.s(),
    ],
    ids=[
        "chain",
        "group",
        "header",
        "body",
        "nested",
        "bodies",
        "chain of chord",
        "map",
        "fan-out",
    ],
)
def test_an_errback_runs_once(make, said):
    job = nq.run(make(fail.s()).on_error(alert.s(said.path)))
    with pytest.raises(TooHot):
        job.result(WAIT_S)
    assert said() == ["fail TooHot 99 True"]


def test_an_errback_of_a_workflow_that_succeeds_does_not_run(said):
    job = nq.run((same.s(1) | nq.group(same.s(), same.s())).on_error(alert.s(said.path)))
    assert job.result(WAIT_S) == [1, 1]
    assert (said(), job.n) == ([], 3)


def test_errbacks_get_what_they_take(said):
    made = same.s(1) | fail.s()
    made.link_error(note.s(said.path))
    made.link_error(say.si(said.path, "immutable"))
    made.link_error(alert.s(path=said.path))
    job = nq.run(made)
    with pytest.raises(TooHot):
        job.result(WAIT_S)
    assert sorted(said()) == sorted([f"{job.id}-1", "immutable", "fail TooHot 99 True"])


def test_errbacks_of_members_run_for_their_own(said):
    members = [
        fail.s().on_error(say.si(said.path, "first")),
        same.s(1).on_error(say.si(said.path, "second")),
        fail.s().on_error(say.si(said.path, "third")),
    ]
    assert nq.group(members)().wait(WAIT_S)
    assert sorted(said()) == ["first", "third"]


def test_a_link_runs_with_the_result_and_changes_nothing(said):
    first, last = same.s(1), add.s(1)
    first.link(say_last.s(said.path))
    chained = first | last
    chained.link(say_last.s(said.path) | say.si(said.path, "linked twice"))
    job = chained()
    assert job.result(WAIT_S) == 2
    assert sorted(said()) == ["1", "2", "linked twice"]


def test_links_and_errbacks_may_be_given_when_it_is_run(said):
    made = nq.chord([add.si(1, 1), add.si(2, 2)], total.s())
    assert made.apply_async(link=say_last.s(said.path)).result(WAIT_S) == 6
    job = (same.s(1) | fail.s()).apply_async(link_error=say.si(said.path, "failed"))
    assert job.wait(WAIT_S)
    assert said() == ["6", "failed"]


# -- mending and ending ----------------------------------------------------------------------------


def test_retry_goes_on_from_what_failed(said, tmp_path):
    there = tmp_path / "there"
    made = (
        nq.group(same.s(1), same.s(2))
        | nq.group(once_there.s(str(there)), total.s())
        | nq.task(lambda pair, path: (say.function(path, "end"), pair)[1]).s(said.path)
    )
    job = nq.run(made)
    with pytest.raises(FileNotFoundError):
        job.result(WAIT_S)
    assert said() == []
    there.touch()
    assert job.retry().result(WAIT_S) == [[1, 2], 3]
    assert said() == ["end"]
    assert job.to_frame()["attempts"].tolist()[:2] == [1, 1]


def test_retry_with_a_mended_task():
    job = nq.run(same.s(20) | nq.task(lambda x: x / 0, name="divide").s() | add.s(1))
    with pytest.raises(ZeroDivisionError):
        job.result(WAIT_S)
    assert job.retry(nq.task(lambda x: x / 2, name="divide")).result(WAIT_S) == 11


def test_retry_of_a_fan_out_runs_its_failed_items(tmp_path, said):
    def odd_needs(x, there, said):
        if x % 2 and not Path(there).exists():
            raise FileNotFoundError(there)
        say.function(said, x)
        return x

    there = tmp_path / "there"
    pairs = nq.task(lambda n, *paths: [(i, *paths) for i in range(n)])
    job = nq.run(pairs.s(10, str(there), said.path) | nq.starmap(nq.task(odd_needs)) | total.s())
    with pytest.raises(FileNotFoundError):
        job.result(WAIT_S)
    there.touch()
    assert job.retry().result(WAIT_S) == 45
    assert sorted(map(int, said())) == list(range(10))


def test_cancel_ends_what_has_not_begun(tmp_path, said, until):
    gate = tmp_path / "gate"
    job = nq.run(behind.s(str(gate), 1) | say.si(said.path, "never") | nq.group(same.s(), same.s()))
    until(lambda: job.counts()["STARTED"] == 1)
    assert job.cancel() == 4
    assert job.wait(WAIT_S)
    gate.touch()
    assert job.state == "REVOKED"
    # The worker's processes are free again, so whatever would have followed had its chance.
    assert same.map(range(10)).result(WAIT_S) == list(range(10))
    assert said() == []


def test_a_cancelled_workflow_goes_on_when_it_is_retried(tmp_path, until):
    gate = tmp_path / "gate"
    job = nq.run(
        same.s(1) | nq.task(lambda x, gate: behind.function(gate, x)).s(str(gate)) | add.s(1)
    )
    until(lambda: job.counts()["STARTED"] == 1)
    job.cancel()
    assert job.wait(WAIT_S)
    gate.touch()
    assert job.retry().result(WAIT_S) == 2


# -- options ---------------------------------------------------------------------------------------


def test_options_of_a_call_are_its_own(servers, wires):
    options = ("-c", "1", "-Q", "far")
    far, _ = servers.worker(wires.broker, wires.key, *options, backend=wires.backend, name="far")
    parent = nq.task(lambda: os.getppid())
    job = nq.run(parent.si() | parent.si().set(queue="far") | parent.si())
    assert job.wait(WAIT_S)
    assert [future.result() == far.pid for future in job] == [False, True, False]


def test_bound_tasks_and_their_retries_are_nodes_like_others():
    @nq.task(bind=True, max_retries=3, default_retry_delay=0)
    def patient(self, x):
        if self.request.retries < 2:
            raise self.retry()
        return x + 1

    job = nq.run(same.s(1) | patient.s() | nq.group(patient.s(), same.s()) | total.s())
    assert job.result(WAIT_S) == 5


def test_an_argument_too_many_for_a_bound_task_is_told():
    @nq.task(bind=True)
    def bound(self, x):
        return x

    with pytest.raises(TypeError, match=r"too many positional arguments"):
        nq.run(same.s(1) | bound.s(2))


def test_different_failed_steps_are_each_replaced_and_what_has_not_failed_is_not():
    @nq.task
    def north(x):
        raise TooHot(x)

    @nq.task
    def south(x):
        raise OSError(x)

    job = nq.run(nq.chord([north.si(1), south.si(2), north.si(3)], total.s()))
    assert job.wait(WAIT_S)
    with pytest.raises(UsageError, match=r"say which takes whose, job.retry\(\{'north': …"):
        job.retry(same)
    with pytest.raises(UsageError, match=r"'total' is not among what failed .*'north' \(item 0\)"):
        job.retry({"total": total})
    with pytest.raises(TypeError, match="does not take the arguments of item 1"):
        job.retry({"south": nq.task(lambda: 1)})
    times = nq.task(lambda x: 10 * x, name="times")
    assert job.retry({north: same, 1: times}).result(WAIT_S) == 1 + 20 + 3


def test_a_retry_of_what_has_not_failed_says_so(capfd):
    job = add.map([1, 2], [3, 4], name="all well")
    assert job.result(WAIT_S) == [4, 6]
    assert job.retry() is job
    assert "nothing of job 'all well' has failed, so there is nothing to retry" in (
        capfd.readouterr().err
    )
    gone = add.with_options(queue="nobody").map([1], [2], name="gone")
    gone.cancel()
    gone.retry()
    told = capfd.readouterr().err
    assert "nothing to retry, and nothing was sent; 1 item(s) were cancelled and stay so" in told
    assert "submit them as a new job" in told


def test_a_job_draws_its_steps_and_says_how_far_each_is():
    fails = nq.task(lambda x: x / 0, name="fails")
    made = numbers.s(3) | nq.map(same) | total.s() | fails.s()
    made.link_error(same.si(5))
    job = nq.run(made)
    assert job.wait(WAIT_S)
    assert [" ".join(line.split()) for line in repr(job.graph()).splitlines()] == [
        "1 numbers(3) SUCCESS",
        "2 map(same, ‹1›) SUCCESS",
        "3 total(‹2›) SUCCESS",
        "4 fails(‹3›) FAILURE",
        "5 same(5) if 1–4 fail; SUCCESS",
    ]
    assert "fails(‹3›) · FAILURE" in job.graph().svg()
    plain = same.map(range(5))
    assert plain.result(WAIT_S)
    assert repr(plain.graph()) == "1  same(…) × 5  SUCCESS"
    assert repr(nq.job(job.id).graph()) == repr(job.graph())


def test_a_large_group_of_alternating_tasks_gives_its_results_in_order():
    members = [(add.s(k, 1), same.s(k))[k % 2] for k in range(120)]
    want = [k + 1 - k % 2 for k in range(120)]
    job = nq.run(nq.group(members))
    assert job.result(WAIT_S) == want
    assert len(job.graph().draft.steps) == 2
    assert nq.run(nq.group(members) | total.s()).result(WAIT_S) == sum(want)
    broken = [*members, fail.s(), same.s(7)]
    assert nq.run(nq.group(broken)).result(WAIT_S, errors="drop") == [*want, 7]


# -- stamps and headers ----------------------------------------------------------------------------


@nq.task(bind=True)
def stamps(self, x=None, *_):
    return self.request.stamps, sorted(nq.current().stamped_headers or ())


class Visitor(StampingVisitor):
    """Celery's own example."""

    def on_signature(self, sig, **headers):
        return {"of": sig.task, "all": {"b", "a"}}


def test_stamps_arrive_in_each_calls_request():
    one = stamps.s(1)
    one.stamp(run="r7")
    assert one.delay().result(WAIT_S) == ({"run": "r7"}, ["run"])
    chained = stamps.si() | nq.group(stamps.si(), stamps.si())
    chained.stamp(Visitor(), run="r8")
    want = ({"run": "r8", "of": "stamps", "all": ["a", "b"]}, ["all", "of", "run"])
    assert nq.run(chained).result(WAIT_S) == [want, want]
    mapped = nq.map(stamps, [1, 2])
    mapped.stamp(run="r9")
    assert nq.run(mapped).result(WAIT_S) == [({"run": "r9"}, ["run"])] * 2
    assert stamps.submit(1).result(WAIT_S) == ({}, [])


def test_headers_of_a_call_are_in_its_request():
    asks = nq.task(lambda: nq.current().headers)
    assert asks.apply_async(headers={"trace": "t1", "n": 3}).result(WAIT_S)["trace"] == "t1"
    with pytest.raises(UsageError, match="what JSON can write"):
        asks.apply_async(headers={"trace": object()})


def test_a_call_has_no_id_before_it_is_sent():
    for made in (add.s(1, 2), add.s(1, 2) | same.s(), nq.group(add.s(1, 2))):
        with pytest.raises(UsageError, match="no id before it is sent"):
            made.freeze()


# -- replaced tasks --------------------------------------------------------------------------------


@nq.task(bind=True)
def add_replaced(self, x, y):
    raise self.replace(add.s(x, y))


@nq.task(bind=True)
def replace_with_chain(self, x, path):
    return self.replace(same.s(x) | nq.group(same.s(), same.s()) | say.si(path, f"replaced {x}"))


@pytest.mark.parametrize(
    ("make", "want"),
    [
        (lambda: add.s(2, 2) | add_replaced.s(8) | add.s(16), 28),
        (lambda: nq.group(add_replaced.s(1, 2), add.s(3, 4)), [3, 7]),
        (
            lambda: nq.chord(
                [
                    nq.chord([add.s(1, 2), add_replaced.s(3, 4)], add_to_all.s(5)) | total.s(),
                    nq.chord([add_replaced.s(6, 7), add.s(0, 0)], add_to_all.s(8)) | total.s(),
                ],
                add_to_all.s(9),
            ),
            [29, 38],
        ),
    ],
    ids=["in a chain", "in a group", "in nested chords"],
)
def test_a_replaced_task_returns_what_its_replacement_does(make, want):
    assert make()().result(WAIT_S) == want


def test_what_is_linked_to_a_replaced_task_gets_the_replacements_result(said):
    made = replace_with_chain.s(1, said.path)
    made.link(say_last.s(said.path))
    assert (made | same.s())().result(WAIT_S) == "replaced 1"
    assert said() == ["replaced 1", "replaced 1"]


def test_the_failure_of_a_replacement_is_the_tasks_own(said):
    @nq.task(bind=True)
    def replace_with_failure(self):
        self.replace(same.s(1) | fail.s())

    job = nq.run((replace_with_failure.s() | same.s()).on_error(say.si(said.path, "failed")))
    with pytest.raises(TooHot):
        job.result(WAIT_S)
    assert said() == ["failed"]


def test_a_task_cannot_be_replaced_with_an_empty_chain():
    @nq.task(bind=True)
    def replace_with_nothing(self):
        self.replace(nq.chain())

    with pytest.raises(nq.UsageError, match="chain without tasks"):
        replace_with_nothing.s().delay().result(WAIT_S)


# -- looking at it ---------------------------------------------------------------------------------


def test_a_call_of_a_workflow_is_run_here_to_debug_it():
    job = nq.run(same.s([1, 2]) | nq.group(add.s([3]), total.s()) | nq.map(same) | fail.s())
    assert job.wait(WAIT_S)
    assert [job.rerun(0), job.rerun(1), job.rerun(2)] == [[1, 2], [1, 2, 3], 3]
    with pytest.raises(TooHot):
        job.rerun(4)
    with pytest.raises(nq.UsageError, match="only finds the items"):
        job.rerun(3)


def test_a_frame_that_an_item_of_a_workflow_calls_with_is_told_by_its_shape():
    job = nq.run(same.s(pd.DataFrame({"a": [1, 2, 3]})) | same.s())
    assert job.wait(WAIT_S)
    assert job.to_frame()["args"][0] == "<DataFrame 3 × 1>"


def test_the_page_of_a_workflow_says_what_each_item_calls():
    job = nq.run(same.s(1) | nq.group(add.s(2), add.s(y=3)) | fail.s())
    assert job.wait(WAIT_S)
    picture = taking.take(job._live)
    assert picture.columns[:3] == ("node", "args", "state")
    assert [row.cells[:2] for row in picture.rows] == [
        ("same", "x=1"),
        ("add", "y=2"),
        ("add", "y=3"),
        ("fail", ""),
    ]
    assert picture.failures[0].call == "fail()"


def test_the_table_of_a_workflow_says_what_each_item_calls():
    job = nq.run(same.s([1, 2]) | nq.map(same) | nq.group(total.s(), add.s(y=[3])))
    assert job.wait(WAIT_S)
    rows = Table(job._live).page(Query())["rows"]
    assert [row[1] for row in rows] == [
        ["same", "[1, 2]"],
        ["same (fan-out)", ""],
        ["total", ""],
        ["add", "y=[3]"],
        ["same", "1"],
        ["same", "2"],
    ]
    sorted_rows = Table(job._live).page(Query(sort="arg:0", descending=True))["rows"]
    assert sorted_rows[0][1][0] == "total"
    found = Table(job._live).page(Query(text="fan-out"))
    assert found["total"] == 1
