"""The options of a task that say how its items behave: checked, and made a `Behaviour`.

They are Celery's, with Celery's meanings, for each item: in ``map`` and ``chunks`` too, where
Celery itself has neither retries nor hooks. What is not given is as the base says, as in Celery,
where a base class may set any of them for all of its tasks, or else as Celery has it by default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from nbqueue.client.options import TaskOptions, Unset
from nbqueue.core.errors import UsageError
from nbqueue.store.code.behaviour import Behaviour

_OPTIONS = (
    "max_retries",
    "autoretry_for",
    "dont_autoretry_for",
    "throws",
    "default_retry_delay",
    "retry_backoff",
    "retry_backoff_max",
    "retry_jitter",
    "retry_kwargs",
)
_RETRY_KWARGS = {"args", "countdown", "eta", "kwargs", "max_retries"}


def body(function: Callable[..., Any], name: str, options: TaskOptions) -> Callable[..., Any]:
    """Give what travels of a task: its function, or that with its behaviour.

    Raises:
        UsageError: an option is not possible.
    """
    given = given_of(options)
    for option, value in given.items():
        _CHECKS[option](option, value)
    if not (given or options.bind or options.base is not None):
        return function
    if options.base is not None and not isinstance(options.base, type):
        raise UsageError(f"base must be a class, not {options.base!r}")
    if options.base is not None and hasattr(options.base, "with_options"):
        raise UsageError(
            "base takes a class with hooks (a plain one, or a subclass of celery.Task); "
            "nbqueue.Task is what the decorator makes"
        )
    return Behaviour(function, name, bind=options.bind, base=options.base, attributes=given)


def given_of(options: TaskOptions) -> dict[str, Any]:
    """Give the options of behaving that were given."""
    found = {name: getattr(options, name) for name in _OPTIONS}
    return {name: value for name, value in found.items() if value is not Unset.UNSET}


def is_same(one: Any, other: Any) -> bool:
    """Say whether two tasks of one function behave alike."""

    def about(task: Any) -> tuple[Any, ...]:
        return task.name, task.options.bind, task.options.base, given_of(task.options)

    return about(one) == about(other)


def flag(options: TaskOptions, name: str, default: bool) -> bool:
    """Give a switch: as it was given, or as the base has it."""
    value = getattr(options, name)
    if value is None:
        value = getattr(options.base, name, None)
    return default if value is None else bool(value)


def _check_count(name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UsageError(f"{name} must be a whole number, or None for ever, not {value!r}")


def _check_exceptions(name: str, value: Any) -> None:
    if not isinstance(value, (tuple, list)) or not all(map(_is_exception, value)):
        raise UsageError(f"{name} must be a tuple of exception classes, not {value!r}")


def _is_exception(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


def _check_time(name: str, value: Any) -> None:
    if not isinstance(value, (int, float)) or not 0 <= value < inf:
        raise UsageError(f"{name} must be a number of seconds, not {value!r}")


def _check_switch(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise UsageError(f"{name} must be True or False, not {value!r}")


def _check_retry_kwargs(name: str, value: Any) -> None:
    if not isinstance(value, Mapping) or not _RETRY_KWARGS.issuperset(value):
        raise UsageError(
            f"{name} must be a dict with some of {', '.join(sorted(_RETRY_KWARGS))}, not {value!r}"
        )


_CHECKS: dict[str, Callable[[str, Any], None]] = {
    "max_retries": _check_count,
    "autoretry_for": _check_exceptions,
    "dont_autoretry_for": _check_exceptions,
    "throws": _check_exceptions,
    "default_retry_delay": _check_time,
    "retry_backoff": _check_time,
    "retry_backoff_max": _check_time,
    "retry_jitter": _check_switch,
    "retry_kwargs": _check_retry_kwargs,
}
