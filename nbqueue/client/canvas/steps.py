"""A workflow before it is sent: steps in an order in which they could run, tasks and arguments.

`compiling` makes a `Draft` of what a person has composed; `sending` sends it. Numbers of stages in
takes are positions in ``steps`` here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbqueue.core.plan import Take

if TYPE_CHECKING:  # a task makes signatures, which become steps
    from nbqueue.client.task import AnyTask

Call = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class Step:
    """One stage to be: a call, calls of one task that run side by side, or a fan-out."""

    task: AnyTask
    """With all its options."""
    calls: tuple[Call, ...] = ()
    """Arguments of each item, without what it takes from the steps before."""
    values: Iterable[Any] | None = None
    """Instead of ``calls``: one item for each of these, which is its only argument. Consumed once;
    may be a million."""
    star: bool = False
    """Each of ``values`` is a tuple of arguments."""
    after: tuple[int, ...] = ()
    """Steps that must have succeeded; those that it takes from need not be repeated here."""
    takes: Take | None = None
    """What every item gets as its first argument; ``None`` for nothing."""
    each: bool = False
    """One item for each element of what is taken, instead of ``calls`` (``star`` holds here too):
    how many is found out as it runs."""
    rescues: tuple[int, ...] = ()
    """An errback: begins, once, when one of these steps fails; ``takes`` is a `Failed`."""


@dataclass(frozen=True)
class Draft:
    """A workflow: its steps, and what of their results is its own."""

    steps: tuple[Step, ...]
    result: Take
    follows: tuple[str, ...] = ()
    """Ids of jobs that must have succeeded before it begins; those that it takes from need not be
    repeated here."""
