"""What became of a job under a fault: the log's records and what the items themselves wrote down.

Pure. Two witnesses are compared. *The log* says which items were recorded, how and when. *The
tally* (`work`) is a file that each item writes a line into when it begins and when it ends, past
nbqueue and its Redis: it says what really ran.
"""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from math import inf

from nbqueue.core import states
from nbqueue.core.records import Outcomes
from nbqueue.core.splitting import indices


@dataclass(frozen=True)
class Line:
    """One line of the tally."""

    item: int
    pid: int
    at: float
    """Seconds since the epoch."""
    ended: bool
    """Else it began."""


def lines_of(text):
    """Give the lines of a tally; one that is torn (its process was killed) is none."""
    words = [line.split() for line in text.splitlines() if line.endswith(" .")]
    return [Line(int(w[0]), int(w[1]), float(w[2]), w[3] == "ended") for w in words]


@dataclass(frozen=True)
class Account:
    """What is said of a trial in its line of the table."""

    items: int
    lost: int
    """Not recorded as a success, or recorded as one without having run to its end."""
    twice: int
    """Named by more than one outcome of a round."""
    ran_twice: int
    """Begun more than once: what a fault costs."""
    back_s: float
    """From the fault to the next outcome that is recorded; 0 when there were all before it."""
    pause_s: float
    """The longest time from the fault to the end in which none was recorded."""
    held_s: float
    """From the fault until everything was recorded that ran at that moment."""


def audit(n, records, tally, fault_at):
    """Give the account of a job.

    ``records``: (seconds since the epoch, record) of its log; ``tally``: its `Line` objects.
    """
    outcomes = [(at, record) for at, record in records if isinstance(record, Outcomes)]
    named = Counter((r.round, i) for _, r in outcomes for i in indices(r.runs))
    recorded = recorded_at(outcomes)
    begun = Counter(line.item for line in tally if not line.ended)
    ended = {line.item for line in tally if line.ended}
    good = {i for _, r in outcomes for i in successes(r)}
    before = {line.item for line in tally if not line.ended and line.at < fault_at}
    running = [i for i in before if recorded.get(i, inf) > fault_at]
    never = inf if any(recorded.get(i, inf) > fault_at for i in range(n)) else 0.0
    later = [fault_at, *(at for at, _ in outcomes if at > fault_at)]
    return Account(
        items=n,
        lost=n - len(good & ended & set(range(n))),
        twice=sum(1 for count in named.values() if count > 1),
        ran_twice=sum(1 for count in begun.values() if count > 1),
        back_s=later[1] - fault_at if later[1:] else never,
        pause_s=max((b - a for a, b in pairwise(later)), default=never),
        held_s=max((recorded.get(i, inf) - fault_at for i in running), default=0.0),
    )


def recorded_at(outcomes):
    """Say when each item was first recorded."""
    found = {}
    for at, record in outcomes:
        for i in indices(record.runs):
            found.setdefault(i, at)
    return found


def successes(record):
    """Give the items that a record says have succeeded."""
    items = list(indices(record.runs))
    return [i for i, code in zip(items, record.states, strict=True) if code == states.SUCCESS_CODE]
