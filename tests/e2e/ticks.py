"""What schedules run in the tests, and what came of it."""

import nbqueue as nq


@nq.task
def tick(x=1):
    return 2 * x


def ended(schedule):
    """The runs that have ended, latest first: named tuples of the history's columns."""
    history = schedule.history()
    return list(history[history["finished"].notna()].reset_index().itertuples())
