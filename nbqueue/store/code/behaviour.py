"""`Behaviour`: a task that is more than its function.

A task with ``bind``, ``base`` or options of retrying travels as a `Behaviour`, in the place of its
function and by value like one: hooks and exceptions may be classes of the notebook. Where it is
called, a class is made of it as Celery makes one, and one instance a process:

    class fit(base, ItemTask): name = "fit"; max_retries = 5; …       what the options say

    ItemTask     `request`, `retry`, `update_state` of the item that is running (`itemtask`)
    hooks        before_start, on_success, on_failure, on_retry, after_return: of the base, or none

A base that is a ``celery.Task`` keeps all that Celery gives it; the three above take the place of
Celery's.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from celery import Task as CeleryTask
from celery import current_app
from celery.utils.threads import LocalStack

from nbqueue.core.errors import UsageError
from nbqueue.store.code.itemtask import ItemTask, Replaced
from nbqueue.store.code.retries import Again, Policy


class Hooks:
    """Celery's defaults, for a base that is no ``celery.Task``."""

    policy = Policy()
    max_retries = policy.max_retries
    default_retry_delay = policy.default_retry_delay
    throws: tuple[type[BaseException], ...] = ()

    @property
    def app(self) -> Any:
        """The Celery app of the worker; elsewhere Celery's current one."""
        return ItemTask.here.app or current_app

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task."""
        return self.run(*args, **kwargs)

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task's function."""
        raise NotImplementedError

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Do nothing before an attempt."""

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        """Do nothing after a success."""

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Do nothing after a failure."""

    def on_retry(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Do nothing before a retry."""

    def after_return(
        self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        """Do nothing after the end."""


class PlainTask(ItemTask, Hooks):
    """What ``celery.current_task`` is in a task without a behaviour of its own, and in a cell."""

    def retry(self, *args: Any, throw: bool = True, **kwargs: Any) -> Again:
        """Run the item again (`ItemTask.retry`)."""
        if not throw:
            raise UsageError(
                "retry(throw=False) needs a task made with bind=True; here, raise the retry"
            )
        return super().retry(*args, **kwargs)

    @property
    def name(self) -> str:  # type: ignore[override]  # of each item
        """The name of the task that is running."""
        return str(self.request.task)


class Behaviour:
    """A function with what its task's options say of it."""

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        *,
        bind: bool = False,
        base: type | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        functools.update_wrapper(self, function, updated=())
        self.parts = (function, name, bind, base, dict(attributes or {}))
        self._made: Any = None
        signature = _signature(function)
        if bind and signature is not None:
            if not signature.parameters:
                raise UsageError(
                    f"{name}() takes no argument, but with bind=True its first is self"
                )
            first, *rest = signature.parameters.values()
            positional = first.kind in (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD)
            self.__signature__ = signature.replace(parameters=rest) if positional else signature

    def __reduce__(self) -> tuple[Any, ...]:
        return _behaviour, self.parts

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the function here and now, with ``self`` if it is bound."""
        return self.called(*args, **kwargs)

    @property
    def task(self) -> Any:
        """The task's instance in this process: ``self``."""
        if self._made is None:
            self._made = _instance(*self.parts)
            type(self._made).behaviour = self
        return self._made

    @property
    def called(self) -> Callable[..., Any]:
        """What runs an item: the function, or what its base has made of calling it."""
        own = type(self.task).__call__ not in (Hooks.__call__, CeleryTask.__call__)
        return self.task if own else self.task.run  # type: ignore[no-any-return]  # untyped


def _behaviour(
    function: Any, name: str, bind: bool, base: type | None, attributes: dict[str, Any]
) -> Behaviour:
    return Behaviour(function, name, bind=bind, base=base, attributes=attributes)


def _instance(
    function: Callable[..., Any],
    name: str,
    bind: bool,
    base: type | None,
    attributes: dict[str, Any],
) -> Any:
    """Make a task as Celery's ``app.task`` does."""
    is_celerys = base is not None and issubclass(base, CeleryTask)
    if is_celerys:
        bases: tuple[type, ...] = (ItemTask, base)  # type: ignore[assignment]  # a type
        # Celery gives a task these when an app takes it in; this one is in no app's registry.
        attributes = {"request_stack": LocalStack(), "typing": True, **attributes}
    else:
        bases = (ItemTask, Hooks) if base is None else (base, ItemTask, Hooks)
    made = type(name, bases, {"__module__": function.__module__, "__doc__": function.__doc__})()
    for key, value in {"name": name, **attributes}.items():
        setattr(type(made), key, value)
    made.run = _bound(function, made) if bind else function
    if is_celerys and ItemTask.here.app is not None:
        type(made).bind(ItemTask.here.app)
    return made


def _bound(function: Callable[..., Any], task: Any) -> Callable[..., Any]:
    @functools.wraps(function, updated=())
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(task, *args, **kwargs)
        except Replaced as replaced:
            return replaced.value

    return run


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (ValueError, TypeError):  # some built-ins have none
        return None
