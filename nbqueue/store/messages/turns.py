"""Whose turn it is: a task's ``rate_limit`` and ``concurrency`` over the whole cluster.

Celery limits a task's rate in each worker by itself, so what comes out depends on how many workers
there are. Here the counting is the store's, in one script each:

- *A token bucket* for the rate (as Celery's own has it, kombu's ``TokenBucket``): an item takes a
  token, and tokens come at the rate. It holds a tenth of a second's worth and at least one, so no
  second sees more than a tenth too many. Who finds too few is told when to come again, each at
  another time, in order.
- *Slots* for the concurrency: a message holds one while it runs items, by a lease that its
  worker's main process renews (`worker.bootsteps.releasing`) and that ends with it, in seconds. Who
  finds none is kept (`later`), and called when one is given back.

A task is known by its name, whoever submits it. Where jobs differ in what they allow, the one that
was submitted last has its way. A rate that was set from outside (``nq.control.rate_limit``)
overrules them all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, cast

import redis

from nbqueue.store import keys
from nbqueue.store.lua import source

LEASE_S = 6.0
"""How long a slot stays taken after its worker has died. Shorter: a worker that stands still for a
moment (a full disk, a laptop's lid) loses slots that it uses; longer: others wait for nothing."""

_BURST_S = 0.1
"""Tokens that gather while nobody comes. More: bursts; less: a busy cluster stays below a rate."""

_KEEP_S = 86400

_LONGEST_S = 10.0
"""Longest wait before a message asks again: by then the rate may be another one."""


class Grant(NamedTuple):
    """An answer of the bucket."""

    n: int
    """How many items may begin."""
    due: float | None
    """When to ask for the others (by the store's clock); ``None`` when that is all."""


class Turns:
    """Gives out tokens and slots."""

    def __init__(self, store: redis.Redis) -> None:
        self._store = store
        self._rate_take = store.register_script(source("rate_take"))
        self._rate_set = store.register_script(source("rate_set"))
        self._slot_take = store.register_script(source("slot_take"))
        self._slot_give = store.register_script(source("slot_give"))
        self._slot_renew = store.register_script(source("slot_renew"))

    def take_tokens(
        self,
        task: str,
        rate: float,
        submitted: float,
        wanted: int,
        *,
        waited: bool = False,
        now: float | None = None,
    ) -> Grant:
        """Ask for ``wanted`` items of a task to begin, ``rate`` of them a second.

        ``waited`` when the asker was told to come at this time. (``now`` is for tests.)
        """
        given, due = self._rate_take(
            keys=[keys.limit(task), keys.RATES, keys.LATER],
            args=[_at(now), task, rate, submitted, wanted, int(waited), _BURST_S, _LONGEST_S],
        )
        return Grant(int(given), float(due) if due else None)

    def take_slot(
        self,
        task: str,
        slots: int,
        submitted: float,
        holder: str,
        envelope: str,
        *,
        now: float | None = None,
    ) -> bool:
        """Take a slot for a message; without one, ``envelope`` is kept until there is one."""
        args = [_at(now), task, slots, submitted, holder, LEASE_S, envelope]
        return bool(self._slot_take(keys=_slot_keys(task), args=args))

    def give_slot(self, task: str, holder: str = "", *, now: float | None = None) -> None:
        """Give a slot back and call who waits; without a holder, only the latter."""
        self._slot_give(keys=_slot_keys(task), args=[_at(now), holder])

    def renew(self, holders: Iterable[str], *, now: float | None = None) -> None:
        """Renew the slots that some messages hold, if they do."""
        if args := list(holders):
            self._slot_renew(keys=[keys.HOLDERS], args=[_at(now), LEASE_S, *args])

    # -- set from outside ----------------------------------------------------------------------

    def set_rate(self, task: str, rate: float | None) -> None:
        """Overrule the rate of a task, in items a second; 0 lifts it, ``None`` overrules no more.

        Workers heed it at once where the task has a rate limit of its own, elsewhere when they are
        told of it, or within seconds.
        """
        names = [keys.RATES, keys.paced(task), keys.LATER, keys.LATER_BELL, keys.limit(task)]
        self._rate_set(keys=names, args=[task, "" if rate is None else rate])

    def paced(self, task: str, envelope: str, due: float, *, now: float) -> None:
        """Note a kept message that waits for the rate of a task: another rate calls it."""
        key = keys.paced(task)
        with self._store.pipeline() as pipe:
            pipe.zremrangebyscore(key, "-inf", f"({now}")
            pipe.zadd(key, {envelope: due})
            pipe.expire(key, _KEEP_S)
            pipe.execute()

    def rates(self) -> dict[str, float]:
        """Give the rates that were set, by task."""
        found = cast("dict[bytes, bytes]", self._store.hgetall(keys.RATES))
        return {task.decode(): float(rate) for task, rate in found.items()}


def _at(now: float | None) -> float | str:
    return "" if now is None else now


def _slot_keys(task: str) -> list[str]:
    return [
        keys.slots(task),
        keys.limit(task),
        keys.waiting(task),
        keys.LATER,
        keys.LATER_BELL,
        keys.HOLDERS,
    ]
