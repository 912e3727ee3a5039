"""A range message from its arrival to its acknowledgement.

    verify → (consult the done-bitmap) → load function and arguments → run items, each with its own
    ``try`` → commit outcomes → give away what the time budget left over → acknowledge

An item's failure is an outcome. Whatever else goes wrong is turned into an outcome too, of all
items that the message still had: a client must never wait for something that nobody is going to do.
Only the death of this process leaves a message without outcomes, and then the broker delivers it
again.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import redis
from celery.exceptions import TaskPredicate, Terminated, TimeLimitExceeded

from nbqueue.core import settings
from nbqueue.core.description import described
from nbqueue.core.errors import BrokerUnreachable, InfrastructureError, NbqueueError, WorkerLost
from nbqueue.core.records import NO_LIMITS, Error
from nbqueue.core.splitting import Range, indices, runs_of
from nbqueue.store import keys
from nbqueue.store.broker.message import Message, Unverified, decode
from nbqueue.store.connection import patience, refusals
from nbqueue.store.messages.redelivered import Delivery
from nbqueue.worker import current
from nbqueue.worker.bootsteps.leaving import is_end_of_process
from nbqueue.worker.calling import asking, interrupts, signalling, surroundings
from nbqueue.worker.calling.callee import callee, handed_in
from nbqueue.worker.calling.calls import Calls
from nbqueue.worker.capturing import capture
from nbqueue.worker.messages import admission, deaths, ending, refusing
from nbqueue.worker.process.workplace import Workplace
from nbqueue.worker.reporting import passing
from nbqueue.worker.reporting.failures import describe
from nbqueue.worker.reporting.ranges import NO_ITEM, RangeRun
from nbqueue.worker.reporting.reporter import Reporter
from nbqueue.worker.reporting.ticker import Ticker

log = logging.getLogger("nbqueue.worker")

_OLD_S = 0.02
"""A message older than this has been queueing: its job may have been cancelled meanwhile. Younger
ones skip the question, which would cost a quick call a tenth of its time."""

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


def execute(
    place: Workplace,
    envelope: str,
    *,
    message_id: str,
    redelivered: bool,
    delivery: str = "",
    time_limits: tuple[float | None, float | None] | None = None,
    shown: object = None,
) -> None:
    """Run one message; returns when all it was responsible for is recorded or passed on.

    ``delivery``: which delivery of the message this is (`store.redelivered`).
    ``time_limits``: the soft and the hard one, if they were set while the job waited. ``shown``:
    the message's description (`core.description`), for when the message itself says nothing.
    """
    try:
        message = decode(place.keyring, envelope)
    except Unverified as exc:
        refusing.refuse(place, exc, described(shown))
        return
    if time_limits is not None:
        message = message.with_time_limits(*time_limits)
    if message.came_back:
        message, redelivered = replace(message, came_back=""), True
    if redelivered and not _taken(place, message, Delivery(message_id, delivery)):
        return
    runs: list[Range] = [(message.start, message.stop)]
    limited = message.spec.limits is not NO_LIMITS or place.tally.rates_are_set
    if redelivered or limited or message.check or place.now() - message.spec.submitted > _OLD_S:
        runs = _wanted(place, message, message_id, came_again=redelivered)
        if not runs:
            return
    if not limited:
        _run(place, message, runs, message_id, careful=redelivered)
    elif admitted := admission.admit(place, message, message_id, runs):
        try:
            _run(place, admitted.message, admitted.runs, message_id, careful=redelivered)
        finally:
            admitted.leave()


def _run(
    place: Workplace, message: Message, runs: list[Range], message_id: str, *, careful: bool
) -> None:
    """Run what is left of a message."""
    run = RangeRun(runs)
    if message.again:
        run.retried.update((attempt.item, attempt.retries) for attempt in message.again)
    reporter = Reporter(place, message, message_id, run)
    execution = Execution(place, message, run, reporter, careful=careful)
    try:
        execution.perform()
    except (redis.RedisError, BrokerUnreachable):
        raise  # they are away: the caller gives the message back to the broker
    except Exception as exc:
        # The function cannot be loaded, or this file is wrong: either way somebody is waiting.
        if not isinstance(exc, NbqueueError):
            log.exception("job %s: the executor failed", message.spec.name)
        reporter.fail_all(run.abandon(), describe(exc, place.blobs))
    reporter.flush_patiently()
    if execution.passed_on:
        passing.take_back(place, message, message_id)


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
        clock = time.perf_counter
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
            if calls.call is None:
                item = run.failed(item, clock(), clock(), calls.error)
                continue
            begun = clock()
            try:
                args, kwargs = calls.call(item - calls.start)
                value = function(*args, **kwargs)
                if type(value) not in _NUMBERS:
                    value = handed_in(value, self._place.blobs)
                    deadline = self._due_with(value, deadline)
                ended = clock()
                if ended - begun > surroundings.QUICK_S:
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
                item = self._after_rest(item)

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
            admission.revoke(self._place, self._message, self._run.give_away())
        whole = self._message.whole
        if whole or self._run.n_rest > finished or self._place.tally.leaving:
            self._pass_on_rest()

    def _after_rest(self, item: int) -> int:
        return NO_ITEM if self._reporter.cancelled else item

    def _fell(self, item: int, begun: float, exc: BaseException) -> int:
        """Hand in that an item has raised, and take the next one."""
        ended = time.perf_counter()
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
        text = f"{what}. Other items were not affected; job.rerun({item}) has it happen here"
        return describe(WorkerLost(text), self._place.blobs)


def _taken(place: Workplace, message: Message, delivery: Delivery) -> bool:
    """Say whether a message that came again may be run: whoever had it does so no more."""
    if place.redelivered is None or place.redelivered.take(message, delivery):
        return True
    log.info("job %s: a message came again that is still being run", message.spec.name)
    return False


def _wanted(
    place: Workplace, message: Message, message_id: str, *, came_again: bool
) -> list[Range]:
    """Give what there is to run of a message; when that is nothing, it is over."""
    cancelled, runs = _left_of(place, message)
    if runs and (came_again or passing.is_looked_up(place)):
        runs = passing.own(place, message, message_id, runs)
    if came_again or message.check:
        runs = _its_own(place, message, runs)
    if cancelled:
        signalling.revoked(message, [(message.start, message.stop)], expired=False)
    if not cancelled and runs:
        return runs
    admission.pass_turn(place, message)
    if came_again:  # who recorded the last of it may have died before it began what waits
        place.sequels.release()
    return []


def _left_of(place: Workplace, message: Message) -> tuple[bool, list[Range]]:
    """Say whether a message's items are wanted no longer, and which of them are not recorded."""
    cancelled, runs = place.joblog.pending(
        message.spec.id, message.round, message.start, message.stop
    )
    if cancelled is None:
        return refusing.is_of_the_past(place, message), runs  # else it is not open yet
    if cancelled:
        log.info("job %s was cancelled or forgotten: nothing is run", message.spec.name)
    return cancelled, runs


def _is_away(exc: BaseException) -> bool:
    """Say whether a result cannot be stored because the store is away: not its item's fault."""
    return isinstance(exc, (refusals.BrokerUnreachable, refusals.RefusedForNow))


def _its_own(place: Workplace, message: Message, runs: list[Range]) -> list[Range]:
    """Leave the items that this message is to run: not those whose next attempt another will."""
    retried = {attempt.item: attempt.retries for attempt in message.again}
    if message.again:
        runs = runs_of(i for i in indices(runs) if i in retried)
    return place.joblog.unretried(message.spec.id, message.round, runs, retried) if runs else runs


def _enter(folder: str) -> None:
    """Go where the client is, so that a task finds files by the names that the notebook uses."""
    if folder and folder != os.getcwd():  # noqa: PTH109 - once a message, and pathlib is slow
        try:
            os.chdir(folder)
        except OSError as exc:
            log.warning("cannot run in %s: %s", folder, exc)
