"""Signatures: calls of tasks that are not made yet, and how they are composed.

They are Celery's own (`celery.canvas`): composing, cloning, partial arguments and options, links,
and the rules by which ``group | task`` becomes a chord, are Celery's code. Three things are ours:

- a signature of a task here carries the task itself (``by_value``), not only its name;
- what Celery composes is given back in classes of ours (`adopt`), which run on nbqueue: nothing is
  ever sent by Celery's canvas, `compiling` makes steps of the whole and `sending` sends them;
- an errback is one errback, however many tasks of a chain or group Celery hands it to.

Not here: what a composed tree means (`compiling`), and how it is written and drawn (`written`,
`graph`).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from celery import canvas
from celery.result import EagerResult
from celery.utils.functional import maybe_list, regen

# A chain that Celery composes is a `_chain`; the public `chain` only makes them.
from celery.canvas import _chain  # isort: skip

from nbqueue.client.canvas import compiling, eager, running
from nbqueue.client.canvas.composition import ERRBACK, TASK, checked
from nbqueue.client.canvas.graph import Graph, graph_of
from nbqueue.client.canvas.written import written
from nbqueue.client.job import Job
from nbqueue.client.schedules.schedule import Schedule
from nbqueue.client.schedules.timed import MakeRule, Timed
from nbqueue.core.errors import UsageError

if TYPE_CHECKING:
    from nbqueue.client.task import AnyTask

Beside: Any = object
"""Base of what stands beside one of Celery's classes, whose methods are not known to mypy."""

Kind = type["Workflow"]

_OURS: dict[type, Kind] = {}
"""Celery's classes, and those of ours that take their place."""


