"""A job in a queue that no worker consumes says so, soon and once."""

import concurrent.futures

import pytest

import nbqueue as nq


@pytest.fixture(autouse=True)
def client(wires, worker):
    with nq.connect(wires.broker, backend=wires.backend, key=wires.key) as made:
        yield made


@pytest.fixture(scope="module")
def worker(servers, wires):
    return servers.worker(wires.broker, wires.key, "-c", "1", "-Q", "celery", backend=wires.backend)


@pytest.fixture(autouse=True)
def known(client, until):
    """The client knows the worker, and so does not take one that answers late for none."""
    until(lambda: len(nq.control.ping()))


@pytest.fixture
def said(capfd, until):
    """Waits until words are said, which is after the repr has them; gives all that was."""
    heard = []

    def wait(words):
        until(lambda: heard.append(capfd.readouterr().err) or words in "".join(heard))
        return "".join(heard)

    return wait


@nq.task
def f(x=0):
    return x


def test_whoever_waits_is_told_once_and_the_repr_says_so(said, until, servers, wires):
    job = f.apply_async(queue="gpu")
    again = f.with_options(queue="gpu").map(range(3))
    until(lambda: "no worker" in repr(job))
    with pytest.raises(
        concurrent.futures.TimeoutError, match=r"goes on \(no worker consumes queue 'gpu'\)"
    ):
        job.result(2)
    assert "PENDING, 1 item (PENDING 1); no worker consumes queue 'gpu'>" in repr(job)
    assert "; no worker consumes queue 'gpu'>" in repr(again)
    (line,) = [s for s in said("celery\n").splitlines() if "'gpu'" in s]
    assert "(nbqueue worker -Q gpu, or nq.control.add_consumer('gpu'))" in line
    assert line.endswith("; there are workers on: celery")
    servers.worker(wires.broker, wires.key, "-c", "1", "-Q", "gpu", backend=wires.backend)
    assert job.result(30) == 0
    assert again.result(30) == [0, 1, 2]
    assert "no worker" not in repr(again)
    until(lambda: "no worker" not in repr(f.apply_async(queue="gpu")))


def test_a_job_that_waits_for_its_time_or_behind_others_is_not_unheard(capfd, gate, until):
    def wait(path):
        import time

        while not path.exists():
            time.sleep(0.01)

    blocking = nq.task(wait).submit(gate)
    until(lambda: blocking.state == "STARTED")
    behind = f.submit()
    later = f.apply_async(queue="nowhere", countdown=60)
    assert behind.wait(2.5) is False
    assert "no worker" not in repr(behind) + repr(later)
    assert "no worker" not in capfd.readouterr().err
    gate.touch()
    assert behind.result(30) == 0
    blocking.result(30)
    later.cancel()


def test_a_step_in_the_middle_of_a_workflow_says_so_when_its_turn_has_come(
    said, capfd, until, gate
):
    def wait(path):
        import time

        while not path.exists():
            time.sleep(0.01)
        return 1

    job = nq.run(nq.task(wait).s(gate) | nq.group(f.s().set(queue="far"), f.s()) | f.s())
    until(lambda: job.state == "STARTED")
    assert job.wait(2.5) is False
    assert "no worker" not in repr(job) + capfd.readouterr().err  # it is not its turn yet
    gate.touch()
    until(lambda: "; no worker consumes queue 'far'>" in repr(job))
    said("no worker listens on queue 'far'")
    job.cancel()
    assert "no worker" not in repr(job)
