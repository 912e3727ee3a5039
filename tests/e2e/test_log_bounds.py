"""A job's log is bounded by what it must hold, whatever its items say of themselves."""

import pytest

import nbqueue as nq
from nbqueue.core import settings
from nbqueue.core.records import Output, Progressed
from nbqueue.store import keys

pytestmark = [pytest.mark.usefixtures("cluster"), pytest.mark.timeout(60)]


@pytest.fixture
def log_of(cluster):
    client = cluster.connect()

    def read(job):
        return [entry.record for entry in client.joblog.walk(job.id)]

    return read


def test_of_an_items_progress_the_log_holds_the_latest(log_of):
    def busy(seconds):
        import time

        end, i = time.monotonic() + seconds, 0
        while time.monotonic() < end or i <= 1_000:  # (a busy machine gets less far)
            i += 1
            nq.progress(i, note="x" * 100_000)
        nq.progress(-1)
        return i

    job = nq.task(busy).submit(1.5)
    assert job.result(20) > 1_000
    (latest,) = [record for record in log_of(job) if isinstance(record, Progressed)]
    assert latest.done == job.progress()["done"][0] == -1
    assert len(log_of(job)) < 10


def test_a_job_found_again_sees_the_same_progress(cluster, gate, until):
    def waits(gate):
        import pathlib
        import time

        i = 0
        while not pathlib.Path(gate).exists():
            i += 1
            nq.progress(i, note="x" * 100_000)
            time.sleep(0.02)

    job = nq.task(waits).submit(str(gate))
    until(lambda: len(job.progress()) and job.progress()["done"][0] > 20)
    with cluster.connect():
        again = nq.job(job.id)
        assert again.progress()["done"][0] > 20
        assert len(again.progress()["note"][0]) <= 1_001
        gate.touch()
        assert again.wait(20)
    assert job.wait(20)


def test_what_many_items_report_and_print_is_all_there():
    def says(i):
        print(i)
        nq.progress(i, 2_000)

    job = nq.task(says).map(range(2_000))
    assert job.wait(30)
    assert {i: said[0]["text"] for i, said in job.outputs.items()} == {
        i: f"{i}\n" for i in range(2_000)
    }
    assert job.progress()["done"].tolist() == list(range(2_000))


def test_all_outputs_of_a_job_together_have_a_limit(cluster):
    client = cluster.connect()
    job = nq.task(lambda: 0, queue="nobody").submit()
    client.follower.open_now(job.id)

    def say(place, text, most):
        output = {"output_type": "stream", "name": "stdout", "text": text}
        return client.joblog.note(job.id, Output(0, "m", place, output), most_bytes=most).full

    assert [say(k, "x" * 1_000, 3_500) for k in range(5)] == [0, 0, 0, 1, 1]
    assert say(5, "a notice", 4_500) == 0
    client.follower.catch_up(job._live)
    assert [len(record.output["text"]) for record in job._live.state.outputs[0]] == [
        1_000, 1_000, 1_000, 8,
    ]  # fmt: skip
    assert int(client.store.hget(keys.meta(job.id), "said")) < 4_500 < settings.OUTPUT_BYTES
    job.cancel()
