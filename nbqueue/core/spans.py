"""Lengths of time, as a person would say and write them."""

from __future__ import annotations

import re

_UNITS = (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1))


def span(seconds: float) -> str:
    """Give a length of time in one or two units.

    >>> [span(s) for s in (0.0000456, 0.0123, 0.31, 3.21, 42, 75, 3700, 180_000)]
    ['46 µs', '12 ms', '0.31 s', '3.2 s', '42 s', '1 min 15 s', '1 h 1 min', '2 d 2 h']
    """
    if not seconds:
        return "0 s"
    for unit, size in (("µs", 1e-6), ("ms", 1e-3)):
        if seconds < 100 * size:
            return f"{float(f'{seconds / size:.2g}'):g} {unit}"  # not 1e+02 µs
    if seconds < 10:
        return f"{seconds:.2g} s" if seconds < 1 or seconds == int(seconds) else f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, size_s, smaller, part_s in _UNITS:
        if whole >= size_s:
            rest = whole % size_s // part_s
            return f"{whole // size_s} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def exactly(seconds: float) -> str:
    """Give a length of time in as many units as it takes, without rounding.

    >>> [exactly(s) for s in (1, 90, 5400, 86400, 3661, 1.5)]
    ['1 s', '1 min 30 s', '1 h 30 min', '1 d', '1 h 1 min 1 s', '1.5 s']
    """
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count:.0f} {unit}")
    return " ".join([*parts, f"{seconds:g} s"] if seconds or not parts else parts)


_SIZES = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604_800.0}
_WORDS = {
    "s": ("s", "sec", "secs", "second", "seconds"),
    "m": ("m", "min", "mins", "minute", "minutes"),
    "h": ("h", "hr", "hrs", "hour", "hours"),
    "d": ("d", "day", "days"),
    "w": ("w", "week", "weeks"),
}
_UNIT_OF = {word: unit for unit, words in _WORDS.items() for word in words}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*")


def seconds(text: str) -> float:
    """Read a length of time: numbers with units (s, m, h, d, w), the largest unit first.

    Raises:
        ValueError: it is none; the message says how one looks.

    >>> [seconds(text) for text in ("10m", "1h30m", "90s", "1.5 h", "2 days")]
    [600.0, 5400.0, 90.0, 5400.0, 172800.0]
    """
    lower = text.strip().lower()
    total, before, at = 0.0, float("inf"), 0
    while (part := _PART.match(lower, at)) is not None and part[2] in _UNIT_OF:
        size = _SIZES[_UNIT_OF[part[2]]]
        if size >= before:
            break
        total, before, at = total + float(part[1]) * size, size, part.end()
    if not lower or at != len(lower):
        raise ValueError(f"{text!r} is no length of time; one looks like '10m', '1h30m' or '90s'")
    return total
