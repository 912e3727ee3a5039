"""`Task`: a function that can be sent to workers."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, ParamSpec, TypeVar

from nbqueue.client import behaving, caching, dispatch, streaming
from nbqueue.client.canvas.signature import Signature, call
from nbqueue.client.connecting import default_client
from nbqueue.client.dispatch import Row, Submission
from nbqueue.client.job import Errors, Job, check_errors
from nbqueue.client.options import TaskOptions, check_count, check_name
from nbqueue.client.parameters import Parameters, check_iterable, given_args
from nbqueue.client.schedules import making
from nbqueue.client.schedules.schedule import Schedule
from nbqueue.client.schedules.terms import Terms
from nbqueue.client.schedules.timed import MakeRule, Timed
from nbqueue.core.errors import UsageError
from nbqueue.core.settings import STREAM_ITEMS
from nbqueue.store.code.behaviour import Behaviour
from nbqueue.store.values import bounds

P = ParamSpec("P")
R = TypeVar("R")


class Task(Timed, Generic[P, R]):
    """A function that can be called here, or sent to workers; made by ``@nq.task``.

    >>> @nq.task                                            # doctest: +CLUSTER
    ... def double(x):
    ...     return 2 * x
    >>> double(4)                                           # doctest: +CLUSTER
    8
    >>> double.map(range(3)).result()                       # doctest: +CLUSTER
    [0, 2, 4]
    """

    def __init__(self, function: Callable[P, R], options: TaskOptions) -> None:
        if not callable(function):
            raise UsageError(f"nq.task decorates a function, not {function!r}")
        functools.update_wrapper(self, function, updated=())
        self.function = function
        self.options = options
        self.body = behaving.body(function, self.name, options)
        """What travels, and is called: the function, with the behaviour that options give it."""
        is_checked = behaving.flag(options, "typing", True)
        self._parameters = Parameters(self.name, self.body, is_checked=is_checked)

    @property
    def name(self) -> str:
        """The task's name: the option ``name``, or the function's own."""
        return self.options.name or name_of(self.function)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function here, as if it had never been decorated."""
        if self._parameters.owner and (misfit := self._parameters.misfit(args, kwargs)):
            raise TypeError(misfit)
        return self.body(*args, **kwargs)  # type: ignore[no-any-return]  # R, as the user says

    def __set_name__(self, owner: type, _: str) -> None:
        """Note the class whose method this looks like: a call that leaves out ``self`` says why."""
        if self._parameters.names[:1] == ("self",) and not self.options.bind:
            self._parameters.owner = owner.__name__

    def __repr__(self) -> str:
        return f"<Task {self.name}{self._parameters.signature or '(...)'}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # A task that another function refers to travels with it, as its function and options.
        return Task, (self.function, self.options)

    def with_options(self, **options: Any) -> Task[P, R]:
        """Give the same task with some options changed (those of `nq.task`).

        >>> urgent = double.with_options(priority=9, time_limit=60)  # doctest: +CLUSTER
        >>> urgent.map([1, 2]).result()                     # doctest: +CLUSTER
        [2, 4]
        """
        changed = Task(self.function, self.options.updated(options))
        if behaving.is_same(changed, self):
            changed.body = self.body  # whose address is known
        return changed

    # -- one call ------------------------------------------------------------------------------

    def submit(self, /, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Send one call; ``job.result()`` is what the function returns.

        Raises:
            TypeError: the function does not take these arguments; nothing was sent.
            NotPicklable: an argument, or something the function uses, cannot travel.
            BrokerUnreachable: the broker does not take it.

        >>> double.submit(21).result()                      # doctest: +CLUSTER
        42
        """
        return self._submit(args, kwargs, name=None)

    def delay(self, /, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Send one call: Celery's name for `submit`.

        >>> double.delay(21).result()                       # doctest: +CLUSTER
        42
        """
        return self._submit(args, kwargs, name=None)

    def apply_async(
        self,
        args: Iterable[Any] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        name: str | None = None,
        **options: Any,
    ) -> Job:
        """Send one call with options for this call: Celery's form of `submit`.

        Args:
            args: Positional arguments.
            kwargs: Keyword arguments.
            name: A name for the job.
            **options: ``queue``, ``priority`` and the other options of `nq.task`.

        >>> double.apply_async((21,), name="answer").result()   # doctest: +CLUSTER
        42
        """
        task = self.with_options(**options) if options else self
        return task._submit(given_args(args, "apply_async"), dict(kwargs or {}), name=name)

    # -- many calls ----------------------------------------------------------------------------

    def map(self, *iterables: Iterable[Any], name: str | None = None) -> Job:
        """Send one item for each element of the iterables, as the built-in ``map`` pairs them.

        The shortest iterable ends it; of none or an empty one comes a finished job of 0 items.
        Iterables are consumed now, a block of arguments at a time, and items run once all are in
        the store: a job is sent whole or not at all. What takes long to give its elements, or
        never ends, is for `imap`. What is the same for all items goes by ``functools.partial``.

        Args:
            *iterables: One for each parameter.
            name: A name for the job, by which ``nq.job`` finds it.

        Raises:
            TypeError: the function does not take that many arguments; nothing was sent.
            JobTooLarge: the iterables give more than one job may have; nothing was sent.

        >>> double.map([1, 2, 3]).result()                  # doctest: +CLUSTER
        [2, 4, 6]
        >>> square = nq.task(functools.partial(pow, exp=2))
        >>> square.map([1, 2, 3]).result()                  # doctest: +CLUSTER
        [1, 4, 9]
        """
        self._parameters.check_iterables(iterables, "map")
        bounds.check_ahead(*iterables)
        if len(iterables) == 1:
            return self._submit_rows(iterables[0], name, bare=True)
        return self._submit_rows(zip(*iterables, strict=False), name)

    def starmap(self, iterable: Iterable[Iterable[Any]], name: str | None = None) -> Job:
        """Send one item for each tuple of arguments, as ``itertools.starmap`` spreads them.

        A dict gives its arguments by name (scikit-learn's ``ParameterGrid``, the records of a
        frame), also those that the function takes by name only.

        Raises:
            TypeError: something is no such arguments, or the function does not take them.

        >>> power = nq.task(pow)                            # doctest: +CLUSTER
        >>> power.starmap([(2, 5), (3, 2)]).result()        # doctest: +CLUSTER
        [32, 9]
        >>> power.starmap([{"exp": 5, "base": 2}]).result() # doctest: +CLUSTER
        [32]
        """
        check_iterable(
            iterable, f"{self.name}.starmap()", "it wants a tuple of arguments for each item"
        )
        bounds.check_ahead(iterable)
        return self._submit_rows(self.checked(iterable), name)

    def chunks(self, iterable: Iterable[Iterable[Any]], n: int, name: str | None = None) -> Job:
        """Send tuples of arguments, ``n`` items to a message: Celery's ``chunks``.

        Unlike Celery's, each item has its own result, error and times. `map` and `starmap` find a
        good size by themselves; this is for those who know better.

        Raises:
            UsageError: ``n`` is less than 1 (it is a ValueError too).

        >>> double.chunks([(1,), (2,), (3,)], 2).result()   # doctest: +CLUSTER
        [2, 4, 6]
        """
        return self.with_options(chunksize=check_count(n, "n")).starmap(iterable, name)

    def imap(
        self,
        *iterables: Iterable[Any],
        buffersize: int = STREAM_ITEMS,
        errors: Errors = "raise",
        name: str | None = None,
    ) -> Iterator[Any]:
        """Map over what is more than one job may be, or never ends; give the results in order.

        The iterables are read as results are taken, at most ``buffersize`` items and 64 MB of
        arguments ahead of them; what was taken is forgotten. So memory is bounded here and in the
        store, and items begin before all are read. It is sent in parts, which are jobs of their
        own, and there is no job of the whole: for a widget, a frame, retries, or to find it again,
        `map`. An error of an iterable is raised after the results of what it gave before. Closing
        the iterator cancels what was sent ahead.

        Args:
            *iterables: One for each parameter.
            buffersize: Most items that are sent ahead of the results that were taken.
            errors: What to do about items that failed or were cancelled: ``"raise"`` the first
                one's exception, which ends it, ``"return"`` exceptions in their places, or
                ``"drop"`` them.
            name: A name for the parts, with a number behind it.

        Raises:
            TypeError: the function does not take that many arguments.
            UsageError: ``buffersize`` is less than 1 (it is a ValueError too).

        >>> import itertools
        >>> evens = double.imap(itertools.count())          # doctest: +CLUSTER
        >>> [next(evens) for _ in range(3)]                 # doctest: +CLUSTER
        [0, 2, 4]
        >>> evens.close()                                   # doctest: +CLUSTER
        """
        self._parameters.check_iterables(iterables, "imap")
        check_count(buffersize, "buffersize")
        check_errors(errors)
        base = check_name(name) or f"{self.name}-imap-{dispatch.new_id()[:6]}"
        client, bare = default_client(), len(iterables) == 1
        numbers = itertools.count()

        def send(rows: list[Any]) -> streaming.Part:
            large = streaming.Measured(client.blobs)
            sub = self.submission(f"{base}.{next(numbers)}")
            job_id = dispatch.new_id()
            try:
                job = dispatch.submit_rows(client, sub, rows, bare=bare, blobs=large, job_id=job_id)
                return streaming.Part(job, large.bytes + sum(map(len, job._live.blocks.values())))
            except KeyboardInterrupt:  # it may have been sent just before
                dispatch.withdraw(client, job_id)
                raise

        rows = iter(iterables[0]) if bare else zip(*iterables, strict=False)
        return streaming.stream(rows, send, buffersize, errors)

    # -- calls to be composed ------------------------------------------------------------------

    def s(self, /, *args: Any, **kwargs: Any) -> Signature:
        """Give the signature of a call, to be composed into a workflow; nothing is sent.

        The value of the step before comes in front of ``args``.

        >>> double.s(2) | double.s()
        double(2) | double()
        >>> (double.s(2) | double.s()).delay().result()     # doctest: +CLUSTER
        8
        """
        return call(self, args, kwargs, immutable=False)

    def si(self, /, *args: Any, **kwargs: Any) -> Signature:
        """Give an immutable signature: it gets nothing from the step before, but waits for it.

        >>> (double.s(2) | double.si(5)).delay().result()   # doctest: +CLUSTER
        10
        """
        return call(self, args, kwargs, immutable=True)

    def signature(
        self,
        args: Iterable[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
        *,
        immutable: bool = False,
        **more: Any,
    ) -> Signature:
        """Give the signature of a call with options for it: those of `nq.task`.

        >>> double.signature((21,), queue="celery").delay().result()   # doctest: +CLUSTER
        42
        """
        made = call(self, args or (), dict(kwargs or {}), immutable=immutable)
        made.set(**{**(options or {}), **more})
        return made

    # -- inside --------------------------------------------------------------------------------

    def misfit(self, args: Row, kwargs: dict[str, Any]) -> str | None:
        """Say why the function does not take these arguments; ``None`` when it may."""
        return self._parameters.misfit(args, kwargs)

    def checked(self, rows: Iterable[Iterable[Any]]) -> Iterator[Row]:
        """Give rows as tuples of arguments that the function takes."""
        return self._parameters.rows(rows)

    def _submit(self, args: Row, kwargs: dict[str, Any], name: str | None) -> Job:
        if why := self._parameters.misfit(args, kwargs):
            raise TypeError(f"{why}; nothing was sent")
        client = default_client()
        return dispatch.submit_call(client, self.submission(name), args, kwargs)

    def _schedule(
        self,
        make_rule: MakeRule,
        name: str | None,
        args: Iterable[Any],
        kwargs: dict[str, Any] | None,
        options: dict[str, Any],
    ) -> Schedule:
        terms, rest = Terms.split(options)
        task = self.with_options(**rest) if rest else self
        args, kwargs = given_args(args, "a schedule"), dict(kwargs or {})
        if why := task.misfit(args, kwargs):
            raise TypeError(f"{why}; nothing was sent")
        sub = task.submission(name if name is not None else task.name)
        return making.make(default_client(), sub, task.body, args, kwargs, make_rule, terms)

    def _submit_rows(self, rows: Iterable[Any], name: str | None, *, bare: bool = False) -> Job:
        client = default_client()
        return dispatch.submit_rows(client, self.submission(name), rows, bare=bare)

    def submission(self, name: str | None) -> Submission:
        """Give the task as it is sent."""
        address = default_client().code.address(self.body)
        known_by = self.body if self.options.bind else self.function
        cache = caching.key(known_by, self.name, self.options.cache)
        return Submission(
            self.name, address, self._parameters.names, self.options, check_name(name), cache=cache
        )


AnyTask = Task[Any, Any]


def of_behaviour(behaviour: Behaviour, options: Mapping[str, Any]) -> AnyTask:
    """Give the task that a behaviour travelled for, with the options that its job was sent with.

    For ``self.s`` and its like, in a worker, where only the behaviour has arrived.
    """
    function, name, bind, base, attributes = behaviour.parts
    own = {"name": name, "bind": bind, "base": base, **attributes}
    made = Task(function, TaskOptions().updated({**own, **options}))
    made.body = behaviour
    return made


def name_of(function: Callable[..., Any]) -> str:
    """Give the name that a person knows a callable by: below partials, and a task's own."""
    while isinstance(function, functools.partial):
        function = function.func
    own = getattr(function, "__name__", type(function).__name__)
    return str(function.name if isinstance(function, Task) else own)