class Workflow(Timed, Beside):
    """What can be composed and run: a signature, a chain, a group, a chord, a map.

    The methods that Celery's signatures have are there: ``set``, ``clone``, ``link``,
    ``link_error``, ``on_error`` and others.
    """

    kind = ""
    """Name among Celery's types of signatures, by which `clone` and the like find the class."""

    # -- composing -----------------------------------------------------------------------------

    def __or__(self, other: Any) -> Any:
        if callable(getattr(other, "misfit", None)):  # a task, without `.s`: `checked` says so
            checked(other)
        return adopt(super().__or__(other))

    def __ror__(self, other: Any) -> Any:
        if isinstance(other, Job):
            return running.go_on(other, self)
        if isinstance(other, canvas.Signature):  # one of Celery's own, which Python asks second
            return adopt(other.__or__(self))
        return NotImplemented

    def clone(
        self, args: Iterable[Any] | None = None, kwargs: dict[str, Any] | None = None, **opts: Any
    ) -> Any:
        """Give a copy; ``args`` go in front of its own, ``kwargs`` and options are added.

        >>> double.s().clone((21,))
        double(21)
        """
        made = super().clone(args, kwargs, **opts)
        # Celery forgets these of anything but a call.
        for key, value in self._kept(args).items():
            made[key] = value
        return made

    def _kept(self, args: Iterable[Any] | None) -> dict[str, Any]:
        merged, _, _ = self._merge(tuple(args or ()), None, None)
        return {"args": merged, "immutable": self.immutable}

    def link_error(self, errback: Any) -> Any:
        """Have a signature called when this fails; give that signature.

        It is called once, whichever and however many of a chain's or a group's tasks fail, with the
        failed call's request, the exception and the traceback, or if it takes but one argument,
        with the failed item's id.

        >>> double.s(2).link_error(double.si(0))            # doctest: +CLUSTER
        double(0)
        """
        if not self._has(_errback(errback)):
            super().link_error(_one(errback))
        return errback

    def _has(self, errback: dict[str, Any]) -> bool:
        known = maybe_list(self.options.get("link_error")) or ()
        return any(other == errback or _bare(other) == errback for other in known)

    def freeze(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: Celery's way to give a call its id before it is sent.

        Raises:
            UsageError: always; the message says what to do instead.

        >>> double.s(2).freeze()                            # doctest: +CLUSTER
        Traceback (most recent call last):
        ...
        nbqueue.core.errors.UsageError: ...
        """
        raise UsageError(
            "a call has no id before it is sent: job = workflow.delay() gives job.id at once, and "
            "the ids of its items are that and their numbers (f'{job.id}-0')"
        )

    # -- running -------------------------------------------------------------------------------

    def apply_async(
        self,
        args: Iterable[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        *,
        name: str | None = None,
        **options: Any,
    ) -> Job:
        """Run it with more arguments in front, and options for this run; see `nbqueue.run`.

        >>> (double.s(2) | double.s()).apply_async(name="eight").result()  # doctest: +CLUSTER
        8
        """
        return running.start(self, name, () if args is None else args, kwargs, options)

    def delay(self, *args: Any, **kwargs: Any) -> Job:
        """Run it with more arguments in front: Celery's name for running.

        >>> double.s().delay(21).result()                   # doctest: +CLUSTER
        42
        """
        return self.apply_async(args, kwargs)

    def apply(
        self,
        args: Iterable[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        **options: Any,
    ) -> EagerResult:
        """Run it in this process, one call after the other; Celery's way to try a workflow out.

        Gives Celery's result: ``get()`` is what the last step returned, or raises what a call did.

        >>> (double.s(2) | double.s()).apply().get()
        8
        """
        return eager.applied(running.drafted(self, args or (), kwargs, options))

    def _schedule(
        self,
        make_rule: MakeRule,
        name: str | None,
        args: Iterable[Any],
        kwargs: dict[str, Any] | None,
        options: dict[str, Any],
    ) -> Schedule:
        return running.scheduled(self, make_rule, name, args, kwargs, options)

    def __invert__(self) -> Any:
        return self.apply_async().result()

    # -- looking -------------------------------------------------------------------------------

    def graph(self) -> Graph:
        """Give a drawing: SVG in a notebook, text elsewhere; nothing is sent.

        >>> (double.s(1) | double.s()).graph()
        1  double(1)
        2  double(‹1›)
        """
        return graph_of(compiling.draft(self))

    def __repr__(self) -> str:
        try:
            return written(self)
        except RecursionError:  # Celery composes what nothing can walk
            return f"<{type(self).__name__}, very deeply nested>"

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuilt, (dict(self),)


def _ours(kind: str, *celerys: type) -> Callable[[type], type]:
    """Register a class of ours with Celery, and as taking the place of Celery's."""

    def register(ours: Any) -> Any:
        ours.kind = kind
        _OURS.update(dict.fromkeys(celerys, ours))
        return canvas.Signature.register_type(kind)(ours)

    return register


@_ours("nbqueue.call", canvas.Signature)
class Signature(Workflow, canvas.Signature):
    """A call of a task that is not made yet; from ``task.s(…)``, ``task.si(…)``, `signature`.

    Calling it runs the function here, as in Celery; ``delay``, ``apply_async`` and `nbqueue.run`
    send it.

    >>> call = double.s(4)
    >>> call, call()
    (double(4), 8)
    """

    def __init__(self, task: Any = None, *args: Any, **options: Any) -> None:
        super().__init__(task, *args, **options)
        if not isinstance(task, dict):
            self[TASK] = None if isinstance(task, str) else task
        self._type = self.get(TASK)
        self["subtask_type"] = self.kind

    @classmethod
    def from_dict(cls, d: dict[str, Any], app: Any = None) -> Signature:
        """Make one of a dict with its fields.

        >>> nq.Signature.from_dict(dict(double.s(2))).delay().result()  # doctest: +CLUSTER
        4
        """
        return cls(d, app=app)

    def _kept(self, args: Iterable[Any] | None) -> dict[str, Any]:
        return {TASK: self[TASK]}


class _Composed(Workflow):
    """What is made of several signatures; calling it runs it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self["subtask_type"] = self.kind

    def __call__(self, *args: Any, **kwargs: Any) -> Job:
        return self.apply_async(args, kwargs)


@_ours("nbqueue.chain", _chain, canvas.chain)
class Chain(_Composed, _chain):
    """Signatures one after the other; made by ``|`` and `nbqueue.chain`."""


@_ours("nbqueue.group", canvas.group)
class Group(_Composed, canvas.group):
    """Signatures side by side; made by `nbqueue.group`."""

    def link_error(self, errback: Any) -> Any:
        """Have a signature called, once, when one or more of the members fail."""
        return canvas.group.link_error(self, _one(_errback(errback)))


@_ours("nbqueue.chord", canvas.chord)
class Chord(_Composed, canvas.chord):
    """A group, and a body that takes the list of its results; made by `nbqueue.chord`."""

    def __call__(self, body: Any = None, **options: Any) -> Job:
        """Run it, with this body if it has none."""
        made = self.clone() if body is not None else self
        if body is not None:
            made.body = body
        return made.apply_async(**options)

    def link_error(self, errback: Any) -> Any:
        """Have a signature called, once, when the header or the body fail."""
        # Through the body, whose errbacks are the header's too; Celery's own way asks an app's
        # settings and warns.
        if self.body is not None:
            self.body.link_error(errback)
        elif not self._has(_errback(errback)):
            self.append_to_list_option("link_error", _one(errback))
        return errback


class _Mapped(_Composed):
    """A task over an iterable that is known, or that comes from the step before."""

    def __init__(self, task: Any, it: Any, *args: Any, **options: Any) -> None:
        super().__init__(task, (), *args, **options)
        known = it is not None
        # Celery caches what any iterable gives, to have it again; a range, say, can do that itself.
        self.kwargs["it"] = regen(it) if known and iter(it) is it else it
        self["immutable"] = known


@_ours("nbqueue.map", canvas.xmap)
class Map(_Mapped, canvas.xmap):
    """A call for each value; made by `nbqueue.map`."""


@_ours("nbqueue.starmap", canvas.xstarmap)
class Starmap(_Mapped, canvas.xstarmap):
    """A call for each tuple of arguments; made by `nbqueue.starmap`."""


@_ours("nbqueue.chunks", canvas.chunks)
class Chunks(_Mapped, canvas.chunks):
    """A call for each tuple of arguments, so many to a message; made by `nbqueue.chunks`."""

    def group(self) -> Group:
        """Give it as Celery's group: a starmap for each chunk, whose results are lists."""
        made: Group = adopt(canvas.chunks.group(self))
        return made


def adopt(composed: Any) -> Any:
    """Give what Celery has composed in classes of ours; anything else as it is."""
    ours = _OURS.get(type(composed))
    if ours is not None:
        celerys, composed = composed, ours.__new__(ours)
        composed.update(celerys)
        composed.__dict__.update(celerys.__dict__)
        composed["subtask_type"] = ours.kind
        composed["kwargs"] = dict(composed.kwargs)
        if ours is Signature:
            composed.setdefault(TASK, None)
    if isinstance(composed, Chain) and any(type(task) in _OURS for task in composed.tasks):
        composed.tasks = [adopt(task) for task in composed.tasks]
    elif isinstance(composed, Chord) and type(composed.body) in _OURS:
        composed.body = adopt(composed.body)
    return composed


def rebuilt(fields: dict[str, Any]) -> Any:
    """Give a signature again, of its fields."""
    return canvas.Signature.from_dict(fields)


def call(task: AnyTask, args: Iterable[Any], kwargs: dict[str, Any], immutable: bool) -> Signature:
    """Give the signature of a call of a task."""
    return Signature(task, tuple(args), kwargs, immutable=immutable)


def _errback(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise UsageError(f"{found!r} is not a signature, so it cannot be linked")
    return found


def _one(errback: dict[str, Any]) -> Any:
    """Give an errback that is told from others like it, and is the same in all its copies.

    Marked on a copy: one that is linked by hand to two tasks is two, and one that Celery hands on
    to all tasks of a chain stays one.
    """
    if ERRBACK in errback["options"]:
        return errback
    return canvas.maybe_signature(errback, clone=True).set(**{ERRBACK: secrets.token_hex(8)})


def _bare(errback: dict[str, Any]) -> dict[str, Any]:
    options = {key: value for key, value in errback["options"].items() if key != ERRBACK}
    return {**errback, "options": options}
