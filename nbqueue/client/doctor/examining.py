"""Looking at all of a cluster: asks what `judging` judges. Takes seconds, whoever does not answer.

    private cluster  broker  store  key ──► workers  versions  clocks  folders  queues  jobs

What is behind the arrow can be asked only where broker and store answer.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable
from typing import Any

import redis

from nbqueue.client import connecting as clients
from nbqueue.client.client import Client
from nbqueue.client.doctor import embedded, judging
from nbqueue.client.doctor.findings import Finding, Report, bad, good
from nbqueue.client.doctor.jobs import unfinished
from nbqueue.client.remote import control
from nbqueue.client.remote.asking import Question, ask, connected
from nbqueue.client.remote.survey import Queue, Survey
from nbqueue.cluster.status import status
from nbqueue.core.errors import NbqueueError, UsageError
from nbqueue.store import rejections, vitals
from nbqueue.store.broker import broker as brokers
from nbqueue.store.connection.connection import impatient, probe, redact, store_url, translated
from nbqueue.store.signing import Keyring
from nbqueue.store.vitals import RedisFacts

_SUGGESTION = "start it, or mend the URL; firewalls and passwords are other reasons"


def doctor(
    broker: str | None = None, *, backend: str | None = None, key: str | None = None
) -> Report:
    """Look at all of a cluster, and say what works, what does not, and what mends it.

    Looked at are broker and store (whether they answer, memory, what they keep on disk), keys,
    versions and clocks of this process and of each worker, queues that nobody consumes, folders for
    large values, jobs that are stuck, and the private cluster's processes and logs. It starts
    nothing, and takes a few seconds, whoever does not answer.

    Gives a `Report`, displayed as text or HTML: ``ok`` (nothing has failed), ``findings`` (each
    with ``check``, ``status``, which is OK, WARN or FAIL, ``text`` and ``advice``), ``to_frame()``.

    Args:
        broker: As of ``nq.connect``; without one, the cluster that this process is connected to, or
            ``$NBQUEUE_BROKER``, or the private cluster.
        backend: As of ``nq.connect``.
        key: As of ``nq.connect``.

    >>> nq.doctor().ok                                      # doctest: +CLUSTER
    True
    """
    began = time.monotonic()
    found: list[Finding] = []
    client = clients.opened() if broker is None and backend is None and key is None else None
    if client is not None:
        _client(client, found)
    else:
        client = _open(broker or os.environ.get("NBQUEUE_BROKER"), backend, key, found)
        if client is not None:
            with client:
                _client(client, found)
    return Report(tuple(found), time.monotonic() - began)


def _open(
    broker: str | None, backend: str | None, key: str | None, found: list[Finding]
) -> Client | None:
    """Connect, or find out why that cannot be."""
    if broker is None:
        home = status()
        if not home.running:  # nothing is started to be looked at
            found += embedded.examine(home)
            return None
    elif trouble := _no_key(key):
        found.append(bad("key", trouble, "then look again: workers are asked only with a key"))
        found += _reached(broker, backend)
        return None
    try:
        return clients.connect_aside(broker, backend, key)
    except NbqueueError as exc:
        reached = [] if broker is None else _reached(broker, backend)
        found += reached or embedded.examine(status())
        if all(finding.status != "FAIL" for finding in found):
            found.append(bad("connection", str(exc), _SUGGESTION))
        return None


def _no_key(key: str | None) -> str:
    """Say what is wrong with the signing key; empty when it is one."""
    try:
        Keyring(key) if key is not None else Keyring.from_environment()
    except UsageError as exc:
        return str(exc)
    return ""


def _reached(broker: str, backend: str | None) -> list[Finding]:
    """Say which of broker and store answers, where there can be no client for them."""
    found = []
    store = backend or os.environ.get("NBQUEUE_BACKEND") or broker
    try:
        brokers.ping(brokers.make_app(broker), broker)
        found.append(good("broker", f"answers at {redact(broker)}"))
    except NbqueueError as exc:
        found.append(bad("broker", str(exc), _SUGGESTION))
    try:
        if store != broker or found[0].status != "FAIL":
            probe(store_url(store))
            found.append(good("store", f"answers at {redact(store)}"))
    except NbqueueError as exc:
        found.append(bad("store", str(exc), _SUGGESTION))
    return found


def _client(client: Client, found: list[Finding]) -> None:
    """Look at all that a client is connected to."""
    if client.embedded:
        found += embedded.examine(status(client.blobs.folder.parent))
    facts = _store(client, found)
    reached = _broker(client, facts, found)
    if not client.embedded:
        found.append(good("key", "there is one; workers are asked below whether it is theirs"))
    if facts is None or not reached:
        return
    try:
        with translated(client.store_url):
            _beyond(client, found)
    except NbqueueError as exc:
        found.append(bad("workers", f"could not be asked: {exc}", "look again"))


def _store(client: Client, found: list[Finding]) -> RedisFacts | None:
    try:
        with translated(client.store_url), impatient(client.store) as store:
            facts = vitals.redis_facts(store)
    except NbqueueError as exc:
        found.append(bad("store", str(exc), _SUGGESTION))
        return None
    found += judging.redis("store", client.store_url, facts)
    return facts


def _broker(client: Client, store: RedisFacts | None, found: list[Finding]) -> bool:
    try:
        with connected(client) as connection:
            pool = getattr(connection.default_channel, "pool", None)
            if pool is not None and client.broker_url.startswith(brokers.REDIS):
                facts = vitals.redis_facts(redis.Redis(connection_pool=pool))
                if store is not None and facts.run_id == store.run_id:
                    found.append(good("broker", "is the same Redis as the store"))
                else:
                    found += judging.redis("broker", client.broker_url, facts)
                return True
            latency_s = control.latency(connection)
            said: Any = getattr(connection.connection, "server_properties", {})
            found += judging.rabbitmq(client.broker_url, str(said.get("version", "")), latency_s)
    except NbqueueError as exc:
        found.append(bad("broker", str(exc), _SUGGESTION))
        return False
    return True


def _beyond(client: Client, found: list[Finding]) -> None:
    """Look at what broker and store lead to."""
    survey = control.look(client)
    summaries = [each for each in client.joblog.summaries() if each.left]
    found += judging.answering(survey, unfinished=len(summaries), embedded=client.embedded)
    found += judging.rejected(rejections.read(client.store), time.time())
    nonce = secrets.token_bytes(16)
    with impatient(client.store) as store:
        mine = vitals.mine(store, client.keyring, client.blobs.folder, nonce)
    own = [*judging.clock("this process", mine["offset_s"])]
    own += judging.disk("this process", mine["blobs"])
    versions = ", ".join(f"{name} {version}" for name, version in mine["versions"].items())
    found += own or [good("this process", versions)]
    found += _workers(client, survey, mine, nonce)
    jobs = unfinished(client, summaries, survey)
    found += judging.queues(_queues(client, survey, jobs.queues), survey.workers)
    found += jobs.findings


def _workers(client: Client, survey: Survey, mine: Any, nonce: bytes) -> Iterable[Finding]:
    if not survey.workers:
        return []
    names = tuple(worker.name for worker in survey.workers)
    signed = client.keyring.sign(vitals.QUESTION, nonce).hex()
    question = Question(
        "nbqueue_health", {"nonce": nonce.hex(), "signature": signed}, destination=names
    )
    said = ask(client, question).said
    found = []
    for name in names:
        its = said.get(name)
        found += judging.worker(name, its, mine, trusted=_trusted(client, its, nonce))
    return found


def _trusted(client: Client, said: Any, nonce: bytes) -> bool:
    try:
        signature = bytes.fromhex(said["signature"])
    except (TypeError, KeyError, ValueError):
        return False
    return client.keyring.verify(vitals.ANSWER, nonce, signature)


def _queues(client: Client, survey: Survey, more: Iterable[str]) -> list[Queue]:
    """Give the queues of the workers and of this process, and those that jobs wait in."""
    known = {queue.name for queue in survey.queues}
    return [*survey.queues, *control.queues(client, sorted(set(more) - known))]
