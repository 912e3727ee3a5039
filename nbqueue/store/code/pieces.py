"""What `nq.apply` sends: a function, and how it is applied to a piece of somebody's data.

It runs in workers, which need not have loaded pandas or Polars: the pieces bring them along.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Call:
    """A function with what it is given beside its piece."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __call__(self, piece: Any) -> Any:
        """Call the function."""
        return self.function(piece, *self.args, **self.kwargs)


@dataclass(frozen=True)
class Applied:
    """The body of a job whose items are pieces."""

    how: Callable[[Any, Call], Any]
    call: Call

    def __call__(self, piece: Any) -> Any:
        """Apply the function to a piece."""
        return self.how(piece, self.call)


def by_row(frame: Any, call: Call) -> Any:
    """Apply a function to each row of a DataFrame."""
    return frame.apply(call, axis=1)


def by_value(series: Any, call: Call) -> Any:
    """Apply a function to each value of a Series."""
    return series.apply(call)


def by_piece(frame: Any, call: Call) -> Any:
    """Apply a function to a piece as it is."""
    return call(frame)


def by_group(groups: Sequence[tuple[Any, Any]], call: Call) -> list[Any]:
    """Apply a function to each of some groups (key and rows), named as pandas names them."""
    found = []
    for key, group in groups:
        object.__setattr__(group, "name", key)
        found.append(call(group))
    return found


# -- Polars' ---------------------------------------------------------------------------------------


def by_tuple(frame: Any, call: Call) -> list[Any]:
    """Apply a function to each row of a Polars frame, a tuple."""
    return [call(row) for row in frame.iter_rows()]


def by_element(series: Any, call: Call) -> list[Any]:
    """Apply a function to each value of a Polars series."""
    return [call(value) for value in series]


def by_frame(groups: Sequence[Any], call: Call) -> list[Any]:
    """Apply a function to each of some groups of a Polars frame."""
    return [call(group) for group in groups]
