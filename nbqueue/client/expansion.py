"""Values to columns: the dtype a person would give them, a column a field, a column a parameter."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from nbqueue.store.values.arguments import Block

_NAMES = frozenset({str})

_FAMILIES: dict[type, str] = {
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    datetime: "time",
    timedelta: "time",
}


def column(values: Any) -> Any:
    """Give values as a column: numbers as numbers, text as text, anything else as it is.

    ``None`` is a gap and leaves the dtype alone where that can hold one: floats get NaN, whole
    numbers and booleans become nullable.
    """
    import numpy as np

    array = _objects(values)
    kinds = set(map(type, array))
    gaps = type(None) in kinds
    kinds.discard(type(None))
    if array.dtype != object or not kinds:
        return array
    scalars = (np.number, np.bool_, np.datetime64, np.timedelta64)
    if not gaps and all(issubclass(kind, scalars) for kind in kinds):
        return np.array(array.tolist())  # numpy's own scalars keep their precision
    try:
        return _typed(array, {_family(kind) for kind in kinds}, gaps=gaps)
    except (OverflowError, TypeError, ValueError):  # beyond 64 bits, or text that is no Unicode
        return array


def _typed(array: Any, families: set[str], *, gaps: bool) -> Any:
    import numpy as np
    import pandas as pd

    if families == {"int"}:
        return pd.array(array, dtype="Int64") if gaps else array.astype(np.int64)
    if families <= {"int", "float"}:
        return np.where(pd.isna(array), np.nan, array).astype(np.float64)
    if families == {"bool"}:
        return pd.array(array, dtype="boolean") if gaps else array.astype(np.bool_)
    if families <= {"str", "time"} and len(families) == 1:
        return pd.Series(array).infer_objects().array
    return array


def _family(kind: type) -> str:
    """Name the dtype that values of a type want; a type's own name when none is better."""
    import numpy as np
    import pandas as pd

    for scalar, family in (
        (np.bool_, "bool"),
        (np.timedelta64, "time"),  # which numpy has among the integers
        (np.datetime64, "time"),
        (np.integer, "int"),
        (np.floating, "float"),
        (np.str_, "str"),
    ):
        if issubclass(kind, scalar):
            return family
    if kind in (pd.Timestamp, pd.Timedelta):
        return "time"
    return _FAMILIES.get(kind, f"{kind.__module__}.{kind.__qualname__}")


def numbers(values: Sequence[Any]) -> Any:
    """Give values of one of Python's number types as an array, and any others as they are."""
    import numpy as np

    kinds = set(map(type, values))
    if len(kinds) == 1 and (kind := kinds.pop()) in (bool, int, float):
        try:
            return np.array(values, dtype={bool: np.bool_, int: np.int64, float: np.float64}[kind])
        except OverflowError:  # beyond 64 bits
            pass
    return values


def scatter(n: int, pieces: Sequence[tuple[Any, Any]]) -> Any:
    """Give a column of ``n`` from pieces of it: (item numbers, what `numbers` gave for them)."""
    import numpy as np
    import pandas as pd

    dtypes = {piece.dtype if isinstance(piece, np.ndarray) else object for _, piece in pieces}
    whole = sum(len(items) for items, _ in pieces) == n
    if dtypes and (dtypes <= {np.dtype(int), np.dtype(float)} or dtypes == {np.dtype(bool)}):
        out = np.zeros(n, dtype=np.result_type(*dtypes))
        missing = np.ones(n, dtype=np.bool_)
        for items, piece in pieces:
            out[items] = piece
            missing[items] = False
        if whole:
            return out
        if out.dtype.kind == "f":
            out[missing] = np.nan
            return out
        nullable = pd.arrays.BooleanArray if out.dtype.kind == "b" else pd.arrays.IntegerArray
        return nullable(out, missing)
    objects = np.full(n, None, dtype=object)
    for items, piece in pieces:
        objects[items] = _objects(piece.tolist() if isinstance(piece, np.ndarray) else piece)
    return column(objects)


def join(parts: Sequence[Any]) -> Any:
    """Put columns one after the other."""
    import numpy as np
    import pandas as pd

    if not parts:
        return np.empty(0, dtype=object)
    if len(parts) == 1:
        return parts[0]
    dtypes = {part.dtype for part in parts}
    if all(isinstance(part, np.ndarray) for part in parts) and (
        len(dtypes) == 1 or dtypes <= {np.dtype(int), np.dtype(float)}
    ):
        return np.concatenate(parts)
    if len(dtypes) == 1:
        return pd.concat([pd.Series(part) for part in parts], ignore_index=True).array
    # Of different kinds: what all of them together want.
    objects = [np.asarray(part, dtype=object) for part in parts]
    whole = np.concatenate(objects)
    if object not in dtypes:
        whole[pd.isna(whole)] = None
    return column(whole)


def _objects(values: Any) -> Any:
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
    dtype = getattr(results, "dtype", None)
    if dtype is not None and dtype.kind != "O":
        return None
    rows = [None if value is None else fields(value) for value in results]
    found = [row for row, value in zip(rows, results, strict=True) if value is not None]
    if not found or any(row is None for row in found):
        return None
    names = list(dict.fromkeys(name for row in found if row is not None for name in row))
    if not names:
        return None
    return {
        name: column([None if row is None else row.get(name) for row in rows]) for name in names
    }


def fields(value: Any) -> Mapping[str, Any] | None:
    """Give what a dict, a named tuple or a dataclass holds, by name; ``None`` for anything else."""
    if isinstance(value, dict):
        named = _NAMES.issuperset(map(type, value))
        return value if named else {str(k): v for k, v in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return dict(value._asdict())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    return None


def bind(
    params: Sequence[str], signature: inspect.Signature | None, block: Block
) -> dict[str, Sequence[Any]]:
    """Give, for each parameter, what each call of a block passed for it, defaults included.

    Without a signature (the function cannot be loaded here) parameters are matched by position and
    defaults are unknown: ``None``.
    """
    n = len(block)
    if block.columns is not None:
        bound = _bound(signature, block.columns, n) or dict(
            zip(params, block.columns, strict=False)
        )
        return {name: bound.get(name, [None] * n) for name in dict.fromkeys([*params, *bound])}
    rows = [_row(params, signature, *block.call(place)) for place in range(n)]
    names = dict.fromkeys([*params, *(name for row in rows for name in row)])
    return {name: [row.get(name) for row in rows] for name in names}


def _bound(
    signature: inspect.Signature | None, columns: Sequence[Sequence[Any]], n: int
) -> dict[str, Sequence[Any]] | None:
    """Give each parameter its column; ``None`` when they do not fit the signature."""
    if signature is None:
        return None
    try:
        bound = signature.bind(*columns)
    except TypeError:
        return None
    found: dict[str, Sequence[Any]] = {}
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            rest = bound.arguments.get(name, ())
            found[name] = list(zip(*rest, strict=True)) if rest else [()] * n
        elif parameter.kind is parameter.VAR_KEYWORD:
            found[name] = [{}] * n
        else:
            found[name] = bound.arguments.get(name) or [parameter.default] * n
    return found


def _row(
    params: Sequence[str],
    signature: inspect.Signature | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> dict[str, Any]:
    if signature is not None:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:  # it was checked when it was sent, perhaps by another version
            pass
        else:
            bound.apply_defaults()
            return dict(bound.arguments)
    return dict(zip(params, args, strict=False)) | kwargs
