"""The notebook's process is killed, in each moment of a submission and while its jobs run.

What was accepted goes on, and another process finds all of it; what was not, leaves nothing that
anybody waits for.
"""

import pytest

import nbqueue as nq

pytestmark = pytest.mark.timeout(90)

TASK = """
import sys, time

@nq.task
def work(x):
    import time
    print("item", x)
    time.sleep(0.05)
    return 10 * x

def stop(*_, **__):
    print("here", flush=True)
    time.sleep(1000)
"""


@pytest.fixture
def killed(notebook):
    """Runs a script in a notebook's process, and kills that where it says that it is."""

    def kill(text, *args):
        process = notebook.start(TASK + text, *args)
        for line in process.stdout:
            if line == "here\n":
                break
        else:
            raise AssertionError(process.stderr.read())
        process.kill()
        process.wait(10)

    return kill


def _names():
    return set(nq.jobs()["name"])


def test_killed_between_argument_blocks_it_leaves_nothing(killed, cluster):
    killed("""
def rows():
    yield from range(25_000)
    stop()
work.map(rows(), name="half")
""")
    store = nq.cluster().store
    assert "half" not in _names()
    left = list(store.scan_iter("nbq:{*}:args"))
    assert left
    assert all(0 < store.ttl(key) <= 24 * 3600 for key in left if store.ttl(key) != -1)
    assert any(store.ttl(key) != -1 for key in left)
    assert nq.queues().loc["celery", "waiting"] == 0


@pytest.mark.parametrize("submit", ["work.map(range(20), name=NAME)", "work.submit(2)"])
def test_killed_between_the_message_and_the_opening_the_job_is_whole(killed, submit, until):
    before = set(nq.jobs().index)
    killed(f"""
NAME = "sent"
from nbqueue.client.connecting import default_client
default_client().joblog.open = stop
default_client().follower.open_later = stop
{submit}
""")
    (job_id,) = until(lambda: set(nq.jobs().index) - before)
    job = nq.job(job_id)
    assert job.result(20) == ([10 * x for x in range(20)] if "map" in submit else 20)
    assert any("item 2" in line for line in job.log())


def test_killed_while_it_runs_all_of_it_is_found_again(killed, gate):
    killed(
        """
@nq.task
def last_waits(x, gate=sys.argv[1]):
    import pathlib
    while x == 59 and not pathlib.Path(gate).exists():
        time.sleep(0.01)
    return work(x)

job = last_waits.map(range(60), name="running")
while job.counts()["SUCCESS"] < 3:
    time.sleep(0.01)
stop()
""",
        gate,
    )
    assert nq.jobs().set_index("name").loc["running", "state"] in ("STARTED", "PENDING")
    gate.touch()
    job = nq.job("running")
    assert job.result(30) == [10 * x for x in range(60)]
    frame = job.to_frame()
    assert frame["x"].tolist() == list(range(60))
    assert frame["result"].tolist() == [10 * x for x in range(60)]
    assert any("item 59" in line for line in job.log())


def test_killed_before_a_workflow_is_planned_it_leaves_nothing_and_after_it_all(killed, until):
    text = """
from nbqueue.client.connecting import default_client
client = default_client()
{}
nq.run(nq.group(work.s(1), work.s(2)) | nq.task(sum).s(), name="{}")
"""
    killed(text.format("client.plans.open = stop", "unplanned"))
    assert "unplanned" not in _names()
    killed(
        text.format(
            "client.sequels.release = stop; client.follower.on_sweep = time.time", "planned"
        )
    )
    assert nq.job("planned").result(30) == 30


def test_killed_before_the_message_of_a_retry_its_items_run_all_the_same(killed, tmp_path):
    killed(
        """
@nq.task
def fails(path, x):
    import pathlib
    if not pathlib.Path(path).exists():
        raise ValueError(x)
    return x

there = sys.argv[1]
job = fails.map([there] * 4, range(4), name="retried")
job.wait(20)
open(there, "w").close()
job._live.client.publisher.send = stop
job.retry()
""",
        tmp_path / "there",
    )
    assert nq.job("retried").result(40) == list(range(4))
