"""`task`: what makes a function a `Task`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, overload

from nbqueue.client.options import TaskOptions
from nbqueue.client.task import Task

P = ParamSpec("P")
R = TypeVar("R")


@overload
def task(fn: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(fn: None = None, /, **options: Any) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(
    fn: Callable[P, R] | None = None, /, **options: Any
) -> Task[P, R] | Callable[[Callable[P, R]], Task[P, R]]:
    """Make a function a task, to be sent to workers by ``submit``, ``map`` and their like.

    The function travels by value, with what it uses of the notebook and of modules beside it, as it
    is when a job is submitted.

    Args:
        fn: The function.
        **options: ``name``, ``queue``, ``priority``, ``chunksize``, ``soft_time_limit``,
            ``time_limit``, ``bind``, ``base``, ``max_retries``, ``autoretry_for`` and so on: see
            `TaskOptions`.

    Raises:
        TypeError: there is no such option.

    >>> @nq.task(name="twice")                              # doctest: +CLUSTER
    ... def f(x):
    ...     return 2 * x
    >>> f                                                   # doctest: +CLUSTER
    <Task twice(x)>

    With ``bind=True`` the first parameter is the task, as in Celery; items are retried one by one:

    >>> @nq.task(bind=True, max_retries=5)                  # doctest: +CLUSTER
    ... def shy(self, x):
    ...     if self.request.retries < x:
    ...         raise self.retry(countdown=0.1, exc=OSError("not yet"))
    ...     return self.request.retries
    >>> shy.map(range(3)).result()                          # doctest: +CLUSTER
    [0, 1, 2]
    """
    chosen = TaskOptions().updated(options)
    if fn is None:
        return lambda function: Task(function, chosen)
    return Task(fn.function if isinstance(fn, Task) else fn, chosen)
