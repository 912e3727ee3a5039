"""Whatever somebody changes between a client and a worker: nothing of it runs, and nobody waits.

    pytest tests/faults/test_mutation.py                      two thousand changed pieces
    NBQUEUE_MUTATIONS=100000 pytest tests/faults/test_mutation.py

A worker and a client run as ever, and what they send each other is changed on the way, truncated,
spliced with other pieces, or signed with a key that is not theirs. The tasks leave a file where
they run: what was changed never does. A table at the end counts what was made of each kind, in
which way, and what came of it.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

import nbqueue as nq
from nbqueue.core.errors import BadSignature
from nbqueue.store import keys, rejections, signing
from nbqueue.store.broker import message
from nbqueue.store.signing import Keyring
from tests.e2e.servers import Servers, until
from tests.faults import mutations
from tests.faults.mutations import RESIGNED, SWAPPED
from tests.faults.scene import (
    PAGE,
    QUARRY,
    WRONG,
    Scene,
    evil,
    harm,
    heard,
    is_refused,
    other_signed_bytes,
    pages,
    read_anew,
    read_by_hand,
    rewrite,
    spec_of,
    wait_for,
)

N = int(os.environ.get("NBQUEUE_MUTATIONS", "2000"))

pytestmark = pytest.mark.timeout(120 + N // 25)


@pytest.fixture(scope="module")
def scene(home):
    folder = Path(tempfile.mkdtemp(prefix="nbq."))
    servers = Servers(folder)
    made = Scene(servers, folder)
    yield made
    made.client.close()
    servers.close()
    shutil.rmtree(folder)


@pytest.fixture
def counts(scene, record_property):
    """Say a line of the table: what was made of a kind, and that nothing came of it."""
    return lambda what: record_property("mutations", scene.line(what))


def test_changed_messages_are_never_run(scene, counts):
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
    others = [*envelopes, *other_signed_bytes(scene, jobs)]
    before, rng = scene.counted(), scene.rng
    n = N // 2
    for _ in pages(n):
        pipe = scene.redis.pipeline(transaction=False)
        for _ in range(PAGE):
            text, envelope = rng.choice(list(zip(texts, envelopes, strict=True)))
            how = rng.choice(
                [
                    mutations.changed(envelope, others, rng),
                    mutations.changed(envelope, others, rng),
                    (SWAPPED, rng.choice(others[len(envelopes) :])),
                    (RESIGNED, Keyring(WRONG).seal("message", envelope[signing.SIZE :])),
                ]
            )
            made = scene.make(how)
            assert made not in genuine
            pipe.lpush("celery", mutations.with_envelope(text, made))
        pipe.execute()
        scene.until(scene.drained)
    # (A message that a worker has just taken is for a moment in no place at all.)
    scene.until(lambda: scene.counted().counts["message"] - before.counts.get("message", 0) >= n)
    assert scene.counted().counts["message"] - before.counts.get("message", 0) == n
    for job in jobs:  # who waits for them hears of it
        failed = job.result(timeout=20, errors="return")
        errors = failed if isinstance(failed, list) else [failed]
        assert {type(error) for error in errors} == {BadSignature}, job
    counts("messages")


def test_what_is_no_message_ends_no_worker(scene, counts):
    mark = scene.mark(queue=QUARRY)
    job, text = scene.sent(lambda: mark.map(["genuine-a", "genuine-b"]))
    for _ in pages(N // 4):
        pipe = scene.redis.pipeline(transaction=False)
        for _ in range(PAGE):
            pipe.lpush("celery", scene.make(mutations.no_message(text, scene.rng)))
        pipe.execute()
        scene.until(lambda: not scene.redis.llen("celery"))
    scene.is_well()
    # An envelope that nobody has changed is the client's own, whatever is around it.
    assert set(scene.tokens()) <= {"genuine-a", "genuine-b"}
    assert scene.counted().counts[rejections.UNREADABLE] > N // 20
    assert len(job.result(timeout=20, errors="return")) == 2
    counts("around a message")


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


def test_changed_functions_are_never_called(scene, counts):
    before, n = scene.counted(), max(N // 40, 10)
    stored, sent = [], []
    for i in range(n):
        job, text = scene.sent(lambda i=i: scene.mark(queue=QUARRY).submit(f"genuine-{i}"))
        key = keys.function(spec_of(job).function)
        stored.append(scene.redis.get(key))
        sent.append((job, text, key))
    for (_, text, key), body in zip(sent, stored, strict=True):
        made = scene.rng.choice(
            [
                mutations.changed(body, stored, scene.rng),
                (SWAPPED, scene.rng.choice([other for other in stored if other != body])),
                (RESIGNED, evil(scene)),
            ]
        )
        scene.redis.set(key, scene.make(made))
        scene.redis.lpush("celery", text)
    for job, _, _ in sent:
        assert isinstance(scene.ended(job), BadSignature)
    assert scene.counted().counts["function"] - before.counts.get("function", 0) == n
    counts("functions")


def test_changed_arguments_are_never_loaded(scene, counts):
    before, n = scene.counted(), max(N // 40, 10)
    mark = scene.mark(queue=QUARRY)
    sent = [scene.sent(lambda i=i: mark.map([f"genuine-{i}"] * 3)) for i in range(n)]
    blocks = [scene.redis.hget(keys.args(job.id), "0") for job, _ in sent]
    wrong = Keyring(WRONG)
    for (job, text), block in zip(sent, blocks, strict=True):
        made = scene.rng.choice(
            [
                mutations.changed(block, blocks, scene.rng),
                (SWAPPED, scene.rng.choice([other for other in blocks if other != block])),
                (RESIGNED, wrong.seal(f"arguments 0 of job {job.id}", harm(scene))),
            ]
        )
        scene.redis.hset(keys.args(job.id), "0", scene.make(made))
        scene.redis.lpush("celery", text)
    for job, _ in sent:
        failed = scene.ended(job)
        assert [type(error) for error in failed] == [BadSignature] * 3
    found = scene.counted().counts
    assert found["argument block"] - before.counts.get("argument block", 0) >= n
    counts("argument blocks")


def test_changed_large_values_are_never_loaded(scene, counts):
    """Results, that is, which lie in the store by themselves; arguments are the same to it."""
    before, n = scene.counted(), max(N // 400, 10)
    large = nq.task(lambda token: token * 200_000)
    jobs = [large.submit(f"genuine-{i}") for i in range(2)]
    assert [len(job.result(timeout=30)) for job in jobs] == [1_800_000] * 2
    places = [key for key in scene.redis.keys(keys.blob("*")) if scene.redis.type(key) == b"list"]
    bodies = [scene.redis.lindex(key, 0) for key in places]
    for _ in range(n):
        which = scene.rng.randrange(2)
        made = scene.rng.choice(
            [
                mutations.changed(bodies[which], bodies, scene.rng),
                (SWAPPED, bodies[1 - which]),
                (RESIGNED, harm(scene)),
            ]
        )
        scene.redis.lset(places[which], 0, scene.make(made))
        assert sorted(is_refused(scene, job.id) for job in jobs) == [False, True]
        scene.redis.delete(places[which])  # (which who has met it has done, too)
        scene.redis.rpush(places[which], bodies[which])
    assert scene.counted().counts["blob"] - before.counts.get("blob", 0) >= n
    counts("large values")


def test_changed_results_and_records_are_never_loaded(scene, counts):
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
            way = RESIGNED
            body = b"L" + harm(scene) if entry[b"k"] == b"outcomes" else entry[b"b"]
            kind = entry[b"k"].decode()
            made = {b"k": entry[b"k"], b"b": body}
            made[b"s"] = wrong.sign(f"{kind} record of job {job_id}", body)
        elif rng.random() < 0.3:  # another job's
            way = SWAPPED
            other = rng.choice([log for other, log in logs.items() if other != job_id])
            made = dict(next(e for _, e in other if e[b"k"] == entry[b"k"]))
        else:
            field = rng.choice([b"k", b"b", b"s"])
            way, body = mutations.changed(entry[field], pieces, rng)
            made = {**entry, field: body}
        entry.clear()
        entry.update(scene.make((way, made)))
        rewrite(scene, job_id, entries)
        if k % 10:  # by hand: what a client does, without a client for each
            read_by_hand(scene, job_id)
        else:
            read_anew(scene, job_id)
    assert scene.client.joblog.bad_signatures >= n // 2
    assert scene.counted().counts["log record"] >= n // 2
    for job_id, entries in logs.items():
        rewrite(scene, job_id, entries)
    counts("results and the log")


def test_changed_rings_of_the_bell_do_not_disturb_who_listens(scene, counts):
    gate = scene.ran.parent / "gate"
    wait = nq.task(wait_for)
    job = wait.submit(str(gate))
    until(lambda: scene.redis.exists(keys.log(job.id)))
    listener = scene.redis.pubsub()
    listener.subscribe(keys.bell(scene.client.id))
    other = scene.mark().submit("genuine-ring")
    other.result(timeout=20)
    rings = [m["data"] for m in heard(listener, 1)]
    assert scene.tokens() == ["genuine-ring"]
    rings += [ring.replace(other.id.encode(), job.id.encode()) for ring in rings]
    for _ in range(N // 20):
        made = scene.make(mutations.changed(scene.rng.choice(rings), rings, scene.rng))
        scene.redis.publish(keys.bell(scene.client.id), made)
    gate.touch()
    assert job.result(timeout=20) == "through"
    listener.close()
    counts("rings (unsigned)")


def test_the_messages_here_are_of_this_format():
    # If messages change, what is changed above is to be looked at again.
    assert message.RANGE_TASK == "nbqueue.range"
