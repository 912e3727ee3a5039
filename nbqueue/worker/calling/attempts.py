"""An item's attempts: hooks around each, and another one when it raises and may be run again.

For tasks that have a behaviour (`store.code.behaviour`), and for cells with retries; any other is
called bare. A retry that is due at once is run here, by the same process; one that is due later
leaves it as a Retry, and is put off (`asking`). Hooks are called as Celery calls them:

    before_start ► the function ► on_success ► after_return
                              └─► on_failure ► after_return
                              └─► on_retry

A hook that raises after the function has ended is shown in the item's output, and changes nothing.
An item that is killed (its process dies, or the hard time limit strikes) has no more hooks.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import Any

from billiard.einfo import ExceptionInfo
from celery import Task as CeleryTask
from celery.exceptions import Ignore, Reject, Retry

from nbqueue.core import states
from nbqueue.core.records import JobSpec
from nbqueue.store.broker.message import Attempt
from nbqueue.store.code import retries
from nbqueue.store.code.behaviour import Hooks
from nbqueue.store.code.retries import Again, Policy
from nbqueue.worker import current
from nbqueue.worker.calling import asking, signalling
from nbqueue.worker.current import item_id
from nbqueue.worker.reporting.ranges import RangeRun
from nbqueue.worker.reporting.reporter import Reporter

Function = Callable[..., Any]

_HOOKS = ("before_start", "on_success", "on_failure", "on_retry", "after_return")


def _is_own(task: type, hook: str) -> bool:
    """Say whether a task does anything in a hook."""
    return getattr(task, hook) not in (getattr(Hooks, hook), getattr(CeleryTask, hook))


class Attempts:
    """A function with retries, and the hooks of a task around each attempt."""

    def __init__(
        self,
        task: Any,
        policy: Policy,
        function: Function,
        hand_in: Callable[[Any], Any],
        spec: JobSpec,
        run: RangeRun,
        reporter: Reporter,
    ) -> None:
        self._task = task
        self._policy = policy
        self._function = function
        self._hand_in = hand_in
        self._job_id = spec.id
        self._name = spec.task
        self._hooks = {name for name in _HOOKS if _is_own(type(task), name)}
        self._run = run
        self._reporter = reporter

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the item that is the current one, until it has a result or no more attempts."""
        while True:
            try:
                return self._attempt(args, kwargs)
            except Retry as again:
                if not self._is_at_once(again):
                    raise
                item = self._run.current
                count = self._run.retried[item] = self._run.retried.get(item, 0) + 1
                most = self._policy.max_retries
                said = asking.said_of(Attempt(item, count), most, asking.reason_of(again), 0)
                self._reporter.tries_again(item, said)

    def _is_at_once(self, again: Retry) -> bool:
        if isinstance(again, Again) and again.changes_call:
            return False
        now = time.time()
        return retries.due(again, now) <= now and not self._reporter.cancelled

    def _attempt(self, args: Any, kwargs: Any) -> Any:
        own = item_id(self._job_id, self._run.current) if self._hooks else ""
        try:
            if "before_start" in self._hooks:
                self._task.before_start(own, args, kwargs)
            value = self._function(*args, **kwargs)
            again = current.wanted_again()
            if again is not None:
                raise again
            handed_in = self._hand_in(value)
        except Exception as exc:  # the end of a process or a cancellation is no end of an attempt
            again = self._again(exc)
            if again is not None:
                self._retries(again, exc, own, args, kwargs)
                if again is exc:
                    raise
                raise again from exc
            if not isinstance(exc, (Ignore, Reject)):
                self._failed(exc, own, args, kwargs)
            raise
        if self._hooks:
            self._hook("on_success", value, own, args, kwargs)
            self._hook("after_return", states.SUCCESS, value, own, args, kwargs, None)
        return handed_in

    def _again(self, exc: BaseException) -> Retry | None:
        """Give the retry that an exception is, or leads to."""
        wanted = current.wanted_again()
        if wanted is not None:
            return wanted
        if isinstance(exc, Retry):
            return exc
        found = self._run.retried.get(self._run.current, 0)
        return retries.after_error(self._policy, exc, found)

    def _retries(self, again: Retry, exc: BaseException, own: str, args: Any, kwargs: Any) -> None:
        if "on_retry" not in self._hooks and not signalling.hears_of_retries():
            return  # what follows costs more than an attempt that fails at once
        why = again.reason if isinstance(again, Again) else again.exc
        about = ExceptionInfo((Retry, again, exc.__traceback__))
        self._hook("on_retry", why, own, args, kwargs, about)
        signalling.retried(self._name, why, about)

    def _failed(self, exc: BaseException, own: str, args: Any, kwargs: Any) -> None:
        if self._hooks:
            about = ExceptionInfo((type(exc), exc, exc.__traceback__))
            self._hook("on_failure", exc, own, args, kwargs, about)
            self._hook("after_return", states.FAILURE, exc, own, args, kwargs, None)
        throws = self._task.throws
        if throws and isinstance(exc, tuple(throws)):
            # As Celery logs it: an expected error has no traceback.
            raise exc.with_traceback(None) from None

    def _hook(self, name: str, *about: Any) -> None:
        if name not in self._hooks:
            return
        try:
            getattr(self._task, name)(*about)
        except Exception:
            text = f"[nbqueue: {name} raised]\n{traceback.format_exc()}"
            self._reporter.printed(self._run.current, "stderr", text)
