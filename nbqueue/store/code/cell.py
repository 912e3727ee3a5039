"""`Cell`: a notebook cell as it travels to a worker, in the place of a function.

It is dumped like a function (`store.code.functions.dump`): its namespace goes by value, with the
modules beside the notebook. A worker does not call it but runs it as IPython would
(`worker.cells.cells`), once for each item, in a namespace of its own: the parameters are bound
first, and the result of the item is a dict of the names that were asked for, and under `VALUE` what
its last expression gave.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
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

    imports: tuple[str, ...] = ()
    """Modules that the source imports: those beside the notebook travel along."""
    value: bool = False
    """Bring back the value of the last expression."""
    pictures: bool = True
    """Bring back figures, and what is on them; else they are left to the items' outputs."""
    after: tuple[str, ...] = ()
    """Jobs that it was to follow, as they were named: for the hint on a NameError."""

    @property
    def meaning(self) -> tuple[Any, ...]:
        """What a run of the cell depends on, for the cache: not what it is called."""
        shape = self.out, self.params, self.expression, self.value, self.pictures
        return self.source, dict(self.namespace), *shape

    @property
    def __name__(self) -> str:
        return self.title

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickled together, all functions of one namespace get one dict of globals again. With a
        # function of the notebook's among them that dict is at hand: it becomes `namespace`, so
        # that a name which the cell assigns is seen by the functions that it came with.
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return _arrived, (types.FunctionType(_ANCHOR, vars(sys.modules["__main__"])), values)


_ANCHOR = (lambda: None).__code__.replace(co_filename="<nbqueue>")


def _arrived(anchor: types.FunctionType, values: dict[str, Any]) -> Cell:
    """Rebuild a cell with its functions' globals as its namespace.

    By name: a client may know a field more, or a field less, than a worker of another version.
    """
    anchor.__globals__.update(values["namespace"])
    known = {f.name: values[f.name] for f in fields(Cell) if f.name in values}
    return Cell(**{**known, "namespace": anchor.__globals__})


class Unnamed(str):
    """A key of a cell's result that is no name of the cell's."""

    __slots__ = ()


VALUE = Unnamed("value")
"""Key of the value of its last expression."""


@dataclass(frozen=True)
class NotBrought:
    """Stands in a cell's result for a value that could not be pickled."""

    type: str
    reason: str

    def __repr__(self) -> str:
        return f"<{self.type}, not brought back: {self.reason}>"
