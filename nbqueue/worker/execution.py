"""The running of one verified message: its items, each with its own ``try``.

Owns the turns of a message: between two items, or, while one takes long, by the `Ticker`'s thread,
outcomes are written and what its time has left over is passed on. What a message is, whether it is
to be run and when it is acknowledged, is the `executor`'s.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import redis
from celery.exceptions import TaskPredicate, Terminated, TimeLimitExceeded

from nbqueue.core import settings
from nbqueue.core.errors import InfrastructureError, WorkerLost
from nbqueue.core.records import Error
from nbqueue.core.splitting import Range
from nbqueue.store import keys
from nbqueue.store.broker.message import Message
from nbqueue.store.connection import patience, refusals
from nbqueue.worker import current
from nbqueue.worker.bootsteps.leaving import is_end_of_process
from nbqueue.worker.calling import asking, interrupts, surroundings
from nbqueue.worker.calling.callee import callee, handed_in
from nbqueue.worker.calling.calls import Calls, Unreadable
from nbqueue.worker.capturing import capture
from nbqueue.worker.messages import admission, deaths, ending
from nbqueue.worker.process.workplace import Workplace
from nbqueue.worker.reporting import passing
from nbqueue.worker.reporting.failures import describe
from nbqueue.worker.reporting.ranges import NO_ITEM, RangeRun
from nbqueue.worker.reporting.reporter import Reporter
from nbqueue.worker.reporting.ticker import Ticker

log = logging.getLogger("nbqueue.worker")

_TICK_S = 2 * settings.COMMIT_INTERVAL_S
"""When the ticker looks in. Later than the executor's own turn between two items, or it would take
away a rest that the executor is about to finish or to divide better."""

_BULK_BYTES = 4_000_000
"""Most bytes of results in a record, but for the last: store, workers and clients each hold it."""

_MOST_DEATHS = 2
"""How often an item may be begun by a careful executor and not be heard of again."""

_NUMBERS = frozenset({type(None), bool, int, float})
"""Results of these types are handed in as they are, without another look."""

_HERE = os.path.dirname(__file__)  # noqa: PTH120 - pathlib is imported for nothing else here

ticker = Ticker()


class Execution:
    """The running of one verified message."""

    def __init__(
        self,
        place: Workplace,
        message: Message,
        run: RangeRun,
        reporter: Reporter,
        *,
        careful: bool,
    ) -> None:
        self._place = place
        self._message = message
        self._run = run
        self._reporter = reporter
        self._careful = careful
        chunksize = message.spec.chunksize
        self._may_split = chunksize is None or (
            message.stop - message.start > chunksize and not message.again
        )
        self._expires = message.spec.limits.expires is not None
        self._calls = Calls(place, message)
        self._begun = 0.0
        self._bulk_bytes = 0
        self.passed_on = False
        """Whether some of the message is in other messages now."""
        self.due = 0.0
        self._ticking = threading.Lock()
        self._over = False

    def perform(self) -> None:
        """Run the items.

        Raises:
            NbqueueError: the function or the arguments cannot be loaded.
        """
        message = self._message
        self._begun = time.perf_counter()
        if message.spec.chunksize is not None and self._may_split:
            self._keep_a_chunk(message.spec.chunksize)
        surroundings.settle_in(message.spec.id)
        _enter(message.spec.cwd)
        function, task = callee(self._place, message, self._run, self._reporter)
        budget_s = settings.FIRST_SPLIT_S if message.whole else settings.COMMIT_INTERVAL_S
        soon = message.whole and message.stop - message.start > 1
        self.due = self._begun + (budget_s if soon else _TICK_S)
        ticker.watch(self, soon=soon)
        with (
            current.running(self._message, self._run, self._reporter, task, self._calls.of),
            capture.descriptors(self._run, self._reporter),
        ):
            try:
                while not self._over:
                    self._loop(function, budget_s)
                    # A tick may be publishing the rest: acknowledged before it is through, what it
                    # has not sent yet would die with this process. What nobody would have is back.
                    with self._ticking:
                        self._over = self._reporter.cancelled or not self._run.n_rest
            finally:
                ticker.unwatch(self)
                with self._ticking:
                    self._over = True

    def tick(self) -> None:
        """Look in on a long item (called by the ticker's thread)."""
        self.due = time.perf_counter() + _TICK_S
        with self._ticking:
            if not self._over and self._run.current != NO_ITEM:
                if time.perf_counter() > self._run.kill_at:
                    self._kill()
                try:
                    self._reporter.tick()
                except redis.RedisError as exc:
                    self._place.outage.lost(exc, "outcomes wait here")
                    return
                self._place.outage.found()
                self._pass_on_rest()
                self._end_unwanted()

    def _end_unwanted(self) -> None:
        """End the item if it was cancelled meanwhile. What was recorded before it is written."""
        item = self._run.current
        if not self._place.tally.unwanted.has(self._reporter.message_id, item):
            return
        if self._run.interrupt is None:
            ending.hand_over(self._place, self._message, self._run, self._reporter)
        interrupts.end(self._run, item)

    def _kill(self) -> None:
        """End this process, whose item has overrun its hard limit.

        The item's failure is recorded first, and what is left of the message passed on.
        """
        item = self._run.current
        limits = self._message.spec.limits
        if limits.soft_time_limit is None:
            text = f"the item ran for longer than its limit of {limits.time_limit:g} s"
        else:
            text = (
                f"the item did not heed its interruption after {limits.soft_time_limit:g} s and "
                f"went on until {limits.time_limit:g} s"
            )
        error = TimeLimitExceeded(f"{text}: its process was killed")
        self._reporter.fail_all([(item, item + 1)], describe(error, self._place.blobs))
        ending.hand_over(self._place, self._message, self._run, self._reporter)
        os.kill(os.getpid(), signal.SIGKILL)

    def _pass_on_rest(self) -> None:
        # A worker that leaves hands on a chunk too: its size is a wish, and a promise to nobody.
        leaving = self._place.tally.leaving
        if (not self._may_split and not leaving) or not self._run.n_rest:
            return
        waiting = self._reporter.waiting()
        if waiting and not leaving:
            spent_s = time.perf_counter() - self._begun
            if spent_s < settings.COMMIT_INTERVAL_S:
                return  # nobody is idle: a short job is done before its turn is over
        self._send(self._run.give_away(), waiting)

    def _keep_a_chunk(self, chunksize: int) -> None:
        """Pass on all but the first chunk at once: its neighbours need not wait for it."""
        first = self._run.upcoming
        end = (first // chunksize + 1) * chunksize
        self._may_split = False
        self._send(self._run.give_away(end), self._reporter.waiting())

    def _send(self, rest: list[Range], waiting: int) -> None:
        if not rest or self._reporter.cancelled:
            return
        try:
            with patience.none():  # there is work to do meanwhile
                self._reporter.send_rest(rest, waiting)
        except InfrastructureError as exc:
            self._place.broker_outage.lost(exc, "items are run where they are")
            self._run.take_back(rest)
            return
        self._place.broker_outage.found()
        passing.note(self._place, self._message, self._reporter.message_id, rest[0][0])
        self.passed_on = True

    def _loop(self, function: Callable[..., Any], budget_s: float) -> None:
        clock, quick_s = time.perf_counter, surroundings.QUICK_S
        run, calls = self._run, self._calls
        deadline = clock() + budget_s
        item = run.first()
        while item != NO_ITEM:
            if self._careful and not self._may_begin(item):
                now = clock()
                item = run.failed(item, now, now, self._lost(item))
                continue
            if not calls.start <= item < calls.stop:
                calls.load(item)
            begun = clock()
            try:
                if calls.rows is not None:
                    value = function(*calls.rows[item - calls.start])
                else:
                    args, kwargs = calls.call(item - calls.start)
                    value = function(*args, **kwargs)
                if type(value) not in _NUMBERS:
                    value = handed_in(value, self._place.blobs)
                    deadline = self._due_with(value, deadline)
                ended = clock()
                if ended - begun > quick_s:
                    surroundings.bring_in()
                    ended = clock()
            except BaseException as exc:  # also SystemExit: a task's exit is not the worker's
                item = self._fell(item, begun, exc)
                ended = clock()
            else:
                item = run.succeeded(item, begun, ended, value)
            if ended >= deadline:
                self._between_items()
                deadline = clock() + settings.COMMIT_INTERVAL_S
                item = self._after_rest()

    def _due_with(self, value: Any, deadline: float) -> float:
        """Give when outcomes are due, now that a result is among them: at once when they are many.

        Whoever reads a record has to hold all of it.
        """
        if isinstance(value, (bytes, str)):
            self._bulk_bytes += len(value)
            if self._bulk_bytes > _BULK_BYTES:
                self._bulk_bytes = 0
                return 0.0
        return deadline

    def _between_items(self) -> None:
        """Write outcomes; the budget is spent, so pass on what is left, if it is worth a message.

        What one more budget would finish is run here: a message costs as much as some of it.
        """
        finished = self._reporter.flush_patiently()
        self.due = time.perf_counter() + _TICK_S
        if self._expires and admission.has_expired(self._place, self._message):
            # (Nor has the item begun that was taken for the next.)
            admission.revoke(self._place, self._message, self._run.abandon())
        whole = self._message.whole
        if whole or self._run.n_rest > finished or self._place.tally.leaving:
            self._pass_on_rest()

    def _after_rest(self) -> int:
        return NO_ITEM if self._reporter.cancelled else self._run.current

    def _fell(self, item: int, begun: float, exc: BaseException) -> int:
        """Hand in that an item has raised, and take the next one."""
        ended = time.perf_counter()
        if isinstance(exc, Unreadable):
            return self._run.failed(item, begun, ended, exc.error)
        self._give_back_at_the_end(item, exc)
        if is_end_of_process(exc):  # as Celery calls it; the process goes on with its other items
            exc = Terminated(
                "the item was running when its message was terminated (nq.control.terminate, "
                "`celery control terminate`); job.retry() runs it again"
            )
        surroundings.bring_in()
        if isinstance(exc, TaskPredicate):
            message, reporter = self._message, self._reporter
            return asking.heed(self._place, message, self._run, reporter, begun, exc, _HERE)
        return self._run.failed(item, begun, ended, describe(exc, self._place.blobs, hide=_HERE))

    # -- after a death -------------------------------------------------------------------------

    def _may_begin(self, item: int) -> bool:
        """Note that an item is begun, where a death does not erase it; say whether it may."""
        self._reporter.flush_patiently()
        self._place.tally.slot().runs(self._reporter.message_id, item, time.time())
        pipe = self._place.store.pipeline()
        key = keys.tries(self._message.spec.id)
        pipe.hincrby(key, f"{self._message.round}:{item}", 1)
        pipe.expire(key, int(settings.RESULT_EXPIRES_S + settings.KEEP_EXTRA_S))
        return int(pipe.execute()[0]) <= _MOST_DEATHS

    def _give_back_at_the_end(self, item: int, exc: BaseException) -> None:
        """Raise what ended the item if it ends the process: the broker gives it to another.

        That is nobody's fault and no death of its process, so the item is not suspected.
        """
        if not (self._place.tally.leaving and (is_end_of_process(exc) or _is_away(exc))):
            return
        self._reporter.flush()
        if self._careful:
            key = keys.tries(self._message.spec.id)
            self._place.store.hincrby(key, f"{self._message.round}:{item}", -1)
        raise exc

    def _lost(self, item: int) -> Error:
        found = deaths.noted(self._place, self._message.spec.id, self._message.round, item)
        what = deaths.told(found, _MOST_DEATHS)
        again = f"job.rerun({item}) has it happen here, and may end this process too"
        text = f"{what}. Other items were not affected; {again}"
        return describe(WorkerLost(text), self._place.blobs)


def _is_away(exc: BaseException) -> bool:
    """Say whether a result cannot be stored because the store is away: not its item's fault."""
    return isinstance(exc, (refusals.BrokerUnreachable, refusals.RefusedForNow))


def _enter(folder: str) -> None:
    """Go where the client is, so that a task finds files by the names that the notebook uses."""
    if folder and folder != os.getcwd():  # noqa: PTH109 - once a message, and pathlib is slow
        try:
            os.chdir(folder)
        except OSError as exc:
            log.warning("cannot run in %s: %s", folder, exc)
