"""A task's parameters: whether what it is to be called with fits, before anything is sent."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from typing import Any

from nbqueue.client.dispatch import Named, Row


class Parameters:
    """What a task takes. Of some built-ins nobody can say: then the worker finds out."""

    def __init__(self, name: str, function: Callable[..., Any], *, is_checked: bool) -> None:
        self.name = name
        self.signature = _signature(function)
        self.names = tuple(self.signature.parameters) if self.signature else ()
        self._is_checked = is_checked
        self._counts = _counts(self.signature) if self.signature else range(0)
        """How many arguments it takes by position alone, which is what most calls are made of:
        `bind` takes ten times as long to find that out."""
        self.owner = ""
        """The class in whose body the task stands as if it were a method; empty for most."""

    def misfit(self, args: Row, kwargs: dict[str, Any]) -> str | None:
        """Say why the function does not take these arguments; ``None`` when it may."""
        if not self._is_checked or self.signature is None:
            return None
        if not kwargs and len(args) in self._counts:
            return None
        try:
            self.signature.bind(*args, **kwargs)
        except TypeError as exc:
            return f"{self.name}{self.signature}: {exc}{self._no_method()}"
        return None

    def rows(self, rows: Iterable[Iterable[Any]]) -> Iterator[Row]:
        """Give rows as tuples of arguments that the function takes."""
        sizes: set[int] = set()
        for i, row in enumerate(rows):
            args = row if type(row) is tuple else self._spread(i, row)
            if type(args) is not Named and len(args) not in sizes:
                self.check(len(args), f"item {i}: ")
                sizes.add(len(args))
            yield args

    def _spread(self, i: int, row: Any) -> Row:
        if isinstance(row, Mapping):
            return self._by_name(i, row)
        # What has no order, or is one value to whoever writes it, is spread by mistake.
        if not isinstance(row, (str, bytes, bytearray, Set)):
            with suppress(TypeError):
                return tuple(row)
        raise TypeError(
            f"item {i} is {row!r}, but {self.name} needs a tuple of arguments for each item, or a "
            "dict of them by name (map takes bare values); nothing was sent"
        )

    def _by_name(self, i: int, row: Mapping[Any, Any]) -> Row:
        try:
            if self.signature is None:
                raise TypeError("nobody can say what its parameters are called")
            bound = self.signature.bind(**row)
            bound.apply_defaults()
        except TypeError as exc:
            raise TypeError(
                f"item {i} is {row!r}, which {self.name}{self.signature or '()'} cannot be given "
                f"by name: {exc}; nothing was sent"
            ) from None
        return Named(bound.args, bound.kwargs) if bound.kwargs else bound.args

    def check_iterables(self, iterables: Sequence[Any], method: str) -> None:
        """Raise a TypeError unless there are as many iterables as the function takes arguments."""
        where = f"{self.name}.{method}()"
        if not iterables:
            raise TypeError(f"{where} needs at least one iterable")
        self.check(len(iterables))
        for iterable in iterables:
            check_iterable(iterable, where, "for one call, submit() it")

    def check(self, count: int, where: str = "") -> None:
        """Raise a TypeError unless the function takes so many positional arguments."""
        if not self._is_checked or self.signature is None:
            return
        try:
            self.signature.bind(*(None,) * count)
        except TypeError as exc:
            raise TypeError(
                f"{where}{self.name}{self.signature} does not take {count} positional "
                f"argument(s): {exc}{self._no_method()}; nothing was sent"
            ) from None

    def _no_method(self) -> str:
        if not self.owner:
            return ""
        first = self.names[0]
        return (
            f" (a task in a class is no method, so {first!r} is not filled in: give the object, "
            f"{self.owner}.{self.name}({first}, ...), or decorate a function that takes it)"
        )


def given_args(args: Any, where: str) -> Row:
    """Give positional arguments as a tuple.

    Raises:
        TypeError: it is no tuple or list of them: one argument, most likely.
    """
    if isinstance(args, (str, bytes)) or not isinstance(args, Iterable):
        raise TypeError(
            f"{where} takes a tuple or a list of arguments, not {args!r}: for one, args=({args!r},)"
        )
    return tuple(args)


def check_iterable(value: Any, where: str, hint: str) -> None:
    """Raise a TypeError unless a value can be gone through."""
    if not hasattr(value, "__iter__") and not hasattr(value, "__getitem__"):
        raise TypeError(f"{where} takes iterables, not {value!r} ({hint}); nothing was sent")


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (ValueError, TypeError):  # some built-ins have none: then the worker finds out
        return None


def _counts(signature: inspect.Signature) -> range:
    parameters = signature.parameters.values()
    if any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
        return range(0)
    placed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    fewest = sum(p.default is p.empty for p in placed)
    endless = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    return range(fewest, sys.maxsize if endless else len(placed) + 1)
