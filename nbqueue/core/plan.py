"""The plan of a workflow: what the calls of a stage take from the stages before.

A workflow is one job. Its items are the calls of its nodes, numbered stage after stage; a stage
(`records.Stage`) is a run of items that are sent together, with one function: a node alone, a group
of calls of one task, or all items of a fan-out. The plan is a record of the job's log
(``planned``), so whoever reads the log knows the workflow.

    after   stages that must have succeeded, wholly, before this one begins
    takes   what the call gets as its first argument, made of the results of those (`Take`)

Two kinds of stages have no items at first: the fan-out over a result that is not known yet
(``grows``; the stage before it, which ``spreads`` that result, finds its items), and an errback,
which has one when something has failed (``rescues``). Their items are appended to the job when it
comes to that (``expanded``).

    One(s)        the result of the only item of stage s
    All(s)        the list of the results of stage s, in order
    Listed(...)   a list of takes; a `Spread(s)` among them stands for all results of stage s;
                  perhaps in another order than they come in
    Failed(form)  what went wrong, for an errback
    Other(id)     what another job returned
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class One:
    """The result of the only item of a stage."""

    stage: int


@dataclass(frozen=True)
class All:
    """The list of the results of a stage's items, in order."""

    stage: int


@dataclass(frozen=True)
class Spread:
    """Within `Listed`: the results of a stage's items, one after the other."""

    stage: int


@dataclass(frozen=True)
class Listed:
    """A list, in order."""

    parts: tuple[One | All | Spread | Listed | Other, ...]
    order: tuple[int, ...] = ()
    """For each place of the list, which of the values that the parts give one after the other it
    has; empty when it has them as they come."""

    def ordered(self, values: list[Any]) -> list[Any]:
        """Put the values that the parts give in order."""
        return [values[k] for k in self.order] if self.order else values


@dataclass(frozen=True)
class Failed:
    """Of an errback: ``"id"`` of what failed, or ``"three"``: its request, exception, traceback."""

    form: str


@dataclass(frozen=True)
class Other:
    """What another job returned: its result, or the list of its results."""

    job_id: str
    single: bool


Take = One | All | Spread | Listed | Failed | Other


_BLOCKS = 32
"""Bits for the blocks of one stage."""


def block_number(stage: int, block: int) -> int:
    """Give the number of an argument block of a stage among all of the job's."""
    return (stage + 1) << _BLOCKS | block


def stages_of(take: Take | None) -> Iterator[int]:
    """List the stages whose results are taken."""
    if isinstance(take, (One, All, Spread)):
        yield take.stage
    elif isinstance(take, Listed):
        for part in take.parts:
            yield from stages_of(part)


def renumbered(take: Take, numbers: dict[int, int]) -> Take:
    """Give a take with other numbers for its stages."""
    if isinstance(take, Listed):
        return Listed(tuple(_part(renumbered(part, numbers)) for part in take.parts), take.order)
    if isinstance(take, (One, All, Spread)):
        return type(take)(numbers[take.stage])
    return take


def to_plain(take: Take | None) -> Any:
    """Give a take as JSON has it."""
    if take is None:
        return None
    if isinstance(take, Listed):
        return ["list", [to_plain(part) for part in take.parts], *([take.order] * bool(take.order))]
    if isinstance(take, Failed):
        return ["failed", take.form]
    if isinstance(take, Other):
        return ["other", take.job_id, take.single]
    return [_WORDS[type(take)], take.stage]


def from_plain(plain: Any) -> Take | None:
    """Read a take; raises ValueError, TypeError or LookupError when it is none."""
    if plain is None:
        return None
    word, *rest = plain
    if word == "list":
        order = tuple(map(int, rest[1])) if len(rest) > 1 else ()
        return Listed(tuple(_part(from_plain(part)) for part in rest[0]), order)
    if word == "failed":
        return Failed(str(rest[0]))
    if word == "other":
        return Other(str(rest[0]), bool(rest[1]))
    return _KINDS[word](int(rest[0]))


def _part(take: Take | None) -> One | All | Spread | Listed | Other:
    if take is None or isinstance(take, Failed):
        raise ValueError(f"{take!r} cannot be part of a list")
    return take


_WORDS: dict[type, str] = {One: "one", All: "all", Spread: "spread"}
_KINDS: dict[str, type[One] | type[All] | type[Spread]] = {
    "one": One,
    "all": All,
    "spread": Spread,
}
