"""Values to columns: the dtype a person would give them, a column a field, a column a parameter."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

Call = tuple[tuple[Any, ...], dict[str, Any]]

_NUMBERS = (bool, int, float)


def column(values: Sequence[Any], missing: int = 0) -> Any:
    """Give values as a column: numbers as numbers, text as text, anything else as it is.

    ``missing`` of them are ``None`` because there is no value (yet), and leave the dtype alone
    where it can hold a gap: floats get NaN, whole numbers and booleans become nullable.
    """
    import numpy as np
    import pandas as pd

    kinds = set(map(type, values))
    if missing:
        kinds.discard(type(None))
    array = _objects(values)
    if kinds == {float} or kinds == {int, float}:
        return pd.to_numeric(pd.Series(array)).astype(np.float64).array
    if kinds <= {int} and kinds:
        try:
            return pd.array(array, dtype="Int64") if missing else array.astype(np.int64)
        except OverflowError:  # beyond 64 bits: Python's own numbers
            return array
    if kinds == {bool}:
        return pd.array(array, dtype="boolean") if missing else array.astype(np.bool_)
    if kinds == {str}:
        return pd.Series(array).infer_objects().array
    if kinds and all(issubclass(kind, np.generic) for kind in kinds) and not missing:
        return np.array(list(array))
    return array


def _objects(values: Sequence[Any]) -> Any:
    import numpy as np

    if isinstance(values, np.ndarray):
        return values
    # Element by element: numpy would take a column of lists for a matrix.
    array = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        array[i] = value
    return array


def expand(results: Sequence[Any]) -> dict[str, Any] | None:
    """Give a column a field when all results are dicts, named tuples or dataclasses; else ``None``.

    Fields come in the order in which they are first seen; where a result lacks one, the column has
    a gap.
    """
    if getattr(results, "dtype", object) != object:
        return None
    rows = [None if value is None else _fields(value) for value in results]
    found = [row for row, value in zip(rows, results, strict=True) if value is not None]
    if not found or any(row is None for row in found):
        return None
    names = list(dict.fromkeys(name for row in found if row is not None for name in row))
    if not names:
        return None
    return {
        name: column(
            [None if row is None else row.get(name) for row in rows],
            missing=sum(row is None or name not in row for row in rows),
        )
        for name in names
    }


def _fields(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, dict):
        return {str(k): v for k, v in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return dict(value._asdict())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    return None


def bind(
    params: Sequence[str], signature: inspect.Signature | None, calls: Sequence[Call]
) -> dict[str, list[Any]]:
    """Give, for each parameter, what each call passed for it.

    Without a signature (the function cannot be loaded here) parameters are matched by position and
    defaults are unknown: ``None``.
    """
    if signature is None:
        rows = [dict(zip(params, args, strict=False)) | kwargs for args, kwargs in calls]
    else:
        rows = []
        for args, kwargs in calls:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            rows.append(dict(bound.arguments))
    names = list(dict.fromkeys([*params, *(name for row in rows for name in row)]))
    return {name: [row.get(name) for row in rows] for name in names}
