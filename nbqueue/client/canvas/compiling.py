"""From composed signatures to steps: what a tree of chains, groups and chords means.

Pure: nothing is sent or looked up, and iterables of maps are passed on unread. Celery's semantics:

    chain    the value of each step goes in front of the arguments of the next, unless that is
             immutable; its result is the last one's
    group    each member gets the value; its result is the list of theirs, groups in it flattened
    chord    a group, and a body that gets that list
    link     runs when its task has succeeded, with the result; not part of the workflow's result
    errback  runs once when one of the tasks it was linked to fails; of a chord's body, also when
             the header does

Neighbours in a group that call one task with the same options become one step of many calls, since
that is what makes a chord of a thousand fast; in a large group, others that do so too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from celery import canvas
from celery.canvas import _chain, maybe_unroll_group
from celery.utils.functional import maybe_list

from nbqueue.client.canvas import fitting
from nbqueue.client.canvas.composition import (
    ERRBACK,
    checked,
    errbacks_on,
    flattened,
    is_empty_chain,
    is_empty_group,
    mapped_task,
    own_options,
    task_of,
    together,
)
from nbqueue.client.canvas.steps import Draft, Step
from nbqueue.core.errors import UsageError
from nbqueue.core.plan import All, Failed, Listed, One, Spread, Take, stages_of


@dataclass(frozen=True)
class Given:
    """What flows into a signature, or out of it."""

    take: Take | None = None
    """The value, once there is one."""
    after: tuple[int, ...] = ()
    """Steps that must have succeeded, those that ``take`` is made of included."""
    args: tuple[Any, ...] = ()
    """Arguments that are known already; they come behind the value."""
    kwargs: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    rescues: tuple[int, ...] = ()
    """Of an errback: the steps whose failure it waits for."""


@dataclass
class _Errback:
    """An errback, and the steps that it was linked to."""

    signature: Any
    steps: set[int] = field(default_factory=set)


def draft(signature: Any, given: Given | None = None) -> Draft:
    """Give the steps of a composed signature.

    Raises:
        UsageError: it cannot be run: it is empty, or something in it is no signature.
        TypeError: a task does not take its arguments or has no such option.
    """
    signature = checked(signature)
    if is_empty_chain(signature):
        raise UsageError("a chain without tasks has nothing to run")
    steps = _Steps()
    try:
        result = steps.whole(signature, given or Given())
    except RecursionError:
        raise UsageError(
            "the workflow is nested more deeply than Python can follow (some hundred chords in one "
            "another): write its steps one after the other, or have a step return what to go over "
            "(plan.s() | nq.map(f))"
        ) from None
    return Draft(tuple(steps.steps), result)


class _Steps:
    """The steps of a workflow, as its tree is walked."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._links: list[tuple[Any, Given]] = []
        self._errbacks: list[_Errback] = []

    def whole(self, signature: Any, given: Given) -> Take:
        """Walk a tree, and what is linked to its signatures; give its result."""
        made = self.of(signature, given)
        while self._links or self._errbacks:
            while self._links:
                self.of(*self._links.pop(0))
            if self._errbacks:
                errback = self._errbacks.pop(0)
                self.of(
                    errback.signature,
                    Given(take=Failed(""), rescues=tuple(sorted(errback.steps))),
                )
        assert made.take is not None
        return _ungrouped(signature, made.take)

    def of(self, signature: Any, given: Given) -> Given:
        """Add the steps of a signature; give what flows out of it."""
        signature = checked(signature)
        first = len(self.steps)
        made = _walk_of(signature)(self, signature, given)
        self._remember(signature, first, made)
        return made

    # -- one kind after the other --------------------------------------------------------------

    def call(self, signature: Any, given: Given) -> Given:
        """Add a single call."""
        step = self._calls([signature], given)
        return Given(One(step), (step,))

    def chain(self, signature: Any, given: Given) -> Given:
        """Add the steps of a chain."""
        flow = _with_own(signature, given)
        members = [checked(task) for task in signature.tasks]
        members = [task for task in members if not is_empty_chain(task)]
        # Celery skips empty groups in a chain, unless there is nothing else.
        members = [task for task in members if not is_empty_group(task)] or members[:1]
        for task in members:
            alone = maybe_unroll_group(task) if isinstance(task, canvas.group) else task
            flow = self.of(alone, flow)
        return flow

    def group(self, signature: Any, given: Given) -> Given:
        """Add the members of a group."""
        return self._members(signature.tasks, _with_own(signature, given))

    def chord(self, signature: Any, given: Given) -> Given:
        """Add a chord: its header, then its body."""
        inner = _with_own(signature, given)
        first = len(self.steps)
        tasks = signature.tasks
        header = self._members([tasks] if isinstance(tasks, canvas.group) else tasks, inner)
        body = signature.body
        if body is None or is_empty_chain(body) or is_empty_group(body):
            return header
        body = checked(body)
        for errback in errbacks_on(body):
            self._rescue(errback, first, len(self.steps))
        # What delays a chord delays its header, not the body once more.
        options = {k: v for k, v in inner.options.items() if k not in ("countdown", "eta")}
        return self.of(body, replace(header, options=options))

    def mapped(self, signature: Any, given: Given) -> Given:
        """Add a fan-out."""
        task = mapped_task(signature, given.options)
        values = signature.kwargs["it"]
        star = not isinstance(signature, canvas.xmap)
        known, constant = _constant(given.take)
        if values is None and (known or given.take is None):
            values = constant if known else _only_argument(task, given)
        if given.rescues:
            raise UsageError(f"an errback is a call, not a map of {task.name}")
        fitting.check_map(task, values, star=star)
        step = Step(task, values=values, star=star, after=given.after)
        if values is None:
            after = _rest(given, given.take)
            step = replace(step, each=True, takes=given.take, after=after)
        number = self._add(step)
        return Given(All(number), (number,))

    # -- parts of them -------------------------------------------------------------------------

    def _members(self, tasks: Iterable[Any], given: Given) -> Given:
        parts: list[Any] = []
        after: list[int] = []
        found, order = together(flattened(tasks))
        for run in found:
            if len(run) == 1:
                made = self.of(run[0], given)
                parts.append(made.take)
                after += made.after
                continue
            first = len(self.steps)
            number = self._calls(run, given)
            self._remember(run[0], first, Given(All(number), (number,)))
            parts.append(Spread(number))
            after.append(number)
        take: Take = Listed(tuple(parts), order)
        if len(parts) == 1 and isinstance(parts[0], Spread):
            take = All(parts[0].stage)
        return Given(take, tuple(after) or given.after)

    def _calls(self, signatures: list[Any], given: Given) -> int:
        """Add a step of calls that differ in nothing but their arguments."""
        first = signatures[0]
        task = task_of(first, given.options)
        if first.immutable:
            take = None
            calls = tuple((tuple(s.args), dict(s.kwargs)) for s in signatures)
        else:
            known, constant = _constant(given.take)
            take = None if known else given.take
            lead = ((constant,) if known else ()) + given.args
            calls = tuple((lead + tuple(s.args), {**s.kwargs, **given.kwargs}) for s in signatures)
        take = fitting.fit(task, calls, take)
        after = _rest(given, take)
        return self._add(Step(task, calls, after=after, takes=take, rescues=given.rescues))

    def _add(self, step: Step) -> int:
        self.steps.append(step)
        return len(self.steps) - 1

    def _remember(self, signature: Any, first: int, made: Given) -> None:
        """Note what is linked to a signature, whose steps are those since ``first``."""
        for callback in maybe_list(signature.options.get("link")) or ():
            self._links.append((callback, Given(made.take, made.after)))
        for errback in maybe_list(signature.options.get("link_error")) or ():
            self._rescue(errback, first, len(self.steps))

    def _rescue(self, errback: Any, first: int, stop: int) -> None:
        errback = checked(errback)
        own = ERRBACK in errback.options
        known = (e for e in self._errbacks if own and e.signature == errback)
        found = next(known, None)
        if found is None:
            found = _Errback(errback)
            self._errbacks.append(found)
        found.steps.update(range(first, stop))


