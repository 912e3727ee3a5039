"""What a message cannot pass on, its own process runs, whenever it hears of that."""

import os
import subprocess
import sys

from tests.e2e.rabbit_node import KEY
from tests.e2e.servers import ROOT

SCRIPT = """
import os
import sys
import threading
import time
import uuid

import nbqueue as nq
from nbqueue.core.errors import BrokerUnreachable
from nbqueue.store.broker.message import Message, encode
from nbqueue.store.signing import Keyring
from nbqueue.store.wiring import Wiring
from nbqueue.worker import executor
from nbqueue.worker.app import make_worker_app


def first_waits(i):
    while i == 0 and "ASKED" not in os.environ:
        time.sleep(0.01)
    return i


url, key = sys.argv[1:]
client = nq.connect(url, key=key)
job = nq.task(first_waits, queue="nobody").map(range(40))
app = make_worker_app(Wiring(broker_url=url, store_url=url, keyring=Keyring(key)))
place = app.nbqueue_place()


def refuse(*_):
    '''Be away, but say so only when the items that are left here have ended.'''
    os.environ["ASKED"] = "yes"
    main = threading.main_thread().ident
    while not asked and sys._current_frames()[main].f_code.co_name != "perform":
        time.sleep(0.001)
    asked.append(True)
    raise BrokerUnreachable("it is away")


asked, place.publisher.send = [], refuse
message = Message(client.joblog.opening(client.joblog.spec(job.id)), 0, 40, whole=True)
envelope = encode(place.keyring, message)
executor.execute(place, envelope, message_id=str(uuid.uuid4()), redelivered=False)
assert asked
assert job.wait(30), job
print(sum(job.result(1)))
"""


def test_a_refusal_that_comes_when_the_rest_has_ended_loses_nothing(servers):
    """A broker that stops to take messages: its workers' other connections may be well."""
    url = servers.redis("s3cret")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, url, KEY],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.split()[-1:] == ["780"], done.stdout + done.stderr
