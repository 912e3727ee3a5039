"""Lengths of time, as a person would say them."""

from __future__ import annotations

_UNITS = (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1))


def span(seconds: float) -> str:
    """Give a length of time in one or two units.

    >>> [span(s) for s in (0.0000456, 0.0123, 0.31, 3.21, 42, 75, 3700, 180_000)]
    ['46 µs', '12 ms', '0.31 s', '3.2 s', '42 s', '1 min 15 s', '1 h 1 min', '2 d 2 h']
    """
    for unit, size in (("µs", 1e-6), ("ms", 1e-3)):
        if seconds < 100 * size:
            return f"{seconds / size:.2g} {unit}"
    if seconds < 10:
        return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, size_s, smaller, part_s in _UNITS:
        if whole >= size_s:
            rest = whole % size_s // part_s
            return f"{whole // size_s} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"
