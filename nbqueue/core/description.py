"""What a message is called where Celery shows its arguments: in events, in Flower, in `inspect`.

    grid[10:20] of job 5f0c...

What a message really holds is opaque there (`store.broker.message`). This is for people, and for
finding the messages of a job; whoever reads it trusts it with nothing.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_TEXT = re.compile(
    r"(?P<job>.*)\[(?P<start>\d{1,9}):(?P<stop>\d{1,9})\] of job (?P<id>[0-9a-z-]{1,64})\Z",
    re.DOTALL,
)
_SOMEWHERE = re.compile(r"\[(?P<start>\d{1,9}):(?P<stop>\d{1,9})\] of job (?P<id>[0-9a-z-]{1,64})")


class Described(NamedTuple):
    """A message, as its description has it."""

    job: str
    """The job's name."""
    start: int
    stop: int
    job_id: str


def describe(job: str, start: int, stop: int, job_id: str) -> str:
    """Give the description of a message.

    >>> describe("grid", 10, 20, "5f0c")
    'grid[10:20] of job 5f0c'
    """
    return f"{job}[{start}:{stop}] of job {job_id}"


def described(text: object) -> Described | None:
    """Read a description; ``None`` when it is none.

    >>> described("grid[10:20] of job 5f0c")
    Described(job='grid', start=10, stop=20, job_id='5f0c')
    >>> described("(1, 2)") is None
    True
    """
    match = _TEXT.match(text) if isinstance(text, str) else None
    if match is None:
        return None
    return Described(match["job"], int(match["start"]), int(match["stop"]), match["id"])


def found_in(text: str) -> Described | None:
    """Find a description in what is left of a message, without the job's name.

    >>> found_in('{"headers": {"argsrepr": "grid[10:20] of job 5f0c", "la')
    Described(job='', start=10, stop=20, job_id='5f0c')
    """
    match = _SOMEWHERE.search(text)
    if match is None:
        return None
    return Described("", int(match["start"]), int(match["stop"]), match["id"])
