"""The functions every peer runs. They import nothing of a peer, so each pays only for itself."""

import time


def noop(value: int) -> int:
    """Return the argument, so that the order of what comes back can be checked."""
    return value


def total(values: list[int]) -> int:
    return sum(values)


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def block(size: int) -> bytes:
    return bytes(size)
