"""What a composed signature is made of: its members, its tasks, what is linked to it.

Celery's rules for groups and chains that are empty, nested or of one member stand here; what the
whole means, `compiling` says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from celery import canvas
from celery.canvas import _chain
from celery.utils.functional import maybe_list

from nbqueue.core.errors import UsageError

TASK = "by_value"
"""Field of a signature that holds the task itself."""

ERRBACK = "nbqueue_errback"
"""Option that tells errbacks apart that would be equal otherwise."""

_LINKS = frozenset({"link", "link_error", ERRBACK, "immutable"})
"""Options that are not the task's; ``immutable`` is put there by Celery's own ``link_error``."""

_MANY_RUNS = 50
"""From so many steps on, calls of one task in a group come together although others are between
them: a step costs a message and a few round trips, milliseconds. Less: items of small groups are
not in the group's order, in which people count them; more: large groups of few tasks are slow."""

_TRIES = 8
"""With how many earlier steps of its task a call is compared."""

_STAMPED = "stamped_headers"
"""Option of a signature that says which of its options are stamps: Celery's."""

named: Callable[[str], Any] | None = None
"""Gives the task of a name; set by `project`, which is made of what is made of this."""

_COMPOSED: Any = (
    _chain,
    canvas.group,
    canvas.chord,
    canvas.xmap,
    canvas.xstarmap,
    canvas.chunks,
)
"""What is not a single call."""


def checked(signature: Any) -> Any:
    """Give a signature, also when it is a dict of its fields.

    Raises:
        UsageError: it is something else.
    """
    if isinstance(signature, canvas.Signature):
        return signature
    if isinstance(signature, dict) and "task" in signature:
        return canvas.maybe_signature(signature)
    hint = ""
    if callable(getattr(signature, "s", None)):
        hint = f"; for a call of that task, write {signature.name}.s(…)"
    raise UsageError(f"a workflow is made of signatures, not of {signature!r}{hint}")


def task_of(signature: Any, options: dict[str, Any]) -> Any:
    """Give the task that a call is of, with the options of the call."""
    task = _task_in(signature)
    if not hasattr(task, "misfit"):
        task = _task_named(signature.task)
    chosen = {**own_options(signature), **options}
    return task.with_options(**chosen) if chosen else task


def _task_named(name: str) -> Any:
    found = None if named is None else named(name)
    if found is None:
        raise UsageError(
            f"{name!r} is the name of a task in a Celery project: nq.tasks('proj.celery:app') says "
            "in which, or the task is to be defined here (@nq.task)"
        )
    return found


def _task_in(signature: Any) -> Any:
    # Celery makes signatures of bare tasks in a header; those know their task only as their type.
    return signature.get(TASK) or signature._type


def own_options(signature: Any) -> dict[str, Any]:
    """Give a signature's options without what is linked to it."""
    found = {key: value for key, value in signature.options.items() if key not in _LINKS}
    if _STAMPED in found:
        stamped = found.pop(_STAMPED)
        stamps = {name: found.pop(name) for name in stamped if name in found}
        found["headers"] = {**(found.get("headers") or {}), **stamps, _STAMPED: sorted(stamps)}
    return found


def mapped_task(signature: Any, options: dict[str, Any]) -> Any:
    """Give the task of a map, with its options and more of them."""
    call = checked(signature.kwargs["task"])
    if call.args or call.kwargs:
        raise UsageError(
            f"a map calls its task with each value and nothing else, so {call!r} cannot have "
            "arguments; starmap takes tuples of them"
        )
    options = {**own_options(signature), **options}
    if isinstance(signature, canvas.chunks):
        options["chunksize"] = signature.kwargs["n"]
    return task_of(call, options)


def flattened(tasks: Iterable[Any]) -> Iterator[Any]:
    """Walk the members of a group: groups in it are its own members; empty chains are none."""
    for task in tasks:
        task = checked(task)
        if isinstance(task, canvas.group):
            yield from flattened(task.tasks)
        elif not is_empty_chain(task):
            yield task


def runs(members: Iterable[Any]) -> Iterator[list[Any]]:
    """Divide members into runs that can be one step."""
    run: list[Any] = []
    for member in members:
        if run and not _alike(run[0], member):
            yield run
            run = []
        run.append(member)
    if run:
        yield run


def together(members: Iterable[Any]) -> tuple[list[list[Any]], tuple[int, ...]]:
    """Divide the members of a group into runs that can be one step, as few as need be.

    Gives the runs and, where members that are no neighbours come together, for each member its
    place among those of all runs. In a small group they do not: its items are in its own order.
    """
    found = list(runs(members))
    if len(found) <= _MANY_RUNS:
        return found, ()
    merged: list[list[Any]] = []
    places: list[list[int]] = []
    latest: dict[int, list[int]] = {}
    at = 0
    for run in found:
        near = latest.setdefault(id(_kind_of(run[0])), [])
        k = next((k for k in near[-_TRIES:] if _alike(merged[k][0], run[0])), None)
        if k is None:
            k = len(merged)
            near.append(k)
            merged.append([])
            places.append([])
        merged[k] += run
        places[k] += range(at, at + len(run))
        at += len(run)
    if len(merged) == len(found):
        return found, ()
    order = [0] * at
    for now, place in enumerate(place for some in places for place in some):
        order[place] = now
    return merged, tuple(order)


def _kind_of(member: Any) -> Any:
    return member if isinstance(member, _COMPOSED) else _task_in(member)


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, _COMPOSED) or isinstance(other, _COMPOSED):
        return False
    if _task_in(one) is not _task_in(other) or one.immutable != other.immutable:
        return False
    if one.options != other.options or one.options.get("link"):
        return False
    errbacks = maybe_list(one.options.get("link_error")) or ()
    return all(ERRBACK in checked(errback).options for errback in errbacks)


def is_empty_group(signature: Any) -> bool:
    """Say whether this is a group without members."""
    if not isinstance(signature, canvas.group):
        return False
    return next(flattened(signature.tasks), None) is None


def is_empty_chain(signature: Any) -> bool:
    """Say whether this is a chain without tasks."""
    return isinstance(signature, _chain) and all(
        isinstance(task, _chain) and is_empty_chain(task) for task in signature.tasks
    )


def errbacks_on(body: Any) -> Iterator[Any]:
    """List what is to be called when a chord's body cannot run because its header failed."""
    body = checked(body)
    yield from maybe_list(body.options.get("link_error")) or ()
    if isinstance(body, _chain) and body.tasks:
        yield from errbacks_on(body.tasks[0])
    elif isinstance(body, canvas.group):
        for task in flattened(body.tasks):
            yield from errbacks_on(task)
    elif isinstance(body, canvas.chord) and body.body is not None:
        yield from errbacks_on(body.body)
