"""`Live`: a job's log as it comes in, and whoever waits for it.

The follower's thread feeds it records; it folds them (`core.fold`), and completes futures and waits
as the fold says. `Job` is the face that a person sees, and `Future` one item; both only look here.
Nothing in this file decides what happened: the log does.
"""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from nbqueue.client.completing import Ended
from nbqueue.client.follower import NOTHING_READ
from nbqueue.client.futures import Future
from nbqueue.client.inside import refuse_to_wait
from nbqueue.client.options import check_timeout
from nbqueue.client.outcome import Outcomes
from nbqueue.client.saying import say
from nbqueue.client.sent import Sent
from nbqueue.core import states
from nbqueue.core.errors import BadSignature, Expired, NbqueueError, UpstreamFailed
from nbqueue.core.fold import Changes
from nbqueue.core.records import Error, Finished, JobSpec, Record
from nbqueue.core.settings import POLL_S
from nbqueue.core.splitting import Range
from nbqueue.store.connection import patience

if TYPE_CHECKING:
    from nbqueue.client.client import Client


_LOST = frozenset({BadSignature.__name__, Expired.__name__})
"""What items fail with whose function, or what it captured, is damaged or gone."""

on_records: list[Callable[[Live, Record, Changes], None]] = []
"""Called with each record of each job and what it changed, by whichever thread reads the log and
with the job's lock held: must return at once (`listening`)."""


