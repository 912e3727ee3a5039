"""How processes ended that were running an item, for the error of an item that ends them all.

The worker's main process learns how a process of its pool has ended, and knows from the tally
which item that one was at; whoever gets the message next does not. So the main process notes it
beside the count of the item's tries (``tries`` in `store.keys`), before the broker has the message
again:

    why:ROUND:ITEM:HOW  ->  how often

Where the whole worker went down with its item (pools without processes, a machine), nobody knows.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import cast

import redis

from nbqueue.core.settings import KEEP_EXTRA_S, RESULT_EXPIRES_S
from nbqueue.store import keys
from nbqueue.store.broker.message import Unverified, decode
from nbqueue.store.messages.redelivered import Delivery
from nbqueue.worker.process.workplace import Workplace

log = logging.getLogger("nbqueue.worker")

_HOW = re.compile(
    r"exited prematurely: (?:exitcode (?P<code>\d+)|(?P<signal>signal .*?))(?: Job|\.|$)"
)
"""What billiard's WorkerLostError says."""

_HINTS = {
    "SIGKILL": "killed from outside, or by the system for the memory that it took",
    "SIGSEGV": "a crash in C code",
    "SIGABRT": "a crash in C code",
    "SIGBUS": "a crash in C code, or a file that was cut while it was mapped",
    "exit code": "os._exit, or C code that exits",
}


def note(place: Workplace, envelope: str, message_id: str, said: str) -> None:
    """Note how the process has ended that ran a message, by what Celery's error says of it."""
    running = place.tally.running().get(message_id)
    how = _how(said)
    if running is None or not how:
        return
    try:
        message = decode(place.keyring, envelope)
        key = keys.tries(message.spec.id)
        with place.store.pipeline() as pipe:
            pipe.hincrby(key, f"why:{message.round}:{running[0]}:{how}", 1)
            pipe.expire(key, int(RESULT_EXPIRES_S + KEEP_EXTRA_S))
            pipe.execute()
    except (Unverified, redis.RedisError) as exc:
        log.warning("cannot note that a process ended by %s: %s", how, exc)


def end_lease(place: Workplace, delivery: Delivery) -> None:
    """End the lease of a message whose process has died: the broker gives it to another."""
    if place.redelivered is None:
        return
    try:
        place.redelivered.over(delivery)
    except redis.RedisError as exc:
        log.warning("a message that is to be run again waits for its lease to end: %s", exc)


def noted(place: Workplace, job_id: str, round_: int, item: int) -> dict[str, int]:
    """Give how often processes have ended while they ran an item, by how they did."""
    prefix = f"why:{round_}:{item}:"
    found = cast("dict[bytes, bytes]", place.store.hgetall(keys.tries(job_id)))
    by_name = {name.decode(): int(times) for name, times in found.items()}
    return {
        name.removeprefix(prefix): times
        for name, times in sorted(by_name.items())
        if name.startswith(prefix)
    }


def told(deaths: Mapping[str, int], at_least: int) -> str:
    """Say it in a sentence.

    >>> told({"signal 11 (SIGSEGV)": 3}, 2)
    'the worker process died 3 times while it ran this item: signal 11 (SIGSEGV), a crash in C code'
    """
    count = sum(deaths.values())
    times = f"{count}" if count > at_least else f"at least {at_least}"
    text = f"the worker process died {times} times while it ran this item"
    if not deaths:
        return f"{text}, and the whole worker with it, so that how is not known"
    return f"{text}: " + "; ".join(
        _with_hint(how) + (f" ({n} times)" if len(deaths) > 1 else "") for how, n in deaths.items()
    )


def _how(said: str) -> str:
    match = _HOW.search(said)
    if match is None:
        return ""
    return match["signal"] or f"exit code {match['code']}"


def _with_hint(how: str) -> str:
    hint = next((hint for name, hint in _HINTS.items() if name in how), "")
    return f"{how}, {hint}" if hint else how
