"""The plan of a workflow: its stages, what each waits for, and what it takes from those before.

A workflow is one job. Its items are the calls of its nodes, numbered stage after stage; a stage is
a run of items that are sent together, with one function: a node alone, a group of calls of one
task, or all items of a fan-out. The plan is a record of the job's log (``planned``), so whoever
reads the log knows the workflow.

    after   stages that must have succeeded, wholly, before this one begins
    takes   what the call gets as its first argument, made of the results of those (`Take`)

Two kinds of stages have no items at first: the fan-out over a result that is not known yet
(``grows``), and an errback, which has one when something has failed (``rescues``). Their items are
appended to the job when it comes to that (``expanded``).

    One(s)        the result of the only item of stage s
    All(s)        the list of the results of stage s, in order
    Listed(...)   a list of takes; a `Spread(s)` among them stands for all results of stage s
    Failed(form)  what went wrong, for an errback
    Other(id)     what another job returned
"""

from __future__ import annotations

from dataclasses import dataclass


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
