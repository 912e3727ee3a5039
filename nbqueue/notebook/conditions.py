"""``depth > 3 and auc >= 0.9``: what a person may ask of a job's table. Pure.

Texts that are not made of conditions on columns that exist are none of this file's business: they
are searched for as they are.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Column = np.ndarray[Any, np.dtype[Any]]

_ONE = re.compile(r"([^\s<>=!,&]+)\s*(<=|>=|==|!=|=|<|>)\s*([^\s<>=!,&]+)")
_BETWEEN = re.compile(r"[\s,&]*(?:\band\b[\s,&]*)*")

_COMPARES = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True)
class Condition:
    """What one column must be like."""

    name: str
    comparison: str
    value: str

    def __repr__(self) -> str:
        return f"Condition({self.name!r}, {self.comparison!r}, {self.value!r})"


def read(text: str, names: Collection[str]) -> list[Condition]:
    """Give the conditions that a text consists of; none when it is anything else.

    >>> read("depth>3 and auc >= 0.9", {"depth", "auc"})
    [Condition('depth', '>', '3'), Condition('auc', '>=', '0.9')]
    >>> read("depth > 3 or so", {"depth"}), read("a=b", {"depth"})
    ([], [])
    """
    found = [Condition(*match.groups()) for match in _ONE.finditer(text)]
    rest = _ONE.sub(" ", text)
    if not _BETWEEN.fullmatch(rest) or any(condition.name not in names for condition in found):
        return []
    return found


def holds(condition: Condition, column: Any) -> Column:
    """Say for each value of a column whether it meets a condition; what is missing does not.

    Values are compared as numbers with a number, and as texts, in any case, with anything else.
    """
    import pandas as pd

    values = pd.Series(column)
    compare = _COMPARES[condition.comparison]
    known = values.notna()
    try:
        wanted: Any = float(condition.value)
        values = pd.to_numeric(values, errors="coerce").astype("float64")
        known &= values.notna()
    except ValueError:
        wanted = condition.value.strip("'\"").casefold()
        values = values.astype(str).str.casefold()
    found: Column = (compare(values, wanted) & known).to_numpy(dtype=bool)
    return found
