"""`Task.imap`: what never ends, or is more than one job may be, in bounded memory."""

import itertools
import signal
import threading

import pytest

import nbqueue as nq
from nbqueue.client import dispatch

pytestmark = pytest.mark.usefixtures("cluster")


@nq.task
def double(x):
    return 2 * x


@nq.task
def inverse(x):
    return 1 / x


def counted(read):
    for i in itertools.count():
        read.append(i)
        yield i


@pytest.fixture
def store():
    return nq.cluster().store


@pytest.fixture
def nothing_left(store, until):
    """Nothing of a job is in the store after a test that was not there before, but tombstones."""

    def of_jobs():
        return {key for key in store.scan_iter("nbq:{*") if not key.endswith(b":meta")}

    double.map(range(10)).result(20)
    before, jobs_before = of_jobs(), set(nq.jobs().index)
    yield
    until(lambda: of_jobs() <= before)
    assert set(nq.jobs().index) == jobs_before


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("n", [0, 1, 31, 32, 33, 5_000])
def test_it_gives_what_map_gives(n):
    assert list(double.imap(range(n))) == [2 * i for i in range(n)]


def test_it_pairs_iterables_and_stops_at_the_shortest():
    power = nq.task(pow)
    assert list(power.imap([2, 3, 4], itertools.repeat(2))) == [4, 9, 16]


@pytest.mark.usefixtures("nothing_left")
def test_what_never_ends_is_read_a_little_ahead_and_held_by_nobody(store):
    read, buffersize = [], 400
    results = double.imap(counted(read), buffersize=buffersize)
    for taken, value in enumerate(itertools.islice(results, 5_000)):
        assert value == 2 * taken
        assert len(read) <= taken + 1 + buffersize
    assert len(list(store.scan_iter("nbq:{*}:log"))) < 20
    results.close()
    assert len(read) <= 5_000 + buffersize


def test_large_arguments_are_read_less_far_ahead():
    read = []
    size = nq.task(len)
    results = size.imap((bytes([i % 256]) * 1_200_000 for i in counted(read)), buffersize=10_000)
    assert next(results) == 1_200_000
    assert len(read) < 200
    results.close()


@pytest.mark.usefixtures("nothing_left")
def test_an_item_that_raises_ends_it(until):
    results = inverse.imap(range(1, -10_000, -1))
    assert next(results) == 1.0
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == []


def test_errors_are_returned_or_dropped():
    numbers = [1, 0, 2] * 50
    assert list(inverse.imap(numbers, errors="drop")) == [1.0, 0.5] * 50
    found = list(inverse.imap(numbers, errors="return"))
    assert [type(value) for value in found] == [float, ZeroDivisionError, float] * 50


def broken(n):
    yield from range(n)
    raise LookupError("no more")


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("n", [0, 2, 100])
def test_an_iterable_that_raises_gives_what_came_before_and_then_its_error(n):
    taken = []
    with pytest.raises(LookupError, match="no more"):
        taken.extend(double.imap(broken(n)))
    assert taken == [2 * i for i in range(n)]


@pytest.mark.usefixtures("nothing_left")
def test_who_closes_it_before_the_error_of_an_iterable_cancels_what_was_sent():
    results = double.imap(broken(100))
    assert next(results) == 0
    results.close()
    assert list(results) == []


@pytest.mark.usefixtures("nothing_left")
def test_a_person_who_stops_it_cancels_what_was_sent(capsys):
    def numbers():
        yield from range(1_000)
        signal.raise_signal(signal.SIGINT)
        yield from itertools.count()

    with pytest.raises(KeyboardInterrupt):
        list(double.imap(numbers(), buffersize=100))
    assert "what was sent ahead is cancelled" in capsys.readouterr().err


def test_a_slow_iterable_is_sent_as_it_comes(monkeypatch):
    monkeypatch.setattr("nbqueue.client.streaming._GATHER_S", -1)
    names = set(nq.jobs()["name"])
    results = double.imap(range(5), name="slow", buffersize=8)
    assert next(results) == 0
    sent = set(nq.jobs()["name"]) - names
    assert "slow.0" in sent
    assert list(results) == [2, 4, 6, 8]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: double.imap(), TypeError),
        (lambda: double.imap(3), TypeError),
        (lambda: double.imap([1], [2]), TypeError),
        (lambda: double.imap([1], buffersize=0), nq.UsageError),
        (lambda: double.imap([1], errors="ignore"), nq.UsageError),
    ],
)
def test_misuse_is_told_at_the_call(call, error):
    with pytest.raises(error):
        call()


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("is_open", [False, True])
def test_who_stops_it_just_as_a_part_was_sent_leaves_nothing(monkeypatch, is_open):
    def stopped(open_job, _spec):
        if is_open:
            open_job()
        raise KeyboardInterrupt

    monkeypatch.setattr(dispatch.unsent, "opened", stopped)
    with pytest.raises(KeyboardInterrupt):
        next(double.imap(range(8)))


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("ended_first", [0, 1])
def test_who_stops_waiting_for_it_hears_of_the_cancelling_alone(
    capsys, tmp_path, gate, until, ended_first
):
    begun = tmp_path / "begun"

    @nq.task
    def held(i):
        import time

        if i >= ended_first:
            begun.touch()
            while not gate.exists():
                time.sleep(0.02)
        return i

    def stop():
        until(begun.exists)
        if ended_first:
            until(lambda: taken and results.gi_running)  # between two results it is its caller's
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    def take():
        for result in results:
            taken.append(result)

    taken, results = [], held.imap(range(8))
    stopping = threading.Thread(target=stop)
    stopping.start()
    with pytest.raises(KeyboardInterrupt):
        take()
    stopping.join()
    assert taken == list(range(ended_first))
    said = capsys.readouterr().err
    assert "what was sent ahead is cancelled" in said
    assert "goes on" not in said
