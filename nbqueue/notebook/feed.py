"""What a job's front ends have been told of its items, and what they have to be told next.

    live.state.states ──Feed.advance──► delta     uint32 seq, then uint32 index << 4 | state, ...
                                        snapshot  uint32 seq, uint32 n, then a byte for two items

Both are little-endian. Deltas are numbered; a front end that has missed one asks for a snapshot,
which holds exactly what all deltas up to its number have told, so that a page that is loaded anew
and a page that was there all along show the same.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    Column = np.ndarray[Any, np.dtype[Any]]

_RECENT_S = 10.0
"""The rate is that of the last so many seconds, so that the ETA follows what happens now."""

_SAMPLE_S = 0.25
"""Samples for the rate are so far apart. Lower: a longer list for the same number."""

_NIBBLE = 4


class Feed:
    """The states of a job's items as its front ends have them."""

    def __init__(self, n: int) -> None:
        self.seq = 0
        """Number of the last delta."""
        self.told: Column = np.zeros(n, dtype=np.uint8)
        self.delta = b""
        """The last delta; empty when the change was too large for one."""

    def advance(self, states: bytes | bytearray) -> bool:
        """Take the items' present states; say whether there is news.

        Afterwards ``delta`` holds it, or is empty when a snapshot is the shorter way to tell it.
        """
        now = np.frombuffer(states, dtype=np.uint8)
        grown = len(now) - len(self.told)
        if grown:  # a workflow has found out how many items a step has
            self.told = np.concatenate([self.told, np.zeros(grown, dtype=np.uint8)])
        changed = np.flatnonzero(now != self.told)
        if not len(changed) and not grown:
            return False
        self.seq += 1
        new = now[changed]
        self.told[changed] = new
        if grown or 4 * len(changed) > len(self.told) // 2:
            self.delta = b""
        else:
            words = np.empty(len(changed) + 1, dtype="<u4")
            words[0] = self.seq
            words[1:] = (changed << _NIBBLE) | new
            self.delta = words.tobytes()
        return True

    def snapshot(self) -> bytes:
        """Give everything that was told so far."""
        told = self.told
        pairs = np.zeros((len(told) + 1) // 2, dtype=np.uint8)
        pairs[: (len(told) + 1) // 2] = told[0::2]
        pairs[: len(told) // 2] |= told[1::2] << _NIBBLE
        return np.array([self.seq, len(told)], dtype="<u4").tobytes() + pairs.tobytes()


class Pace:
    """How quickly items end, over the last seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def rate(self, now: float, done: int) -> float | None:
        """Note how many items have ended; give items a second, ``None`` while it is not known."""
        samples = self._samples
        if samples and done < samples[-1][1]:  # a retry: items have become open again
            samples.clear()
        if not samples or now - samples[-1][0] >= _SAMPLE_S:
            samples.append((now, done))
        while len(samples) > 2 and now - samples[1][0] >= _RECENT_S:
            samples.popleft()
        then, before = samples[0]
        if now - then < _SAMPLE_S or done == before:
            return None
        return (done - before) / (now - then)
