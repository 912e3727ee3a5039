"""Workflows: Celery's canvas, with tasks by value; composed here, run by `run`.

    plan.s() | nq.map(fit) | report.s()             one after the other, with a fan-out
    nq.chord((load.s(p) for p in paths), join.s())  side by side, then the list of results
    nq.group(a.s(), b.s() | c.s())                  side by side

Composing sends nothing. What is composed are Celery's own classes (`signature`); a workflow is one
job, whose items are its calls.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from celery import canvas

from nbqueue.client.canvas import running
from nbqueue.client.canvas.composition import checked
from nbqueue.client.canvas.signature import (
    Chord,
    Chunks,
    Group,
    Map,
    Signature,
    Starmap,
    Workflow,
    adopt,
)
from nbqueue.client.job import Job
from nbqueue.client.options import check_count
from nbqueue.client.task import Task
from nbqueue.core.errors import UsageError


def run(workflow: Any, name: str | None = None) -> Job:
    """Send a workflow; ``job.result()`` is what its last step returns, or a group's list.

    The job's items are the workflow's calls, in the order of `Workflow.graph` (where many calls of
    few tasks alternate in a large group, those of one task come together). Errors of any of
    them are the job's; ``job.retry()`` goes on from what failed.

    Args:
        workflow: What was composed, or a single signature.
        name: A name for the job, by which ``nq.job`` finds it.

    Raises:
        UsageError: this is no workflow, or an empty one.
        TypeError: a task does not take the arguments it is to get; nothing was sent.

    >>> add = nq.task(lambda x, y: x + y)
    >>> nq.run(add.s(1, 2) | add.s(10), name="sum").result()    # doctest: +CLUSTER
    13
    """
    if isinstance(workflow, Job):
        if name is None:
            return workflow
        raise UsageError(f"{workflow!r} runs already, so it cannot be named {name!r}")
    return running.start(checked(workflow), name)


def signature(
    task: Any,
    args: Iterable[Any] | None = None,
    kwargs: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
    *,
    immutable: bool = False,
    **more: Any,
) -> Workflow:
    """Give the signature of a call: of a task, of a task's name, or of a signature's fields.

    Args:
        task: A task; the name of a task in a Celery project; or a signature (or a dict of its
            fields), of which a copy is given.
        args: Positional arguments.
        kwargs: Keyword arguments.
        options: Options of the call, as in ``apply_async``.
        immutable: Whether the call gets nothing from the step before.
        **more: More options.

    >>> nq.signature("proj.tasks.add", args=(2, 2))
    proj.tasks.add(2, 2)
    >>> nq.signature(double, (4,))
    double(4)
    """
    if isinstance(task, dict):
        copied: Workflow = adopt(canvas.signature(task))
        return copied
    if not isinstance(task, (str, Task)):
        checked(task)
    made = Signature(task, tuple(args or ()), dict(kwargs or {}), immutable=immutable)
    made.set(**{**(options or {}), **more})
    return made


def group(*tasks: Any, **options: Any) -> Group:
    """Put signatures side by side; the result is the list of theirs, in order.

    Args:
        *tasks: Signatures, or one iterable of them. Groups among them are part of this one.
        **options: Options for all of them, as in ``apply_async``.

    >>> nq.group(double.s(i) for i in range(3)).delay().result()    # doctest: +CLUSTER
    [0, 2, 4]
    """
    return Group(*tasks, **options)


def chain(*tasks: Any, **options: Any) -> Workflow:
    """Put signatures one after the other, each with the result of the one before: ``a | b``.

    As in Celery, a group that is followed by a task makes a chord.

    Args:
        *tasks: Signatures, or one iterable of them.
        **options: Options for the first of them.

    >>> nq.chain(double.s(1), double.s(), double.s()).delay().result()  # doctest: +CLUSTER
    8
    """
    if len(tasks) > 1:
        tasks = tuple(checked(task) for task in tasks)  # no task without `.s`
    composed = adopt(canvas.chain(*tasks))
    if not isinstance(composed, Workflow):
        checked(composed)
    if options:
        composed.set(**options)
    made: Workflow = composed
    return made


def chord(header: Any, body: Any = None, **options: Any) -> Chord:
    """Run signatures side by side, and then ``body`` with the list of their results.

    Args:
        header: A group, or an iterable of signatures.
        body: A signature; may also be given when it is called: ``nq.chord(header)(body)``. Without
            one, the result is the header's.
        **options: Options, as in ``apply_async``.

    >>> total = nq.task(sum)
    >>> nq.chord([double.s(1), double.s(2)], total.s()).delay().result()    # doctest: +CLUSTER
    6
    """
    if body is not None:
        body = checked(body)
    if not isinstance(header, (dict, Iterable)):
        checked(header)
    return Chord(header, body, **options)


def map(task: Any, iterable: Iterable[Any] | None = None) -> Map:
    """Call a task with each value: a fan-out that is one step, of up to millions of items.

    Args:
        task: A task, or a signature without arguments, for its options.
        iterable: The values; without, the result of the step before, whatever its length.

    >>> total, numbers = nq.task(sum), nq.task(range)
    >>> (nq.map(double, [1, 2, 3]) | total.s()).delay().result()        # doctest: +CLUSTER
    12
    >>> (numbers.s(5) | nq.map(double) | total.s()).delay().result()    # doctest: +CLUSTER
    20
    """
    return Map(_mapped(task), _values(task, iterable))


def starmap(task: Any, iterable: Iterable[Iterable[Any]] | None = None) -> Starmap:
    """Call a task with each tuple of arguments, or dict of them by name; otherwise as `map`.

    >>> power = nq.task(pow)
    >>> nq.starmap(power, [(2, 5), (3, 2)]).delay().result()            # doctest: +CLUSTER
    [32, 9]
    """
    return Starmap(_mapped(task), _values(task, iterable))


def chunks(task: Any, iterable: Iterable[Iterable[Any]] | None, n: int) -> Chunks:
    """Call a task with each tuple of arguments, ``n`` items to a message; otherwise as `starmap`.

    Unlike Celery's, its result is the list of all items' results, not a list of lists.

    >>> nq.chunks(double, [(1,), (2,), (3,)], 2).delay().result()       # doctest: +CLUSTER
    [2, 4, 6]
    """
    return Chunks(_mapped(task), _values(task, iterable), check_count(n, "n"))


def _mapped(task: Any) -> Any:
    if callable(step := getattr(task, "step", None)):  # a Celery project's
        task = step()
    return task.s() if isinstance(task, Task) else checked(task)


def _values(task: Any, iterable: Any) -> Any:
    if iterable is not None and not hasattr(iterable, "__iter__"):
        name = getattr(task, "name", task)
        raise TypeError(f"a map of {name} goes over an iterable, not {iterable!r}")
    return iterable
