"""How fairly jobs shared the workers, counted in items, so that a slow machine changes nothing.

Had all jobs begun at the same time and taken turns item by item, then at the end of a job of n
items every other one would have had n, too, or all that it has. What was served by then beside
that is the measure: 1 is fair; a job that waits behind all others has a multiple of it.
"""

from bisect import bisect_right
from collections.abc import Sequence


def shares(ends: Sequence[Sequence[float]]) -> list[float]:
    """Give for each job how much was served until its end, beside what is fair.

    ``ends``: when each item of each job ended.
    """
    served = sorted(end for job in ends for end in job)
    found = []
    for job in ends:
        fair = sum(min(len(other), len(job)) for other in ends)
        found.append(bisect_right(served, max(job)) / fair)
    return found
