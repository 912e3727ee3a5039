"""%%enqueue in a kernel of its own: whose output a late line joins, and what ■ ends."""

import os
from pathlib import Path

import pytest
from jupyter_client.manager import start_new_kernel

import nbqueue as nq

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.usefixtures("cluster"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


class Kernel:
    """A kernel, and what it says."""

    def __init__(self):
        env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
        self.manager, self.client = start_new_kernel(
            kernel_name="python3", env={**env, "NBQUEUE_DISPLAY": "off"}, startup_timeout=60
        )

    def send(self, code):
        """Begin to run a cell; gives the id by which its messages are known."""
        return self.client.execute(code)

    def until(self, condition):
        """The first message that satisfies a condition."""
        while not condition(heard := self.client.get_iopub_msg(timeout=30)):
            pass
        return heard

    def ended(self, cell):
        """Wait until a cell has ended."""
        self.until(lambda m: is_of(m, cell) and m["content"].get("execution_state") == "idle")

    def run(self, code):
        """Run a cell to its end."""
        self.ended(self.send(code))

    def value(self, expression):
        """Evaluate an expression; gives its repr."""
        cell = self.send(expression)
        found = self.until(
            lambda m: is_of(m, cell) and m["msg_type"] in ("execute_result", "error")
        )
        assert found["msg_type"] == "execute_result", found["content"]
        self.ended(cell)
        return found["content"]["data"]["text/plain"]

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def is_of(message, cell):
    return message["parent_header"].get("msg_id") == cell


def says(text):
    return lambda m: m["msg_type"] == "stream" and text in m["content"]["text"]


@pytest.fixture(scope="module")
def kernel(cluster):
    made = Kernel()
    made.run(
        "from pathlib import Path as _P\n"
        "from nbqueue.client.connecting import connect_address as _c\n"
        "from nbqueue.cluster.embedded import ensure as _e\n"
        f"_c(_e(_P({str(cluster.folder)!r})))\n%load_ext nbqueue"
    )
    yield made
    made.close()


def test_a_late_warning_joins_the_cell_that_sent_the_job(kernel, gate):
    sender = kernel.send("%%enqueue job --queue nobody\nx = 1")
    # (Sent at once, and it waits: the warning may come before the sender's end, or much later.)
    later = kernel.send(
        f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(.01)"
    )
    warning = kernel.until(says("no worker listens on queue 'nobody'"))
    assert is_of(warning, sender)
    gate.touch()
    kernel.ended(later)
    kernel.run("%cancel job")


def test_interrupting_wait_ends_the_waiting_and_not_the_job(kernel, gate, until):
    kernel.run(
        f"path = {str(gate)!r}\n"
        "from nbqueue.client.follower import Follower as _F\n"
        "def _waiting(self, real=_F.waiting): print('it waits'); return real(self)\n"
        "_F.waiting = _waiting"
    )
    cell = kernel.send(
        "%%enqueue job --name waited --wait\nimport os, time\n"
        "while not os.path.exists(path): time.sleep(.01)\nz = 1"
    )
    kernel.until(says("it waits"))
    until(lambda: (nq.jobs()["name"] == "waited").any() and nq.job("waited").counts()["STARTED"])
    kernel.manager.interrupt_kernel()
    kernel.until(says("stopped waiting; job 'waited' goes on (job.cancel() ends it)"))
    error = kernel.until(lambda m: is_of(m, cell) and m["msg_type"] == "error")["content"]
    assert (error["ename"], error["traceback"]) == ("KeyboardInterrupt", ["KeyboardInterrupt"])
    kernel.ended(cell)
    assert nq.job("waited").state == "STARTED"
    gate.touch()
    assert kernel.value("job.pull()['z']") == "1"


def test_a_cell_that_listens_is_run_again_and_listens_once(kernel):
    kernel.run("import nbqueue as nq\nfrom nbqueue.client import listening\nheard = []")
    for _ in range(3):
        kernel.run("@nq.on('success')\ndef _(event): heard.append(event)\n")
    assert kernel.value("len(listening._hub._subscriptions)") == "1"
