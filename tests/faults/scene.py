"""Where bytes are changed on their way: a worker, a client, the wire between them, and counts."""

import contextlib
import itertools
import os
import pickle
import re
import time
from collections import Counter
from random import Random

import pytest
import redis

import nbqueue as nq
from nbqueue.core.errors import BadSignature, Expired, NbqueueError
from nbqueue.store import keys, rejections, signing
from tests.e2e.servers import until
from tests.faults import mutations

KEY, WRONG = signing.generate(), signing.generate()
_SERIAL = itertools.count()
QUARRY = "quarry"
"""A queue that no worker takes from: what is sent there can be changed before it is moved."""

PAGE = 250
"""Messages that are in the queue at a time."""

_NUMBERS = (*mutations.WAYS, "executed", "crashes", "hangs", "counted")
TITLE = f"{'what':<22}" + "".join(f"{name:>11}" for name in _NUMBERS)


class Scene:
    """A worker, a client, the wire between them, and the place where tasks leave files."""

    def __init__(self, servers, folder):
        self.url = servers.redis("s3cret-w0rd")
        self.worker, self.log = servers.worker(self.url, KEY, "-c", "2", folder=folder)
        self.client = nq.connect(self.url, key=KEY)
        self.redis = redis.Redis.from_url(self.url)
        self.ran = folder / "ran"
        self.ran.mkdir()
        self.rng = Random(20261121)
        self._made = Counter()
        """How many pieces were made in each way since the last line of the table."""
        self._before = Counter()

    def make(self, made):
        """Note that a piece is not what its sender has made, and in which way; give it."""
        way, piece = made
        self._made[way] += 1
        return piece

    def line(self, what):
        """Give the line of the table for what was made and met since the last one.

        Nothing has run, nobody has died (`is_well`), and nobody waits (each wait has its end).
        """
        executed = self.tokens()
        assert executed == [], executed
        self.is_well()
        counted = Counter(self.counted().counts)
        numbers = [self._made[way] for way in mutations.WAYS]
        numbers += [0, 0, 0, sum((counted - self._before).values())]
        self._made, self._before = Counter(), counted
        return f"{what:<22}" + "".join(f"{number:>11,}" for number in numbers)

    def mark(self, **options):
        """A task that leaves a file; each is another function."""
        folder, serial = str(self.ran), next(_SERIAL)

        def mark(token):
            import pathlib

            _ = serial
            pathlib.Path(folder, token).touch()
            return token

        return nq.task(mark, **options)

    def sent(self, submit):
        """What a submission puts into the quarry, and its job."""
        job = submit()
        return job, self.redis.rpop(QUARRY)

    def ended(self, job, timeout_s=60):
        """What came of a job; what its worker has passed on went to the quarry, and is moved on."""

        def has_ended():
            while text := self.redis.rpop(QUARRY):
                self.redis.lpush("celery", text)
            return job.wait(0.2)

        until(has_ended, timeout_s)
        return job.result(errors="return")

    def counted(self):
        """What the worker and the client say that they have refused."""
        return rejections.read(self.redis)

    def drained(self):
        """Whether the worker has nothing left to do, nor anything in its hands."""
        return not self.redis.llen("celery") and not self.redis.hlen("nbq:unacked")

    def until(self, condition, timeout_s=60):
        """Wait until the worker has done something; if it never does, show why."""
        try:
            until(condition, timeout_s)
        except AssertionError as exc:
            text = self.log.read_text()
            at = text.find("Unrecoverable")
            at = max(at - 300 if at >= 0 else len(text) - 6000, 0)
            raise AssertionError(f"{exc}\n{text[at : at + 6000]}") from None

    def is_well(self):
        """The worker lives, and goes on working; its children have not died."""
        token = f"well-{time.monotonic_ns()}"
        assert self.mark().submit(token).result(timeout=30) == token
        (self.ran / token).unlink()
        assert self.worker.poll() is None
        text = self.log.read_text()
        assert "Unrecoverable" not in text, text[-3000:]
        assert "exited with" not in text, text[-3000:]

    def tokens(self):
        """What has run since this was asked last."""
        found = sorted(path.name for path in self.ran.iterdir())
        for name in found:
            (self.ran / name).unlink()
        return found


def pages(n):
    """Give a range of as many pages as there are in ``n``."""
    assert n % PAGE == 0, f"a multiple of {PAGE}"
    return range(n // PAGE)


def wait_for(path):
    """Wait until there is a file."""
    import pathlib
    import time

    while not pathlib.Path(path).exists():
        time.sleep(0.01)
    return "through"


class _Touch:
    """What a stranger would like to be unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.open, (self.path, os.O_CREAT)


def harm(scene):
    """A pickle that leaves a file when it is loaded."""
    return pickle.dumps(_Touch(str(scene.ran / "evil")))


def evil(scene):
    """A function as it is stored, whose pickle leaves a file."""
    return b"\2\0\0\0{}P" + harm(scene)


def spec_of(job):
    """The spec of a job that was submitted here."""
    return job._live.state.spec


def other_signed_bytes(scene, jobs):
    """Bytes with good signatures that are no messages: each is put into a message's place."""
    found = []
    for job in jobs[:3]:
        for _, entry in scene.redis.xrange(keys.log(job.id)):
            found.append(entry[b"s"] + entry[b"b"])
        block = scene.redis.hget(keys.args(job.id), "0")
        if block:
            found.append(block)
        address = spec_of(job).function
        found.append(bytes.fromhex(address) + scene.redis.get(keys.function(address)))
    return found


def rewrite(scene, job_id, entries):
    """Give a log other entries; a stream's cannot be changed in place."""
    pipe = scene.redis.pipeline()
    pipe.delete(keys.log(job_id))
    for entry_id, entry in entries:
        pipe.xadd(keys.log(job_id), entry, id=entry_id)
    pipe.execute()


def read_anew(scene, job_id):
    """Read a job in a client that has not seen it."""
    with scene.client.again() as reader, pytest.raises((BadSignature, Expired)):
        reader.job(job_id).result(timeout=20)


def is_refused(scene, job_id):
    """Say whether a job's large result, as it lies in the store, is refused by who reads it.

    (Not the files that this machine keeps of it.)
    """
    for path in scene.client.blobs.folder.iterdir():
        path.unlink()
    with scene.client.again() as reader:
        try:
            reader.job(job_id).result(timeout=20)
        except BadSignature:
            return True
    return False


def read_by_hand(scene, job_id):
    """Read a log as a client does, and ask for the results."""
    from nbqueue.client.outcome import Outcomes
    from nbqueue.core.fold import JobState
    from nbqueue.core.records import JobSpec

    entries = scene.client.joblog.read(job_id)
    spec = next((e.record for e in entries if isinstance(e.record, JobSpec)), None)
    if spec is None:
        return
    state = JobState(spec)
    for entry in entries:
        state.apply(entry.record)
    outcomes = Outcomes(state, scene.client.blobs, pytest.fail)
    done = [i for i in range(state.n) if state.done[i]]
    with contextlib.suppress(NbqueueError):
        assert all(re.match("genuine-", outcomes.value(i)) for i in done)


def heard(listener, least, timeout_s=5):
    """What is heard until there is enough of it."""
    found, give_up = [], time.monotonic() + timeout_s
    while len(found) < least and time.monotonic() < give_up:
        heard = listener.get_message(ignore_subscribe_messages=True, timeout=0.2)
        if heard is not None:
            found.append(heard)
    return found
