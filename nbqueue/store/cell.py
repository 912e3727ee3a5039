"""`Cell`: a notebook cell as it travels to a worker, in the place of a function.

It is dumped like a function (`store.functions.dump`): its namespace goes by value, with the modules
beside the notebook. A worker does not call it but runs it as IPython would (`worker.cells`), once
for each item, in a namespace of its own: the parameters are bound first, and the result of the item
is a dict of the names that were asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Cell:
    """A cell's text and what it needs of the notebook."""

    source: str
    """As it was typed: magics and shell escapes are the worker's to transform."""
    title: str
    """What tracebacks call it."""
    namespace: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Names that the cell reads, and their values here."""
    out: tuple[str, ...] = ()
    """Names to bring back; those that the cell leaves unbound are left out of the result."""
    params: tuple[str, ...] = ()
    """Names that the items' arguments are bound to, in order."""
    expression: bool = False
    """The source is one expression, and its value is the result (``%enqueue expr``)."""
    missing: tuple[str, ...] = ()
    """Names that the cell reads and the notebook did not have: for the hint on a NameError."""

    @property
    def __name__(self) -> str:
        return self.title


@dataclass(frozen=True)
class NotBrought:
    """Stands in a cell's result for a value that could not be pickled."""

    type: str
    reason: str

    def __repr__(self) -> str:
        return f"<{self.type}, not brought back: {self.reason}>"
