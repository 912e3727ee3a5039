"""How often what a running item prints is written: at first at each tick, and ever less often.

A record of the log costs some 200 bytes beside the text. An item that prints a dot a second for a
week would have half a million of them; as it is, the number of records grows with the square root
of time: 3,000 in an hour, 5,000 in four. What is printed meanwhile is not lost, only later.
"""

from __future__ import annotations

_OFTEN = 100
"""So many times an item's outputs are written at each tick; then at every second one, and so on."""


class Pace:
    """Says when the outputs of a running item are due."""

    def __init__(self, tick_s: float) -> None:
        self._tick_s = tick_s
        self._times = 0
        self._due = 0.0

    def is_due(self, now: float) -> bool:
        """Say whether they are to be written now, by any clock that goes on steadily."""
        if now < self._due:
            return False
        self._times += 1
        # A little early: whoever asks comes by once a tick, about.
        self._due = now + self._tick_s * (self._times // _OFTEN)
        return True

    def begin_again(self) -> None:
        """Take it that the next item begins."""
        self._times, self._due = 0, 0.0
