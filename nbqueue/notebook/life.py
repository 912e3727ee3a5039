"""The life of a display, decided: what is known of it goes in, what to do comes out.

    LIVE ──the job ends──► (somebody may act on it?) ──yes──► LINGER ──nobody acts──► STATIC
      ▲                                  └──────no────────────────────────────────────►│
      └───────────────────────── the job is retried ───────────────────────────────────┘

A widget cannot stay for ever: a saved notebook that names a widget shows an error when it is opened
again, so at the end of the job plain HTML takes its place. But a button that says "Retry failed"
must be there long enough to be clicked, and a table that somebody sorts must not go away under the
mouse. No thread, no clock and no IPython here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import inf

LINGER_S = 60.0
"""After the end, and after the last touch, a widget stays this long. Lower: it goes while somebody
reads an error; higher: more saved notebooks hold a widget."""

IN_USE_S = 10.0
"""A widget without failures goes when it was not touched for this long: there is nothing to act on,
but it must not go away under the mouse."""

ATTACH_S = 10.0
"""A front end that is known to be there gets this long to show the widget of a job that has ended
already, before it counts as absent."""

_HTML_S = 0.5
"""HTML is replaced at most this often."""

_SPARES = 10
"""The page that front ends keep for when the kernel goes, and save with a job that runs, is renewed
so many times less often than HTML: every five seconds at most. Lower: a saved notebook is nearer to
what was seen when it was saved, and the kernel makes more pages that nobody looks at."""

_SHARE = 0.05
"""HTML may take this much of one core: a page of a million items comes less often."""

_BYTES_PER_S = 500_000
"""HTML may send this much: each update is a whole page."""


class Step(Enum):
    """What to do with a display now."""

    KEEP = "keep"
    """Bring it up to date, if it is live."""
    SETTLE = "settle"
    """Put the static page in its place; it rests until the job is retried."""


@dataclass(frozen=True)
class Seen:
    """What is known of a widget's display; times are monotonic seconds."""

    over: bool
    """The job has ended, or nothing more is heard of it."""
    failed: bool = False
    """Something could be retried."""
    attended: bool = False
    """A front end shows it."""
    expected: bool = False
    """A front end is known to be there, though it may not have come to showing it."""
    late: bool = False
    """It was displayed after its end: somebody wants to look at it."""
    shown_at: float = 0.0
    over_at: float = 0.0
    touched_at: float = -inf
    """When a person last clicked or typed in it."""
    closed: bool = False
    """Its client is closed: no button would work."""


def decide(seen: Seen, now: float) -> Step:
    """Decide about a widget."""
    if not seen.over:
        return Step.KEEP
    if seen.closed:
        return Step.SETTLE
    wanted = seen.failed or seen.late
    if not wanted and now - seen.touched_at >= IN_USE_S:
        return Step.SETTLE
    if not seen.attended:
        waits = seen.expected and now - max(seen.shown_at, seen.over_at) < ATTACH_S
        return Step.KEEP if waits else Step.SETTLE
    since = max(seen.shown_at, seen.over_at, seen.touched_at)
    return Step.KEEP if now - since < LINGER_S else Step.SETTLE


def pause_s(cost_s: float, size_bytes: int) -> float:
    """Give how long HTML that took so long to make, and is so large, is left as it is.

    >>> pause_s(0.001, 5_000), pause_s(0.1, 5_000), pause_s(0.001, 1_000_000)
    (0.5, 2.0, 2.0)
    """
    return max(_HTML_S, cost_s / _SHARE, size_bytes / _BYTES_PER_S)


def spare_s(cost_s: float, size_bytes: int) -> float:
    """Give how long the page is left as it is that front ends keep for when the kernel goes.

    >>> spare_s(0.001, 5_000), spare_s(0.1, 5_000)
    (5.0, 20.0)
    """
    return _SPARES * pause_s(cost_s, size_bytes)
