"""What the executor calls for each item, and how what it gives is handed in.

    cache( attempts( limits( bring in output( await( function or cell ) ) ) ) )

A job that asks for nothing is called bare: each wrapper is there when the job's options want it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from nbqueue.core import settings
from nbqueue.core.errors import NotPicklable, ResultNotPicklable
from nbqueue.core.records import NO_LIMITS, JobSpec, Limits
from nbqueue.store.broker.message import Message
from nbqueue.store.code.behaviour import Behaviour
from nbqueue.store.code.cell import Cell
from nbqueue.store.code.retries import Policy, policy_of
from nbqueue.store.values.packing import ATOMS, BlobStore, pack_native
from nbqueue.store.values.results import Packed
from nbqueue.worker import current
from nbqueue.worker.calling import caching, limits, signalling, surroundings
from nbqueue.worker.calling.attempts import Attempts
from nbqueue.worker.calling.interrupts import interruptible
from nbqueue.worker.calling.spreading import spreading
from nbqueue.worker.calling.upstream import leading
from nbqueue.worker.cells import cells
from nbqueue.worker.process import greenlets
from nbqueue.worker.process.workplace import Workplace
from nbqueue.worker.reporting.ranges import RangeRun
from nbqueue.worker.reporting.reporter import Reporter

Function = Callable[..., Any]


class Callee(NamedTuple):
    """What runs a job's items."""

    function: Function
    task: Any
    """``celery.current_task`` meanwhile."""


def callee(place: Workplace, message: Message, run: RangeRun, reporter: Reporter) -> Callee:
    """Give what is called with an item's arguments.

    Raises:
        NbqueueError: the function cannot be loaded.
    """
    found = _called(place, message, run, reporter)
    if signalling.wanted():
        function = _awaited(found.function)
        told = signalling.signalled(function, found.task, message, run, place.blobs)
        found = Callee(told, found.task)
    if not place.shared:
        return found
    return Callee(interruptible(_awaited(found.function), run), found.task)


def _called(place: Workplace, message: Message, run: RangeRun, reporter: Reporter) -> Callee:
    if message.stage is None:
        return _own(place, message, run, reporter)
    if message.stage.kind == "spreads":
        function, task = spreading(place, message), current.PLAIN
    else:
        function, task = _own(place, message, run, reporter)
        if message.stage.takes is None:
            return Callee(function, task)
    lead = leading(place, message)

    # Outside of everything else: what it takes is no argument that a cached result is known by.
    @functools.wraps(function, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*lead(), *args, **kwargs)

    return Callee(call, task)


def _own(place: Workplace, message: Message, run: RangeRun, reporter: Reporter) -> Callee:
    """Give what is called with an item's own arguments."""
    spec = message.spec
    address = message.function or spec.function
    found: Function | Cell = place.functions.get(address)
    task: Any = current.PLAIN
    if isinstance(found, Cell):
        function = cells.runner(lambda: place.functions.get(address), place.blobs)
    elif isinstance(found, Behaviour):
        function, task = found.called, found.task
    else:
        function = found
    if _is_bare(spec) and task is current.PLAIN:
        return Callee(function, task)
    function = _awaited(function)
    if spec.cache:
        function = surroundings.bringing_in(function)  # it is to be kept with the result
    function = limits.within(spec.limits, function, run)
    if spec.track_started:
        function = _noted(function, run, reporter)
    if task is not current.PLAIN or spec.limits.max_retries:
        policy = _policy(task, spec.limits)
        blobs = place.blobs
        function = Attempts(
            task, policy, function, lambda value: handed_in(value, blobs), spec, run, reporter
        )
    # (The digest is of the function that the job began with, and a retry may have another's.)
    if spec.cache and address == spec.function:
        blobs = place.blobs
        function = caching.within(
            spec, function, lambda value: _packed(value, blobs), place.cache, blobs, run, reporter
        )
    # (A step's result is what the next ones take, as in Celery's chains.)
    ignored = spec.ignore_result and message.stage is None
    return Callee(_ignored(function) if ignored else function, task)


def _is_bare(spec: JobSpec) -> bool:
    return not (spec.cache or spec.ignore_result or spec.track_started) and spec.limits == NO_LIMITS


def _policy(task: Any, limits: Limits) -> Policy:
    if task is current.PLAIN:  # a cell's --retries: at once, whatever it raised
        return Policy((Exception,), max_retries=limits.max_retries, default_retry_delay=0)
    return policy_of(task)


def _noted(function: Function, run: RangeRun, reporter: Reporter) -> Function:
    """Have the beginning of each attempt recorded before it."""

    def call(*args: Any, **kwargs: Any) -> Any:
        reporter.begins(run.current)
        return function(*args, **kwargs)

    return call


def _ignored(function: Function) -> Function:
    """Have what a function returns thrown away."""

    def call(*args: Any, **kwargs: Any) -> None:
        function(*args, **kwargs)

    return call


def handed_in(value: Any, blobs: BlobStore) -> Any:
    """Pack a value, unless it is an atom of a size that travels as it is.

    Raises:
        ResultNotPicklable: it cannot travel.
    """
    if type(value) in ATOMS and not _is_large(value):
        return value
    if inspect.iscoroutine(value):
        return handed_in(greenlets.run(value), blobs)
    return _packed(value, blobs)


def _awaited(function: Function) -> Function:
    """Have a coroutine run where the limits can see it."""

    @functools.wraps(function, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        value = function(*args, **kwargs)
        return greenlets.run(value) if inspect.iscoroutine(value) else value

    return call


def _packed(value: Any, blobs: BlobStore) -> Packed:
    if type(value) is Packed:  # a cell's, or from the cache
        return value
    try:
        return Packed(pack_native(value, blobs))
    except NotPicklable as exc:
        raise ResultNotPicklable(
            f"the task's result cannot travel back: {exc}. Return what it is made of "
            "(numbers, arrays, a dict) or a path to where the task saved it"
        ) from None


def _is_large(value: Any) -> bool:
    return isinstance(value, (str, bytes)) and len(value) >= settings.BLOB_BYTES
