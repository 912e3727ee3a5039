"""Whatever somebody changes between a client and a worker: nothing of it runs, and nobody waits.

    pytest tests/faults/test_mutation.py                      some thousand changed pieces
    NBQUEUE_MUTATIONS=100000 pytest tests/faults/test_mutation.py

A worker and a client run as ever, and what they send each other is changed on the way, truncated,
spliced with other pieces, or signed with a key that is not theirs. The tasks leave a file where
they run: what was changed never does.
"""

import contextlib
import itertools
import os
import pickle
import re
import shutil
import tempfile
import time
from pathlib import Path
from random import Random

import pytest
import redis

import nbqueue as nq
from nbqueue.core.errors import BadSignature, Expired, NbqueueError
from nbqueue.store import keys, rejections, signing
from nbqueue.store.broker import message
from nbqueue.store.signing import Keyring
from tests.e2e.conftest import Servers, _until
from tests.faults import mutations

N = int(os.environ.get("NBQUEUE_MUTATIONS", "4000"))
KEY, WRONG = signing.generate(), signing.generate()
_SERIAL = itertools.count()
QUARRY = "quarry"
"""A queue that no worker takes from: what is sent there can be changed before it is moved."""

pytestmark = pytest.mark.timeout(120 + N // 25)


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

        _until(has_ended, timeout_s)
        return job.result(errors="return")

    def counted(self):
        return rejections.read(self.redis)

    def drained(self):
        """Whether the worker has nothing left to do, nor anything in its hands."""
        return not self.redis.llen("celery") and not self.redis.hlen("nbq:unacked")

    def until(self, condition, timeout_s=60):
        """Wait until the worker has done something; if it never does, show why."""
        try:
            _until(condition, timeout_s)
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


@pytest.fixture(scope="module")
def scene(home):
    folder = Path(tempfile.mkdtemp(prefix="nbq."))
    servers = Servers(folder)
    made = Scene(servers, folder)
    yield made
    made.client.close()
    servers.close()
    shutil.rmtree(folder)


def test_changed_messages_are_never_run(scene):
    mark = scene.mark(queue=QUARRY)
    jobs, texts = [], []
    for i in range(8):
        tokens = [f"genuine-{i}-{k}" for k in range(1 + i % 3)]
        job, text = scene.sent(lambda tokens=tokens: mark.map(tokens))
        jobs.append(job)
        texts.append(text)
    single, text = scene.sent(lambda: mark.submit("genuine-call"))
    jobs.append(single)
    texts.append(text)
    envelopes = [mutations.envelope_of(text) for text in texts]
    genuine = set(envelopes)
    others = [*envelopes, *_other_signed_bytes(scene, jobs)]
    before, rng = scene.counted(), scene.rng
    n = N // 2
    for _ in _pages(n):
        pipe = scene.redis.pipeline(transaction=False)
        for _ in range(_PAGE):
            text, envelope = rng.choice(list(zip(texts, envelopes, strict=True)))
            made = rng.choice(
                [
                    mutations.changed(envelope, others, rng),
                    mutations.changed(envelope, others, rng),
                    rng.choice(others[len(envelopes) :]),
                    Keyring(WRONG).seal("message", envelope[signing.SIZE :]),
                ]
            )
            assert made not in genuine
            pipe.lpush("celery", mutations.with_envelope(text, made))
        pipe.execute()
        scene.until(scene.drained)
    assert scene.tokens() == []
    counts = scene.counted().counts
    assert counts["message"] - before.counts.get("message", 0) == n
    for job in jobs:  # who waits for them hears of it
        failed = job.result(timeout=20, errors="return")
        errors = failed if isinstance(failed, list) else [failed]
        assert {type(error) for error in errors} == {BadSignature}, job
    scene.is_well()


def test_what_is_no_message_ends_no_worker(scene):
    mark = scene.mark(queue=QUARRY)
    job, text = scene.sent(lambda: mark.map(["genuine-a", "genuine-b"]))
    rng = scene.rng
    for _ in _pages(N // 4):
        pipe = scene.redis.pipeline(transaction=False)
        for _ in range(_PAGE):
            made = rng.choice(
                [
                    mutations.changed(text, [text[::-1]], rng),
                    mutations.with_other_words(text, rng),
                    mutations.with_other_body(text, rng),
                    rng.randbytes(rng.randrange(200)),
                ]
            )
            pipe.lpush("celery", made)
        pipe.execute()
        scene.until(lambda: not scene.redis.llen("celery"))
    scene.is_well()
    # An envelope that nobody has changed is the client's own, whatever is around it.
    assert set(scene.tokens()) <= {"genuine-a", "genuine-b"}
    assert scene.counted().counts[rejections.UNREADABLE] > N // 20
    assert len(job.result(timeout=20, errors="return")) == 2


def test_a_message_that_cannot_be_read_at_all_is_told_to_its_job(scene):
    mark = scene.mark(queue=QUARRY)
    for spoil in (
        lambda text: text[:-20],
        lambda text: text.replace(b'"body": "', b'"body": "A'),
        lambda text: mutations.with_envelope(text, b"x"),
        lambda text: text.replace(b"application/json", b"application/x-python-serialize"),
        lambda text: text.replace(b'"nbqueue.range"', b'"nbqueue.other"'),
    ):
        job, text = scene.sent(lambda: mark.map(["a", "b"]))
        assert spoil(text) != text
        scene.redis.lpush("celery", spoil(text))
        failed = job.result(timeout=20, errors="return")
        assert [type(error) for error in failed] == [BadSignature] * 2, spoil(text)
    assert scene.tokens() == []
    scene.is_well()


def test_changed_functions_are_never_called(scene):
    before, n = scene.counted(), max(N // 40, 10)
    stored, sent = [], []
    for i in range(n):
        job, text = scene.sent(lambda i=i: scene.mark(queue=QUARRY).submit(f"genuine-{i}"))
        key = keys.function(job.spec.function if hasattr(job, "spec") else _spec(job).function)
        stored.append(scene.redis.get(key))
        sent.append((job, text, key))
    evil = _evil(scene)
    for (_, text, key), body in zip(sent, stored, strict=True):
        made = scene.rng.choice([mutations.changed(body, stored, scene.rng), evil])
        scene.redis.set(key, made)
        scene.redis.lpush("celery", text)
    for job, _, _ in sent:
        assert isinstance(scene.ended(job), BadSignature)
    assert scene.tokens() == []
    assert scene.counted().counts["function"] - before.counts.get("function", 0) == n
    scene.is_well()


def test_changed_arguments_are_never_loaded(scene):
    before, n = scene.counted(), max(N // 40, 10)
    mark = scene.mark(queue=QUARRY)
    sent = [scene.sent(lambda i=i: mark.map([f"genuine-{i}"] * 3)) for i in range(n)]
    blocks = [scene.redis.hget(keys.args(job.id), "0") for job, _ in sent]
    wrong = Keyring(WRONG)
    for (job, text), block in zip(sent, blocks, strict=True):
        made = scene.rng.choice(
            [
                mutations.changed(block, blocks, scene.rng),
                scene.rng.choice([other for other in blocks if other != block]),  # another job's
                wrong.seal(f"arguments 0 of job {job.id}", _pickle(scene)),
            ]
        )
        scene.redis.hset(keys.args(job.id), "0", made)
        scene.redis.lpush("celery", text)
    for job, _ in sent:
        failed = scene.ended(job)
        assert [type(error) for error in failed] == [BadSignature] * 3
    assert scene.tokens() == []
    counts = scene.counted().counts
    assert counts["argument block"] - before.counts.get("argument block", 0) >= n
    scene.is_well()


def test_changed_results_and_records_are_never_loaded(scene):
    n = N // 5
    jobs = [scene.mark().map([f"genuine-{i}-{k}" for k in range(3)]) for i in range(5)]
    for job in jobs:
        job.result(timeout=30)
    assert len(scene.tokens()) == 15
    logs = {job.id: scene.redis.xrange(keys.log(job.id)) for job in jobs}
    pieces = [body for log in logs.values() for _, entry in log for body in entry.values() if body]
    signed, wrong, rng = (b"opened", b"outcomes"), Keyring(WRONG), scene.rng
    for k in range(n):
        job_id = rng.choice(list(logs))
        entries = [(entry_id, dict(entry)) for entry_id, entry in logs[job_id]]
        entry = rng.choice([entry for _, entry in entries if entry[b"k"] in signed])
        if rng.random() < 0.2:
            body = b"L" + _pickle(scene) if entry[b"k"] == b"outcomes" else entry[b"b"]
            kind = entry[b"k"].decode()
            made = {b"k": entry[b"k"], b"b": body}
            made[b"s"] = wrong.sign(f"{kind} record of job {job_id}", body)
        elif rng.random() < 0.3:  # another job's
            other = rng.choice([log for other, log in logs.items() if other != job_id])
            made = dict(next(e for _, e in other if e[b"k"] == entry[b"k"]))
        else:
            field = rng.choice([b"k", b"b", b"s"])
            made = {**entry, field: mutations.changed(entry[field], pieces, rng)}
        entry.clear()
        entry.update(made)
        _rewrite(scene, job_id, entries)
        if k % 10:  # by hand: what a client does, without a client for each
            _read_by_hand(scene, job_id)
        else:
            _read_anew(scene, job_id)
    assert scene.client.joblog.bad_signatures >= n // 2
    assert scene.tokens() == []
    assert scene.counted().counts["log record"] >= n // 2
    for job_id, entries in logs.items():
        _rewrite(scene, job_id, entries)
    scene.is_well()


def test_changed_rings_of_the_bell_do_not_disturb_who_listens(scene):
    gate = scene.ran.parent / "gate"
    wait = nq.task(_wait_for)
    job = wait.submit(str(gate))
    _until(lambda: scene.redis.exists(keys.log(job.id)))
    listener = scene.redis.pubsub()
    listener.subscribe(keys.bell(scene.client.id))
    other = scene.mark().submit("genuine-ring")
    other.result(timeout=20)
    rings = [m["data"] for m in _heard(listener, 1)]
    assert scene.tokens() == ["genuine-ring"]
    rings += [ring.replace(other.id.encode(), job.id.encode()) for ring in rings]
    for _ in range(N // 20):
        made = mutations.changed(scene.rng.choice(rings), rings, scene.rng)
        scene.redis.publish(keys.bell(scene.client.id), made)
    gate.touch()
    assert job.result(timeout=20) == "through"
    listener.close()
    scene.is_well()


# -- what the tests above are made of --------------------------------------------------------------

_PAGE = 250
"""Messages that are in the queue at a time."""


def _pages(n):
    assert n % _PAGE == 0, f"a multiple of {_PAGE}"
    return range(n // _PAGE)


def _wait_for(path):
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


def _pickle(scene):
    return pickle.dumps(_Touch(str(scene.ran / "evil")))


def _evil(scene):
    """A function as it is stored, whose pickle leaves a file."""
    return b"\2\0\0\0{}P" + _pickle(scene)


def _spec(job):
    return job._live.state.spec


def _other_signed_bytes(scene, jobs):
    """Bytes with good signatures that are no messages: each is put into a message's place."""
    found = []
    for job in jobs[:3]:
        for _, entry in scene.redis.xrange(keys.log(job.id)):
            found.append(entry[b"s"] + entry[b"b"])
        block = scene.redis.hget(keys.args(job.id), "0")
        if block:
            found.append(block)
        address = _spec(job).function
        found.append(bytes.fromhex(address) + scene.redis.get(keys.function(address)))
    return found


def _rewrite(scene, job_id, entries):
    """Give a log other entries; a stream's cannot be changed in place."""
    pipe = scene.redis.pipeline()
    pipe.delete(keys.log(job_id))
    for entry_id, entry in entries:
        pipe.xadd(keys.log(job_id), entry, id=entry_id)
    pipe.execute()


def _read_anew(scene, job_id):
    """Read a job in a client that has not seen it."""
    with scene.client.again() as reader, pytest.raises((BadSignature, Expired)):
        reader.job(job_id).result(timeout=20)


def _read_by_hand(scene, job_id):
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


def _heard(listener, least, timeout_s=5):
    found, give_up = [], time.monotonic() + timeout_s
    while len(found) < least and time.monotonic() < give_up:
        heard = listener.get_message(ignore_subscribe_messages=True, timeout=0.2)
        if heard is not None:
            found.append(heard)
    return found


def test_the_messages_here_are_of_this_format():
    # If messages change, what is changed above is to be looked at again.
    assert message.RANGE_TASK == "nbqueue.range"
