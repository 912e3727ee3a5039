"""`self` in a task, for whichever item this thread is running: `request`, `retry`, `update_state`.

What they tell is the worker's to record: `ItemTask.here` is set there. In the process of a person,
where a task is called like any function, nothing is running and `request` says
``called_directly``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from importlib import import_module
from typing import Any, ClassVar, NoReturn, Protocol

from celery.app.task import Context
from celery.exceptions import Ignore, MaxRetriesExceededError, Retry
from celery.utils.serialization import raise_with_context

from nbqueue.core.errors import UsageError
from nbqueue.store.code.retries import Again, asked, policy_of


class Replaced(Ignore):  # type: ignore[misc]  # Celery has no types
    """A call has given its place to a workflow, which has returned a value."""

    def __init__(self, value: Any) -> None:
        super().__init__("replaced")
        self.value = value


class Here(Protocol):
    """What the process that runs items knows of the one that a thread is running."""

    @property
    def app(self) -> Any:
        """The worker's Celery app."""

    def request(self) -> Context | None:
        """Give the item's request; ``None`` when this thread runs none."""

    def options(self) -> Mapping[str, Any]:
        """Give the options that the item's job was sent with, for more calls of its task."""

    def report(self, state: str, meta: Mapping[str, Any]) -> None:
        """Take what the item says of itself."""

    def run_again(self, again: Again) -> None:
        """Retry the item when it returns."""


class Nowhere:
    """A process that runs no items."""

    app = None

    def request(self) -> None:
        """Give nothing."""

    def options(self) -> Mapping[str, Any]:
        """Give none."""
        return {}

    def report(self, state: str, meta: Mapping[str, Any]) -> None:
        """Tell nobody."""

    def run_again(self, again: Again) -> None:
        """Do nothing: a task that is called directly is not retried."""


_TASKS = "nbqueue.client.task"
"""Where tasks are, loaded by a task that sends or composes more work, and by no other: a worker
has no use for it."""

_RESULTS = "nbqueue.client.results"


class ItemTask:
    """What every ``self`` can do."""

    here: ClassVar[Here] = Nowhere()
    behaviour: ClassVar[Callable[..., Any] | None] = None
    """What it was made of (`behaviour`)."""
    name: str | None = None
    MaxRetriesExceededError = MaxRetriesExceededError

    @property
    def request(self) -> Any:
        """The running item's request, with Celery's fields (`nbqueue.current`)."""
        return self.here.request() or Context()

    def retry(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: datetime | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
    ) -> Again:
        """Run the item again: Celery's ``self.retry``, for one item.

        The item's process goes on with other items. With ``throw=False`` the item goes on too,
        and is run again when it returns, whatever it returns.

        Args:
            args: Positional arguments of the next attempt; those of this one by default.
            kwargs: The same for keyword arguments.
            exc: Why; what the item fails with when it has been retried too often.
            throw: Raise at once.
            eta: When, at the earliest.
            countdown: In how many seconds; ``default_retry_delay`` by default.
            max_retries: How often an item may be retried, if not as often as its task says.

        Raises:
            Retry: always, unless ``throw`` is false.
            MaxRetriesExceededError: it was retried as often as it may, and there is no ``exc``.
        """
        request = self.request
        if request.called_directly:
            raise_with_context(exc or Retry("Task can be retried", None))
        wanted: dict[str, Any] = {"countdown": countdown, "eta": eta, "max_retries": max_retries}
        again = asked(policy_of(self), request.retries, exc, args=args, kwargs=kwargs, **wanted)
        if again is None:
            if exc:
                raise_with_context(exc)
            raise MaxRetriesExceededError(
                f"Can't retry {self.name}[{request.id}] args:{request.args} "
                f"kwargs:{request.kwargs}",
                task_args=request.args,
                task_kwargs=request.kwargs,
            )
        if throw:
            raise again
        self.here.run_again(again)
        return again

    def update_state(
        self,
        task_id: str | None = None,
        state: str | None = None,
        meta: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Report how far the running item is (``job.progress()`` and the live views show it).

        Args:
            task_id: Celery's; only the running item's own state can be updated.
            state: A word of one's own; shown beside the progress.
            meta: ``current`` (or ``done``) and ``total`` are the progress, the rest stands beside.
            **kwargs: Celery's, ignored.
        """
        self.here.report(state or "", dict(meta or {}))

    # -- more calls of the same task -----------------------------------------------------------

    def s(self, /, *args: Any, **kwargs: Any) -> Any:
        """Give the signature of another call: ``self.s(n - 1)``, to be sent or composed.

        It goes where the running item's job went: its queue, its limits.
        """
        return self._task().s(*args, **kwargs)

    def si(self, /, *args: Any, **kwargs: Any) -> Any:
        """Give the signature of another call that takes nothing from the step before."""
        return self._task().si(*args, **kwargs)

    def signature(
        self,
        args: Iterable[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        *starargs: Any,
        **options: Any,
    ) -> Any:
        """Give the signature of another call, with options of its own: Celery's ``signature``."""
        return self._task().signature(args, kwargs, *starargs, **options)

    subtask = signature

    def apply_async(
        self, args: Iterable[Any] = (), kwargs: dict[str, Any] | None = None, **options: Any
    ) -> Any:
        """Send another call, with options of its own; give its job. The item does not wait."""
        return self._task().apply_async(args, kwargs, **options)

    def delay(self, /, *args: Any, **kwargs: Any) -> Any:
        """Send another call; give its job. The item does not wait for it."""
        return self._task().submit(*args, **kwargs)

    def apply(
        self,
        args: Iterable[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Make another call here, now: Celery's ``apply``."""
        return self.signature(args, kwargs, **options).apply()

    def AsyncResult(self, task_id: str) -> Any:
        """Give what is known of an item or a job by its id (`nbqueue.AsyncResult`)."""
        return import_module(_RESULTS).ItemResult(task_id)

    def add_to_chord(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: Celery's way to make a chord's header larger while it runs.

        Raises:
            UsageError: always; the message says what to do instead.
        """
        raise UsageError(
            f"{self.name!r} cannot add to the chord that it is in: have a step return what to go "
            "over, plan.s() | nq.map(f) | total.s()"
        )

    def _task(self) -> Any:
        if self.behaviour is None:
            raise UsageError(
                f"{self.name!r} is not bound: to compose more calls of it, make it with bind=True, "
                "or name the task itself"
            )
        return import_module(_TASKS).of_behaviour(self.behaviour, self.here.options())

    def replace(self, sig: Any) -> NoReturn:
        """Have a workflow take this call's place: Celery's ``self.replace``.

        What it returns is what this call returns, whatever follows or is linked. It runs here, in
        this item's process, one call after the other: a fan-out that should run side by side is a
        step that returns what to go over (``plan.s() | nq.map(f)``).

        Raises:
            Replaced: always; code behind it does not run.
        """
        raise Replaced(sig.apply().get(disable_sync_subtasks=False))
