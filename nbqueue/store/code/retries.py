"""Whether an item that raised, or asks for it, is run again, and when: decisions only.

The words and the arithmetic are Celery's (`celery.app.autoretry`, `Task.retry`); what is decided
about is an item instead of a message.

    an exception  ─ `after_error` ─►  an `Again`, or None: it fails with the exception
    self.retry()  ─ `asked`       ─►  an `Again`, or None: it has been retried as often as it may
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from celery.exceptions import Retry, TaskPredicate
from celery.utils.time import get_exponential_backoff_interval

Exceptions = tuple[type[BaseException], ...]


@dataclass(frozen=True)
class Policy:
    """How a task's items are retried: Celery's options, with Celery's defaults."""

    autoretry_for: Exceptions = ()
    dont_autoretry_for: Exceptions = ()
    max_retries: int | None = 3
    """``None``: for ever."""
    default_retry_delay: float = 180
    """Seconds."""
    retry_backoff: float = 0
    """Seconds before the first retry, doubled with each; 0: ``default_retry_delay``."""
    retry_backoff_max: int = 600
    retry_jitter: bool = True
    retry_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """For `asked`, when an exception leads to a retry by itself."""


def policy_of(task: Any) -> Policy:
    """Read a policy from the attributes of a Celery task, or of what looks like one."""
    return Policy(
        tuple(getattr(task, "autoretry_for", ())),
        tuple(getattr(task, "dont_autoretry_for", ())),
        task.max_retries,
        task.default_retry_delay,
        float(getattr(task, "retry_backoff", False)),
        int(getattr(task, "retry_backoff_max", 600)),
        bool(getattr(task, "retry_jitter", True)),
        getattr(task, "retry_kwargs", {}),
    )


class Again(Retry):  # type: ignore[misc]  # Celery has no types
    """An item is to be run again: Celery's Retry, and what is needed for it."""

    def __init__(
        self,
        exc: BaseException | None,
        when: float | datetime,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(exc=exc, when=when)
        self.reason = exc
        self.new_args, self.new_kwargs = args, kwargs

    @property
    def changes_call(self) -> bool:
        """Whether it is to be called with other arguments."""
        return self.new_args is not None or self.new_kwargs is not None

    def __reduce__(self) -> tuple[Any, ...]:
        return Again, (self.exc, self.when, self.new_args, self.new_kwargs)


def due(retry: Retry, now: float) -> float:
    """Give when an item is to run again, in seconds since the epoch like ``now``.

    A time without a zone is in UTC, as Celery's are; of a Retry that names none, it is now.
    """
    when = retry.when
    if isinstance(when, datetime):
        aware = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
        return aware.timestamp()
    return now + float(when or 0)


def after_error(policy: Policy, exc: BaseException, retries: int) -> Again | None:
    """Give the retry that an exception leads to by itself; ``None`` when the item fails with it.

    ``retries`` is how often the item has been retried already.
    """
    if isinstance(exc, (TaskPredicate, *policy.dont_autoretry_for)):
        return None
    if not isinstance(exc, policy.autoretry_for):
        return None
    wanted = dict(policy.retry_kwargs)
    if policy.retry_backoff:
        wanted["countdown"] = get_exponential_backoff_interval(
            factor=int(max(1.0, policy.retry_backoff)),
            retries=retries,
            maximum=policy.retry_backoff_max,
            full_jitter=policy.retry_jitter,
        )
    return asked(policy, retries, exc, **wanted)


def asked(
    policy: Policy,
    retries: int,
    exc: BaseException | None = None,
    *,
    countdown: float | None = None,
    eta: datetime | None = None,
    max_retries: int | None = None,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> Again | None:
    """Give the retry that is asked for; ``None`` when the item has had as many as it may."""
    most = policy.max_retries if max_retries is None else max_retries
    if most is not None and retries >= most:
        return None
    if countdown is not None:
        return Again(exc, countdown, args, kwargs)
    return Again(exc, policy.default_retry_delay if eta is None else eta, args, kwargs)