_Walk = Callable[[_Steps, Any, Given], Given]


def _walk_of(signature: Any) -> _Walk:
    for kind, walk in _WALKS:
        if isinstance(signature, kind):
            return walk
    return _Steps.call


_WALKS: tuple[tuple[Any, _Walk], ...] = (
    (_chain, _Steps.chain),
    (canvas.group, _Steps.group),
    (canvas.chord, _Steps.chord),
    ((canvas.xmap, canvas.xstarmap, canvas.chunks), _Steps.mapped),
)


# -- values ----------------------------------------------------------------------------------


def _with_own(signature: Any, given: Given) -> Given:
    """Give what flows into the members of a composed signature: with its own partial arguments."""
    options = {**own_options(signature), **given.options}
    if signature.immutable:
        return Given(None, given.after, options=options, rescues=given.rescues)
    return replace(given, args=(*given.args, *signature.args), options=options)


def _rest(given: Given, take: Take | None) -> tuple[int, ...]:
    """List the steps to wait for that are not waited for because of what is taken."""
    taken = set(stages_of(take))
    return tuple(dict.fromkeys(step for step in given.after if step not in taken))


def _constant(take: Take | None) -> tuple[bool, Any]:
    """Say whether a value is known without running anything (an empty list), and which it is."""
    if not isinstance(take, Listed):
        return False, None
    parts = [_constant(part) for part in take.parts]
    if not all(known for known, _ in parts):
        return False, None
    return True, take.ordered([value for _, value in parts])


def _ungrouped(signature: Any, take: Take) -> Take:
    """Give a result; of a group of nothing but a chain that ends in a group, that group's."""
    if not isinstance(signature, canvas.group) or not isinstance(take, Listed):
        return take
    members = list(flattened(signature.tasks))
    alone = len(members) == 1 and isinstance(members[0], _chain)
    if alone and isinstance(take.parts[0], (All, Listed)):
        return take.parts[0]
    return take


def _only_argument(task: Any, given: Given) -> Any:
    if len(given.args) != 1:
        raise UsageError(
            f"the map of {task.name} has nothing to go over: give it an iterable, or put a step "
            "before it whose result is one"
        )
    return given.args[0]
