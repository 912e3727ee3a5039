"""Options of a task, by Celery's names."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from difflib import get_close_matches
from enum import Enum
from math import inf
from numbers import Real
from typing import Any, Literal

from celery.utils.time import rate

from nbqueue.core.errors import UsageError


class Unset(Enum):
    """What an option is whose ``None`` says something."""

    UNSET = "not given"


@dataclass(frozen=True)
class TaskOptions:
    """How a task's jobs are sent; every field may also be given to ``with_options``."""

    name: str | None = None
    """What the task is called in logs, frames and listings; the function's name by default."""
    queue: str | None = None
    """Queue to send to; Celery's default queue by default."""
    priority: int | None = None
    """From 0, which is also that of a job without one, to 9, which comes first."""
    exchange: str | None = None
    """Exchange that leads to the queue, where the queue is not named: Celery's."""
    routing_key: str | None = None
    """What the exchange goes by."""
    countdown: float | None = None
    """Seconds that a job waits, PENDING, before its items begin."""
    eta: datetime | None = None
    """When a job's items begin, at the earliest. Without a time zone it is in Celery's (UTC)."""
    expires: float | datetime | None = None
    """Seconds from the submission, or a moment, after which no item begins: those become REVOKED.
    What runs by then goes on, and a retry has all the time there is."""
    rate_limit: str | float | None = None
    """Items of the task that begin in a second (``10``, ``"10/s"``), a minute (``"100/m"``) or an
    hour (``"5/h"``) on all workers together: of all tasks of this name, whoever submits them."""
    concurrency: int | None = None
    """How many items of the task run at the same time on all workers together; 1 for one alone.
    Of tasks of the same name with different limits, the one submitted last says what holds."""
    chunksize: int | None = None
    """Items per message; by default workers divide a job by themselves, by time."""
    cache: bool | Literal["refresh"] = False
    """Whether an item that ran before, with the same code, captured values and arguments, is not
    run again: its result and what it displayed come from the store, whichever kernel put it there.
    Values that do not pickle the same way twice (an object with the time in it, say) are never
    found again; a line says so. ``"refresh"`` runs all items, and keeps what comes out instead."""
    soft_time_limit: float | None = None
    """Seconds after which an item is interrupted by Celery's SoftTimeLimitExceeded, which it may
    catch to clean up. In a pool of threads it comes when the item next runs Python code."""
    time_limit: float | None = None
    """Seconds after which an item's process is killed, and the item fails with TimeLimitExceeded;
    its neighbours do not. No effect in a pool of threads."""
    ignore_result: bool | None = None
    """Whether what items return is thrown away: ``None`` in its place, states as ever. The results
    of a workflow's steps are kept, for the steps that take them."""
    track_started: bool | None = None
    """Whether each item's beginning is recorded at once. Items that run longer than about a tenth
    of a second are recorded as STARTED anyway; at once costs a round trip to the store an item."""
    headers: Mapping[str, Any] | None = None
    """What each item finds in ``self.request.headers`` (and stamps, in ``request.stamps``): a dict
    of what JSON can write."""
    typing: bool | None = None
    """``False``: arguments are not checked against the function's signature before they are
    sent."""
    bind: bool = False
    """Whether the function's first parameter is the task: ``self.request``, ``self.retry`` …"""
    base: type | None = None
    """A class with hooks (``before_start``, ``on_success``, ``on_failure``, ``on_retry``,
    ``after_return``) and with defaults of these options; a plain one or a ``celery.Task``."""
    max_retries: int | Unset | None = Unset.UNSET
    """How often an item may be retried; ``None``: for ever. 3 by default."""
    autoretry_for: tuple[type[BaseException], ...] | Unset = Unset.UNSET
    """Exceptions after which an item is run again by itself."""
    dont_autoretry_for: tuple[type[BaseException], ...] | Unset = Unset.UNSET
    """Those of them after which it is not."""
    throws: tuple[type[BaseException], ...] | Unset = Unset.UNSET
    """Exceptions that are expected: an item that fails with one has no traceback."""
    default_retry_delay: float | Unset = Unset.UNSET
    """Seconds until an item is run again. 180 by default, as in Celery."""
    retry_backoff: bool | float | Unset = Unset.UNSET
    """Seconds until the first retry by itself, doubled with each; ``True`` is 1."""
    retry_backoff_max: float | Unset = Unset.UNSET
    """Most seconds between such retries. 600 by default."""
    retry_jitter: bool | Unset = Unset.UNSET
    """Whether such a retry comes at a random time before that. ``True`` by default."""
    retry_kwargs: Mapping[str, Any] | Unset = Unset.UNSET
    """For ``self.retry`` when an item is run again by itself: ``{"countdown": 5}``."""

    def updated(self, options: dict[str, Any]) -> TaskOptions:
        """Give these options with some changed.

        Raises:
            TypeError: there is no such option.
            UsageError: a value is not possible.
        """
        if unknown := set(options) - OPTIONS:
            raise TypeError(unknown_options("task", unknown, OPTIONS))
        new = replace(self, **options)
        for name, kind, words in _KINDS:
            value = getattr(new, name)
            if value is not None and type(value) is not kind and not _is(value, kind):
                raise UsageError(f"{name} must be {words}, not {value!r}")
        if new.queue == "":
            raise UsageError("queue must be the name of a queue, not ''; None is the default queue")
        new = _one_beginning(new, options)
        if new.priority is not None and not 0 <= new.priority <= MOST_URGENT:
            raise UsageError(
                f"priority must be from 0 to {MOST_URGENT}, which comes first, not {new.priority}"
            )
        if new.cache not in (True, False, "refresh"):
            raise UsageError(f"cache must be True, False or 'refresh', not {new.cache!r}")
        check_expires(new.expires)
        headers_text(new.headers)
        rate_per_s(new.rate_limit)
        if new.concurrency is not None:
            new = replace(new, concurrency=check_count(new.concurrency, "concurrency"))
        check_time_limits(new.soft_time_limit, new.time_limit)
        if new.chunksize is not None:
            new = replace(new, chunksize=check_count(new.chunksize, "chunksize"))
        return new


