"""What is well and what is not: facts in, findings out. Pure.

Numbers that decide are at the top. Texts name no password: addresses come redacted, and what
workers say of themselves is cut, since it comes through the broker unsigned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nbqueue.client.doctor.findings import Finding, bad, doubtful, good
from nbqueue.client.remote.survey import Queue, Survey, Worker
from nbqueue.core.spans import span
from nbqueue.store.rejections import Rejections
from nbqueue.store.vitals import RedisFacts

SLOW_S = 0.1
"""A broker that takes longer is far away, or has too much to do: each call takes several of it."""
FULL = 0.9
"""Of the memory that a Redis may use."""
LITTLE_BYTES = 1_000_000_000
HARDLY_ANY_BYTES = 100_000_000
"""Free on a disk."""
CLOCKS_S = 2.0
"""How far a machine's clock may be from the store's: nbqueue counts by the store's alone, but logs,
and Celery's own tasks with an eta or expires, are read by the machine's."""
OLD_S = 24 * 3600.0
"""A rejection that long ago is history; the store never forgets its count."""
OLDEST_REDIS = (6, 2)

_TEXT = 200
_NOEVICTION = "CONFIG SET maxmemory-policy noeviction, and maxmemory-policy in its redis.conf"


def redis(what: str, url: str, facts: RedisFacts) -> list[Finding]:
    """Judge a Redis that answers; ``what`` is ``broker``, ``store``, or both."""
    return [
        _answers(what, f"Redis {facts.version}", url, facts.latency_s),
        *_writable(what, facts),
        *_memory(what, facts),
        *_persistence(what, facts),
    ]


def _answers(what: str, name: str, url: str, latency_s: float) -> Finding:
    text = f"{name} at {url} answers in {span(latency_s)}"
    if latency_s > SLOW_S:
        return doubtful(
            what, text, "that is slow: it is far away, swaps, or runs something that takes long"
        )
    return good(what, text)


def rabbitmq(url: str, version: str, latency_s: float) -> list[Finding]:
    """Judge a broker that is not Redis and answers."""
    if not version:
        return [_answers("broker", "a broker of kombu's", url, latency_s)]
    return [_answers("broker", f"RabbitMQ {version}", url, latency_s)]


def _writable(what: str, facts: RedisFacts) -> list[Finding]:
    found = []
    if facts.role != "master":
        text = f"it is a {facts.role} of another Redis, which nobody can write to"
        found.append(bad(what, text, "connect to the primary"))
    if _version(facts.version) < OLDEST_REDIS and facts.version != "?":
        text = f"Redis {facts.version} is older than 6.2, with which nbqueue is tested"
        found.append(doubtful(what, text, "use a newer one"))
    return found


def _memory(what: str, facts: RedisFacts) -> list[Finding]:
    if not facts.most:
        return [good(what, f"uses {_bytes(facts.used)} of memory, without a limit (maxmemory 0)")]
    text = f"uses {_bytes(facts.used)} of {_bytes(facts.most)} (maxmemory)"
    found = []
    if facts.policy.startswith("allkeys"):
        why = f"{text}, and then throws away anything, jobs that run too ({facts.policy})"
        found.append(bad(what, why, _NOEVICTION))
    elif facts.policy != "noeviction":
        why = f"{text}, and then throws away results, functions and values ({facts.policy})"
        found.append(doubtful(what, why, _NOEVICTION))
    if facts.used >= FULL * facts.most:
        advice = "delete jobs (nbqueue jobs delete), or give it more: CONFIG SET maxmemory"
        full = facts.used >= 0.99 * facts.most
        found.append((bad if full else doubtful)(what, f"{text}: that is nearly all", advice))
    return found or [good(what, f"{text}; when that is full it refuses, and throws nothing away")]


def _persistence(what: str, facts: RedisFacts) -> list[Finding]:
    if facts.troubles:
        text = f"cannot write to its disk ({', '.join(facts.troubles)})"
        return [bad(what, text, "free some space, and look into its log")]
    if facts.appends:
        return [good(what, "keeps an append-only file: a restart loses nothing, or a second")]
    advice = "CONFIG SET appendonly yes, and appendonly yes in its redis.conf"
    if facts.saves:
        text = "keeps no append-only file, and saves now and then: a restart loses what is newer"
        return [doubtful(what, text, advice)]
    return [doubtful(what, "keeps nothing on disk: a restart loses all jobs and messages", advice)]


# -- workers ---------------------------------------------------------------------------------------


def answering(survey: Survey, *, unfinished: int, embedded: bool) -> list[Finding]:
    """Judge who answers."""
    found = [
        good(
            "workers",
            f"{worker.name} answers: {worker.pool}, {_many(worker.processes, 'process')}, "
            f"{worker.n_running} busy, queues {', '.join(worker.queues)}",
        )
        for worker in survey.workers
    ]
    found += [
        doubtful(
            "workers",
            f"{name} was there a moment ago and does not answer",
            "it ended, hangs, or is busy in a solo pool: look into its log; what it held comes "
            "back by itself when its lease ends",
        )
        for name in survey.silent
    ]
    if not survey.workers:
        waits = f", and {_many(unfinished, 'job')} wait{'s' if unfinished == 1 else ''} for one"
        text = f"no worker answers{waits if unfinished else ''}"
        advice = (
            "it may be starting; look again, and into worker.log (nbqueue status)"
            if embedded
            else "start one with the same broker, store and key: nbqueue worker"
        )
        found.append((bad if unfinished else doubtful)("workers", text, advice))
    return found


def worker(name: str, said: Any, mine: Mapping[str, Any], *, trusted: bool) -> list[Finding]:
    """Judge what a worker says of itself beside what this process is.

    ``trusted``: its signature is one of this process's keys.
    """
    check = f"worker {name[:_TEXT]}"
    if not isinstance(said, Mapping) or not isinstance(said.get("versions"), Mapping):
        text = "does not tell its versions and key: its nbqueue is an older one"
        return [doubtful(check, text, "install the same nbqueue there, and restart it")]
    found = [
        *_key(check, said, trusted=trusted),
        *_versions(check, said["versions"], mine["versions"]),
        *_same_store(check, said, mine),
        *_clock(check, said),
        *disk(check, said.get("blobs")),
    ]
    return found or [good(check, "has this client's key, versions, store and time")]


def _key(check: str, said: Mapping[str, Any], *, trusted: bool) -> list[Finding]:
    advice = "give all of them the same $NBQUEUE_KEY, and restart the workers"
    if trusted and said.get("knows") is True:
        return []
    if trusted:
        text = "does not accept this client's key, though this client accepts its: jobs are refused"
        return [bad(check, text, "add this client's key to the worker's $NBQUEUE_KEY")]
    if said.get("knows") is True:
        text = "signs with a key that this client does not have: its results are not believed"
        return [bad(check, text, "add the worker's key to this client's $NBQUEUE_KEY")]
    return [bad(check, "has another signing key: it refuses all that is sent from here", advice)]


def _versions(check: str, its: Mapping[str, Any], mine: Mapping[str, str]) -> list[Finding]:
    found = []
    for name, version in mine.items():
        other = str(its.get(name, "?"))[:_TEXT]
        if other == version:
            continue
        text = f"has {name} {other}, and this client {version}"
        if name == "python":
            if _version(other)[:2] != _version(version)[:2]:
                advice = "functions travel by value only between equal Python versions (3.11, 3.11)"
                found.append(bad(check, text, advice))
        elif name in ("nbqueue", "cloudpickle") or _version(other)[:2] != _version(version)[:2]:
            found.append(doubtful(check, text, f"install the same {name} on both sides"))
    return found


def _same_store(check: str, said: Mapping[str, Any], mine: Mapping[str, Any]) -> list[Finding]:
    if trouble := str(said.get("trouble", ""))[:_TEXT]:
        advice = "see that it reaches the store, by the name in its own --backend"
        return [bad(check, f"does not reach its store: {trouble}", advice)]
    if mine["store"] and said.get("store") and said["store"] != mine["store"]:
        text = "keeps jobs in another Redis than this client: nothing that it does is seen here"
        return [bad(check, text, "give both the same --backend (or $NBQUEUE_BACKEND)")]
    return []


def _clock(check: str, said: Mapping[str, Any]) -> list[Finding]:
    return clock(check, said.get("offset_s"))


def clock(check: str, offset_s: Any) -> list[Finding]:
    """Judge how far a machine's clock is from the store's."""
    if not isinstance(offset_s, (int, float)) or abs(offset_s) <= CLOCKS_S:
        return []
    way = "behind" if offset_s > 0 else "ahead of"
    text = f"its clock is {span(abs(offset_s))} {way} the store's"
    return [doubtful(check, text, "have it set by NTP; jobs go by the store's clock meanwhile")]


def rejected(found: Rejections, now: float) -> list[Finding]:
    """Judge what clients and workers have refused; ``now`` in seconds since the epoch."""
    if not found.total:
        return [good("signatures", "nothing was ever refused")]
    kinds = ", ".join(f"{n:,} x {kind}" for kind, n in sorted(found.counts.items()))
    when = "" if found.at is None else f", the last {span(max(now - found.at, 0.0))} ago"
    by = f" by {found.by[:_TEXT]}" if found.by else ""
    advice = (
        "if some worker or client has another $NBQUEUE_KEY, give it the same one; else somebody "
        "changes what is sent, or sends again what is old: who can write to broker and store?"
    )
    text = f"refused: {kinds[:_TEXT]}{when}{by}"
    if found.at is not None and now - found.at > OLD_S:
        return [good("signatures", text)]
    return [doubtful("signatures", text, advice)]


def disk(check: str, said: Any) -> list[Finding]:
    """Judge a folder for large values (`vitals.folder`)."""
    if not isinstance(said, Mapping):
        return []
    path = str(said.get("path", "?"))[:_TEXT]
    if trouble := str(said.get("trouble", ""))[:_TEXT]:
        text = f"cannot write large values to {path}: {trouble}"
        return [bad(check, text, "mend that, or point $NBQUEUE_HOME to another folder")]
    free = said.get("free", 0)
    free = free if isinstance(free, int) else 0
    text = f"has {_bytes(free)} left for large values, in {path}"
    advice = "free some space, or point $NBQUEUE_HOME to another disk"
    if free < HARDLY_ANY_BYTES:
        return [bad(check, text, advice)]
    return [doubtful(check, text, advice)] if free < LITTLE_BYTES else []


# -- queues ----------------------------------------------------------------------------------------


def queues(found: Sequence[Queue], workers: Sequence[Worker]) -> list[Finding]:
    """Judge queues: whether what waits there has somebody to wait for."""
    findings = []
    for queue in found:
        if queue.waiting and not queue.consumers:
            there = sorted({name for worker in workers for name in worker.queues})
            others = f"; workers are on {', '.join(there)}" if there else ""
            text = f"{queue.name!r} has {_many(queue.waiting, 'message')} and no consumer{others}"
            findings.append(
                doubtful(
                    "queues",
                    text,
                    f"nbqueue worker -Q {queue.name}, or nq.control.add_consumer({queue.name!r})",
                )
            )
    waiting = sum(queue.waiting for queue in found)
    if not findings:
        text = f"{_many(waiting, 'message')} in {_many(len(found), 'queue')}, each with a consumer"
        findings.append(good("queues", text if found else "none is used yet"))
    return findings


def _version(text: str) -> tuple[int, ...]:
    parts = text.split(".")[:3]
    return tuple(int(part) for part in parts if part.isdigit())


def _bytes(count: int) -> str:
    """Give a size as a person would say it.

    >>> [_bytes(n) for n in (999, 12_345, 3_400_000, 12_000_000_000)]
    ['999 B', '12 kB', '3.4 MB', '12 GB']
    """
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.2g} {unit}" if 1 <= size < 10 else f"{size:,.0f} {unit}"


def _many(count: int, word: str) -> str:
    plural = word + ("es" if word.endswith("s") else "s")
    return f"{count:,} {word if count == 1 else plural}"
