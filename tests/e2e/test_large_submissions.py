"""What is read to be mapped over becomes a job wholly, or leaves nothing: too many items, too large
arguments, an iterable that raises, a person who presses Stop."""

import itertools
import signal

import pytest

import nbqueue as nq

pytestmark = pytest.mark.usefixtures("cluster")


@nq.task
def double(x):
    return 2 * x


@pytest.fixture
def store(cluster):
    return nq.cluster().store


@pytest.fixture
def nothing_left(store):
    """Whatever keys of jobs there are after a test were there before, and no message waits.

    (Some may be gone: a worker takes back a note of what it passed on after the job has ended.)
    """
    double.submit(1).result(20)  # what belongs to no job (the function) is there by now
    jobs_before, keys_before = set(nq.jobs().index), set(store.scan_iter("nbq:{*"))
    yield
    assert set(store.scan_iter("nbq:{*")) <= keys_before
    assert set(nq.jobs().index) == jobs_before
    assert nq.queues().loc["celery", "waiting"] == 0
    assert double.map(range(5)).result(20) == [0, 2, 4, 6, 8]


def _interrupted_after(n):
    yield from range(n)
    signal.raise_signal(signal.SIGINT)
    yield from itertools.count()


def _raising_after(n):
    yield from range(n)
    raise LookupError("no more")


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(
    "send",
    [
        lambda: double.map(itertools.count()),
        lambda: double.map(i for i in itertools.count()),
        lambda: double.map(itertools.cycle([1, 2])),
        lambda: double.starmap((i,) for i in itertools.count()),
        lambda: double.starmap(zip(itertools.count())),
        lambda: double.chunks(((i,) for i in itertools.count()), 10),
        lambda: nq.run(nq.map(double, (i for i in itertools.count()))),
        lambda: nq.run(nq.map(double, itertools.count())),
        lambda: list(nq.Executor().map(double.function, (i for i in itertools.count()))),
    ],
)
def test_an_iterable_that_does_not_end_is_refused_and_leaves_nothing(monkeypatch, send):
    monkeypatch.setenv("NBQUEUE_MAX_ITEMS", "25000")
    with pytest.raises(nq.JobTooLarge, match=r"25,000.*nothing was sent.*imap.*NBQUEUE_MAX_ITEMS"):
        send()


@pytest.mark.usefixtures("nothing_left")
def test_arguments_that_are_too_large_are_refused_and_leave_nothing(monkeypatch):
    monkeypatch.setenv("NBQUEUE_MAX_ARGUMENT_BYTES", "3000000")
    with pytest.raises(nq.JobTooLarge, match=r"bytes, and.*3,000,000.*NBQUEUE_MAX_ARGUMENT_BYTES"):
        double.map(bytes([i % 256]) * 10_000 for i in itertools.count())


def test_a_limit_is_changed_by_the_environment(monkeypatch):
    monkeypatch.setenv("NBQUEUE_MAX_ITEMS", "10")
    assert len(double.map(range(10)).result(20)) == 10
    with pytest.raises(nq.JobTooLarge, match=r"range\(0, 11\) has 11 items"):
        double.map(range(11))


@pytest.mark.usefixtures("nothing_left")
def test_an_iterable_that_raises_in_the_middle_leaves_nothing():
    with pytest.raises(LookupError, match="no more"):
        double.map(_raising_after(25_000))


@pytest.mark.usefixtures("nothing_left")
def test_a_person_who_stops_the_reading_leaves_nothing(capsys):
    with pytest.raises(KeyboardInterrupt):
        double.map(_interrupted_after(25_000))
    assert "nothing was sent" in capsys.readouterr().err


def test_who_waits_for_a_slow_iterable_is_told_why(monkeypatch, capsys):
    monkeypatch.setattr("nbqueue.client.dispatch._QUIET_S", 0)
    job = double.map(iter(range(25_000)))
    assert job.result(20)[-1] == 49_998
    said = capsys.readouterr().err
    assert said.count("items were read so far, and none runs before all were") == 1