OPTIONS = frozenset(field.name for field in fields(TaskOptions))
"""Names of all options."""


def unknown_options(what: str, unknown: Iterable[str], known: Iterable[str]) -> str:
    """Say that there are no such options, which ones are meant perhaps, and which there are."""
    names = sorted(known)
    near = [name for word in sorted(unknown) for name in get_close_matches(word, names, n=1)]
    hint = f" (did you mean {' and '.join(map(repr, near))}?)" if near else ""
    shown = ", ".join(map(repr, sorted(unknown)))
    return f"unknown {what} option {shown}{hint}; there are {', '.join(names)}"


def check_time_limits(soft: float | None, hard: float | None) -> None:
    """Raise UsageError unless limits are ``None`` or seconds, the soft one before the hard one."""
    check_seconds(soft, "soft_time_limit")
    check_seconds(hard, "time_limit")
    if soft is not None and hard is not None and soft > hard:
        raise UsageError(
            f"soft_time_limit is {soft:g} s and time_limit {hard:g} s: an item would be killed "
            "before it is interrupted; the soft one must be the shorter one"
        )


MOST_URGENT = 9
"""The highest priority, on any broker."""

_NAME_CHARS = 300
"""Longest name of a job; it stands in every listing and message."""


def check_name(name: Any) -> str | None:
    """Give the name of a job, if it is one.

    Raises:
        UsageError: it is not a text, longer than `_NAME_CHARS`, or has unprintable characters.
    """
    if name is None:
        return None
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= _NAME_CHARS:
        shown = repr(name) if len(repr(name)) <= 80 else f"{repr(name)[:80]}…"
        raise UsageError(
            f"a job's name is a text of 1 to {_NAME_CHARS} printable characters, not {shown}"
        )
    return name


_KINDS = (
    ("name", str, "a text"),
    ("queue", str, "the name of a queue"),
    ("priority", int, "a whole number"),
    ("exchange", str, "the name of an exchange"),
    ("routing_key", str, "a text"),
    ("bind", bool, "True or False"),
    ("ignore_result", bool, "True or False"),
    ("track_started", bool, "True or False"),
    ("typing", bool, "True or False"),
    ("eta", datetime, "a datetime"),
)


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _one_beginning(options: TaskOptions, given: dict[str, Any]) -> TaskOptions:
    """Let the countdown or the eta that was given take the place of the other."""
    if given.get("countdown") is not None:
        if given.get("eta") is not None:
            raise UsageError("give countdown or eta, not both: each says when a job begins")
        if given["countdown"] != 0:
            check_seconds(given["countdown"], "countdown")
        return replace(options, eta=None)
    return replace(options, countdown=None) if given.get("eta") is not None else options


def headers_text(headers: Any) -> str:
    """Give headers as they travel; empty when there are none.

    Raises:
        UsageError: they are no dict by text, or JSON cannot write them.
    """
    if headers is None:
        return ""
    if not isinstance(headers, Mapping) or not all(isinstance(name, str) for name in headers):
        raise UsageError(f"headers are a dict of values by name, not {headers!r}")
    try:
        return json.dumps(dict(headers), default=_listed)
    except (TypeError, ValueError) as exc:
        raise UsageError(f"headers and stamps are of what JSON can write: {exc}") from None


def _listed(value: Any) -> list[Any]:
    """Give a set as JSON can have it: Celery's stamps may be sets."""
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    raise TypeError(f"{value!r} is a {type(value).__name__}")


def check_seconds(value: Any, name: str) -> None:
    """Raise UsageError unless a value is ``None`` or a number of seconds above 0."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < inf:
        raise UsageError(f"{name} must be a number of seconds above 0, not {value!r}")


def check_timeout(value: Any) -> None:
    """Raise UsageError unless a value is ``None`` or a number; of seconds to wait, 0 is none."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, Real)):
        raise UsageError(
            f"timeout must be a number of seconds, or None to wait for as long as it takes, not "
            f"{value!r}"
        )


def check_expires(value: Any) -> None:
    """Raise UsageError unless a value is ``None``, a moment, or a number of seconds above 0."""
    if not isinstance(value, datetime):
        try:
            check_seconds(value, "expires")
        except UsageError as exc:
            raise UsageError(f"{exc}, nor a datetime") from None


def rate_per_s(limit: Any) -> float | None:
    """Give a rate limit as items a second, as Celery reads it; ``None`` when there is none.

    Raises:
        UsageError: it is no rate.

    >>> rate_per_s("10/s"), rate_per_s("90/m"), rate_per_s(5), rate_per_s("0")
    (10.0, 1.5, 5.0, None)
    """
    if limit is None:
        return None
    try:
        known = isinstance(limit, (str, int, float)) and not isinstance(limit, bool)
        found = float(rate(limit)) if known else float("nan")
    except (ValueError, KeyError):
        found = float("nan")
    if not 0 <= found < inf:
        raise UsageError(
            f"rate_limit must be a number of items, or such a number a second, minute or hour "
            f"('10/s', '100/m', '5/h'), not {limit!r}"
        )
    return found or None


def check_count(value: Any, name: str) -> int:
    """Give a whole number of at least 1, if it is one."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):  # which numpy's integers have
        raise UsageError(f"{name} must be a whole number, not {value!r}")
    size = operator.index(value)
    if size <= 0:
        raise UsageError(f"{name} must be at least 1, not {size}")
    return size