class Live(Sent):
    """One job's fold, futures and waits in this process."""

    def __init__(self, client: Client, spec: JobSpec) -> None:
        super().__init__(client, spec)
        self.outcomes = Outcomes(
            self.state, client.blobs, lambda entry: client.joblog.entry(spec.id, entry)
        )
        self.lock = threading.RLock()
        """Guards the fold and the table of futures; never held while the user's code runs."""
        self.cursor = NOTHING_READ
        self.feeding = threading.RLock()
        """Held while records are read and taken in, so that two threads keep their order."""
        self.replays = False
        """What is read now has happened before anybody here asked for the job."""
        self.on_reset: list[Callable[[], None]] = []
        """Called when items begin again, by whichever thread reads the log: must return at once."""
        self.on_ended: list[Ended] = []
        """Who is told which items have ended."""
        self._futures: dict[int, Future] = {}
        """Futures of items that have not ended."""
        self._ended_futures: WeakValueDictionary[int, Future] = WeakValueDictionary()
        """The others, as long as somebody holds them."""
        self._whole: list[concurrent.futures.Future[Any]] = []
        self._over = threading.Event()
        self._gone: NbqueueError | None = None
        client.lives[spec.id] = self
        if self.state.finished:  # no items: there is no outcome to wait for
            self._over.set()

    @property
    def finished(self) -> bool:
        """Whether nothing more is to come."""
        return self._gone is not None or self.state.finished

    def waits_for(self) -> str:
        """Say why no item has begun, as far as that is known without asking anybody.

        Of a job that nothing more is to come of, say that.
        """
        if isinstance(self._gone, Expired):
            return "no longer in the store"
        if self._gone is not None:
            return "how it ended cannot be read here"
        if self.client.outage.text:
            return self.client.outage.text
        eta = self.state.spec.route.eta
        if eta is not None and eta > self.client.now() and self.state.name == states.PENDING:
            moment = datetime.fromtimestamp(eta, timezone.utc).astimezone()
            return f"begins at {moment:%Y-%m-%d %H:%M:%S %Z}"
        return self.client.unheard.about(self)

    @property
    def gone(self) -> bool:
        """Whether nothing more is to come although the job has not ended."""
        return self._gone is not None

    # -- waiting -------------------------------------------------------------------------------

    def wait(self, timeout: float | None) -> bool:
        """Wait for the end; say whether it has come, and if interrupted, that the job goes on."""
        try:
            return self.wait_unsaid(timeout)
        except KeyboardInterrupt:
            say(f"stopped waiting; job {self.name!r} goes on (job.cancel() ends it)")
            raise

    def wait_unsaid(self, timeout: float | None) -> bool:
        """Wait as `wait` does; what an interrupt does to the job is the caller's to say."""
        check_timeout(timeout)
        if not self._over.is_set():
            refuse_to_wait(f"job {self.name!r}")
        deadline = None if timeout is None else time.monotonic() + timeout
        with self.client.follower.waiting(), patience.none():
            while not self._over.is_set():
                if deadline is not None and time.monotonic() >= deadline:
                    return self.finished
                self.client.check()
                if not self.client.follower.attend(_until(deadline)):
                    self._over.wait(_until(deadline))
        return True

    def future(self, i: int) -> Future:
        """Give the future of an item; the same one each time, until the item is retried."""
        with self.lock:
            future = self._futures.get(i) or self._ended_futures.get(i)
            if future is None:
                future = self._futures[i] = Future(self, i)
        self._resolve(future)
        return future

    def whole_future(self) -> concurrent.futures.Future[Any]:
        """Give a future of the whole job: done when every item is, failed when one has."""
        whole: concurrent.futures.Future[Any] = concurrent.futures.Future()
        with self.lock:
            self._whole.append(whole)
        self._settle()
        return whole

    # -- what came of it -----------------------------------------------------------------------

    def check(self) -> None:
        """Raise why nothing more is to come, when the job has not ended."""
        if self._gone is not None:
            raise self._gone

    def value(self, i: int) -> Any:
        """Give what an item returned."""
        with self.lock:
            return self.outcomes.value(i)

    def exceptions(self) -> dict[int, BaseException]:
        """Give the exceptions of failed and cancelled items, ascending."""
        with self.lock:
            bad = sorted(i for code in _BAD for i in self.state.where(code))
            found = {i: self.outcomes.exception(i) for i in bad}
        return {i: exc for i, exc in found.items() if exc is not None}

    def first_bad(self) -> int | None:
        """Give the first item that failed or was cancelled; of a workflow, the cause."""
        with self.lock:
            if self.state.stages and (i := self._first_cause()) is not None:
                return i
            bad = (self.state.states.find(code) for code in _BAD)
            return min((i for i in bad if i >= 0), default=None)

    def first_exception(self) -> BaseException | None:
        """Give the exception of the first item that failed or was cancelled."""
        with self.lock:
            first = self.first_bad()
            return None if first is None else self.outcomes.exception(first)

    def _first_cause(self) -> int | None:
        """Give the first item of a workflow that failed by itself, not because another did."""
        return next(filter(self.is_cause, self.state.where(states.FAILURE_CODE)), None)

    def is_cause(self, i: int) -> bool:
        """Say whether a failed item failed by itself, and not because something before it did."""
        error = self.state.error(i)
        return error is None or error.type != UpstreamFailed.__name__

    # -- for the follower ----------------------------------------------------------------------

    def apply(self, record: Record) -> None:
        """Take the next record of the log."""
        with self.feeding:
            with self.lock:
                changes = self._fold(record)
                unread = isinstance(record, Finished) and not self.state.finished
                touched = self._touched(changes)
                if changes.reset:
                    self._begin_again(changes.reset)
            for future in touched:
                self._resolve(future)
            if changes.reset:
                for tell in list(self.on_reset):
                    tell()
            if changes.finished:
                self._end()
            elif unread:
                self.unreadable()

    def unreadable(self) -> None:
        """Take it that the job has ended, and that how is not to be read here."""
        self._give_up(
            BadSignature(
                f"job {self.name!r} has ended, but the outcomes of some items are not signed with "
                "a key of this client; give it all keys that the workers use ($NBQUEUE_KEY takes "
                "several, separated by commas)"
            )
        )

    def _fold(self, record: Record) -> Changes:
        batches = len(self.state.batches)
        changes = self.state.apply(record)
        if len(self.state.batches) > batches:
            self.outcomes.keep(self.cursor)
            if errors := self.state.batches[-1].errors:
                self._distrust(errors)
        for ended in self.on_ended:
            ended.put(changes.done)
        if on_records and not self.replays:
            for note in tuple(on_records):
                note(self, record, changes)
        return changes

    def _distrust(self, errors: Sequence[Error]) -> None:
        """Have functions sent anew by the next submission, if the store may have lost some."""
        if any(error.kind in _LOST for error in errors) and not self.replays:
            self.client.code.forget()

    def _begin_again(self, reset: Sequence[Range]) -> None:
        for a, b in reset:
            for futures in (self._futures, self._ended_futures):
                for i in [i for i in list(futures) if a <= i < b]:
                    futures.pop(i, None)
        self._over.clear()
        self.client.follower.follow(self)  # its end, if it was read, had ended that

    def vanished(self) -> None:
        """Take it that the log is gone and nothing more will come."""
        self._give_up(
            Expired(
                f"job {self.name!r} is no longer in the store: it expired, was forgotten, or the "
                "store was emptied"
            )
        )

    def unheard(self) -> None:
        """Complete what waits for it: its client is closed, and the job goes on without."""
        with self.feeding:
            self._resolve_all()
            self._settle()

    def _give_up(self, why: NbqueueError) -> None:
        with self.feeding:
            self._gone = why
            self._resolve_all()
            self._end()

    def _resolve_all(self) -> None:
        with self.lock:
            pending = list(self._futures.values())
        for future in pending:
            self._resolve(future)

    def _end(self) -> None:
        """Tell everybody who waits. Last, because whoever wakes wants this thread's GIL."""
        if not self.finished:
            return  # a callback has begun a retry meanwhile
        self.client.follower.unfollow(self)
        self._settle()
        with self.lock:
            if self.finished:  # a callback may have begun a retry
                self._over.set()

    def _settle(self) -> None:
        """Complete the futures of the whole job, if it is at its end."""
        with self.lock:
            if not self._whole or not (self.finished or self.client.closed):
                return
            futures, self._whole = self._whole, []
        deaf = None if self.finished else self.client.deaf
        failed = self._gone or deaf or self.first_exception()
        for future in futures:
            if failed is not None:
                future.set_exception(failed)
            else:
                future.set_result(None)

    def _touched(self, changes: Changes) -> list[Future]:
        if not self._futures:
            return []
        found = []
        for a, b in changes.done:
            wanted = range(a, b) if b - a < len(self._futures) else sorted(self._futures)
            found += [self._futures[i] for i in wanted if a <= i < b and i in self._futures]
        found += [self._futures[i] for i in self.state.running if i in self._futures]
        return found

    def _resolve(self, future: Future) -> None:
        """Bring a future up to the fold; its callbacks run here."""
        with self.feeding:  # one thread at a time, or two would complete the same future
            if future.done():
                return
            code = self.state.states[future.index]
            if code == states.SUCCESS_CODE:
                future.set_result(None)
            elif code == states.FAILURE_CODE:
                future.set_exception(self.outcomes.exception(future.index))
            elif code == states.REVOKED_CODE:
                future._revoke()
            elif self._gone is not None:
                future.set_exception(self._gone)
            elif (deaf := self.client.deaf) is not None:
                future.set_exception(deaf)
            elif code == states.STARTED_CODE and not future.running():
                future.set_running_or_notify_cancel()
            if future.done():
                with self.lock:
                    if self._futures.get(future.index) is future:
                        self._ended_futures[future.index] = self._futures.pop(future.index)


_BAD = (states.FAILURE_CODE, states.REVOKED_CODE)


def _until(deadline: float | None) -> float:
    """Seconds to wait before looking up, so that the notebook's stop button is answered."""
    return POLL_S if deadline is None else max(0.0, min(POLL_S, deadline - time.monotonic()))
