"""What a worker process has at hand: connections, caches, keys, its name and its clock.

Made once in each process (a forked child must not use its parent's sockets) and never before the
first message.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import OrderedDict
from functools import cached_property
from math import inf

import redis
from billiard import current_process
from celery import Celery
from celery.worker import state as worker_state

from nbqueue.core.settings import RESULT_EXPIRES_S
from nbqueue.store import rejections
from nbqueue.store.broker import transport
from nbqueue.store.broker.publisher import Publisher
from nbqueue.store.code.functions import Functions
from nbqueue.store.connection.connection import clock_offset, connect
from nbqueue.store.connection.line import Line
from nbqueue.store.connection.patience import Outage, Patience
from nbqueue.store.log.joblog import JobLog
from nbqueue.store.messages.later import Later
from nbqueue.store.messages.plans import Plans
from nbqueue.store.messages.redelivered import LEASE_S as REDELIVERED_S
from nbqueue.store.messages.redelivered import Redelivered
from nbqueue.store.messages.sequels import Sequels
from nbqueue.store.messages.turns import Turns
from nbqueue.store.schedules.schedules import Schedules
from nbqueue.store.values.arguments import Arguments, Block
from nbqueue.store.values.blobs import Blobs, cache_folder, private_folder
from nbqueue.store.values.cache import ResultCache
from nbqueue.store.wiring import Wiring, settle
from nbqueue.worker.process.tally import Tally

log = logging.getLogger("nbqueue.worker")

_BLOCKS = 4
"""Argument blocks kept unpickled. Fewer: a block is read anew for each of its slow items; more:
a worker holds arguments in memory that it is done with."""


_LEAVING_S = 5.0
"""How long outcomes wait for a store that is away when their worker is to leave."""

_RATES_S = 0.5
"""How old the rates may be that were set from outside, where a task has none of its own."""


class Workplace:
    """One process's share of the wiring."""

    def __init__(self, wiring: Wiring, app: Celery, tally: Tally) -> None:
        settle(wiring)  # for a task that sends more work
        self.tally = tally
        self.shared = getattr(current_process(), "index", None) is None
        """Whether items of other messages run in this process, too (threads, solo)."""
        self.publisher = Publisher(app, wiring.keyring)
        self.outage = Outage(log.warning)
        self.broker_outage = Outage(log.warning)
        self.keyring = wiring.keyring
        self.name = f"{socket.gethostname()}/{os.getpid()}"
        self.store: redis.Redis = connect(
            wiring.store_url, client_name=f"nbqueue-worker-{os.getpid()}"
        )
        self.line = Line(self.store)
        """For a range's own small commands."""
        wiring.keyring.on_refusal = rejections.counter(self.store, self.name)
        self.blobs = Blobs(
            self.store,
            wiring.keyring,
            private_folder(wiring.folder / "blobs") if wiring.folder else cache_folder(),
            remote=wiring.folder is None,
        )
        self.joblog = JobLog(self.store, wiring.keyring, expires_s=RESULT_EXPIRES_S)
        self.turns = Turns(self.store)
        self.redelivered: Redelivered | None = None
        if not transport.has_leases(app):
            lease_s = min(wiring.lease_s, REDELIVERED_S)
            self.redelivered = Redelivered(self.store, wiring.keyring, lease_s=lease_s)
        self._rates: tuple[float, int, dict[str, float]] = (-inf, 0, {})
        self.later = Later(
            self.store,
            wiring.keyring,
            self.joblog,
            self.publisher,
            now=self.now,
            name=self.name,
        )
        self.plans = Plans(self.joblog, self.later, self.blobs, now=self.now, name=self.name)
        self.sequels = Sequels(
            self.store,
            wiring.keyring,
            self.joblog,
            self.later,
            self.blobs,
            plans=self.plans,
            now=self.now,
            name=self.name,
        )
        self.functions = Functions(self.store, wiring.keyring, self.blobs)
        self.cache = ResultCache(self.store, wiring.keyring)
        self.arguments = Arguments(self.store, wiring.keyring, self.blobs)
        self._blocks: OrderedDict[tuple[str, int, int], Block] = OrderedDict()

    def patience(self) -> Patience:
        """Give the patience of a thread that has outcomes in hand: they may be hours of work.

        A worker that is to leave waits for a moment only: its messages go back to the broker.
        """
        began = time.monotonic()
        return Patience(
            inf,
            self.outage,
            refusals=True,
            enough=lambda: self._leaves() and time.monotonic() - began > _LEAVING_S,
        )

    def _leaves(self) -> bool:
        # (In a solo pool the process that waits here is the one that would hear of it.)
        told = (worker_state.should_stop, worker_state.should_terminate)
        return self.tally.leaving or any(code not in (None, False) for code in told)

    def block(self, job_id: str, number: int, round_: int) -> Block:
        """Give an argument block, from the last few or from the store.

        Each round reads its own: the one before may have changed its arguments in place.
        """
        key = (job_id, number, round_)
        if key not in self._blocks:
            self._blocks[key] = self.arguments.get(job_id, number)
            if len(self._blocks) > _BLOCKS:
                self._blocks.popitem(last=False)
                self.blobs.release()
        self._blocks.move_to_end(key)
        return self._blocks[key]

    def rate_from_outside(self, task: str) -> float | None:
        """Give the rate that was set for a task while it runs, as of a moment ago."""
        read, known, rates = self._rates
        told = self.tally.rates_are_set
        if told != known or time.monotonic() - read > _RATES_S:
            rates = self.turns.rates()
            self._rates = (time.monotonic(), told, rates)
        return rates.get(task)

    @cached_property
    def schedules(self) -> Schedules:
        """The store's schedules; most processes never submit one."""
        return Schedules(
            self.store,
            self.keyring,
            self.joblog,
            self.arguments,
            self.publisher,
            plans=self.plans,
            release=self.sequels.release,
            now=self.now,
        )

    @cached_property
    def clock_offset_s(self) -> float:
        """Seconds to add to this machine's clock to get the store's."""
        return clock_offset(self.store)

    def now(self) -> float:
        """Seconds since the epoch by the store's clock."""
        return time.time() + self.clock_offset_s
