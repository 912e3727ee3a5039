"""What is said of a whole job, as the widget says it (`static/job/words.js`, `numbers.js`)."""

from __future__ import annotations

from nbqueue.core import states
from nbqueue.core.spans import span
from nbqueue.notebook.picture import JobPicture

_OPEN = {states.PENDING: "waiting", states.STARTED: "running"}


def headline(picture: JobPicture) -> str:
    """Give how a job stands, in a word or two.

    >>> headline(JobPicture("sweep", "fit", "STARTED", 3, {}, False, 0.0))
    'running'
    """
    if not picture.finished:
        return _OPEN.get(picture.state, picture.state)
    n, counts = picture.n, picture.counts
    failed, cancelled = counts.get(states.FAILURE, 0), counts.get(states.REVOKED, 0)
    if not n:
        return "finished, no items"
    if not failed and not cancelled:
        return "succeeded"
    if failed == n:
        return "failed"
    if not failed:
        return "cancelled" if cancelled == n else f"{cancelled:,} of {n:,} cancelled"
    return f"finished, {failed:,} failed" + (f", {cancelled:,} cancelled" if cancelled else "")


def figures(picture: JobPicture) -> list[str]:
    """Give how far a job is, how fast, and how long it takes.

    >>> figures(JobPicture("sweep", "fit", "STARTED", 9, {"SUCCESS": 3}, False, 2, 1.5, 4))
    ['3 of 9', '1.5/s', '4 s left', '2 s elapsed']
    """
    done = picture.counts.get(states.SUCCESS, 0) + picture.counts.get(states.FAILURE, 0)
    parts = [f"{done:,} of {picture.n:,}" if picture.n else "no items"]
    if picture.cached:
        many = "all" if picture.cached == picture.n else f"{picture.cached:,}"
        parts.append(f"{many} from the cache")
    if picture.n > 1 and picture.items_per_s:
        parts.append(pace(picture.items_per_s))
    if picture.finished:
        return [*parts, f"took {span(picture.elapsed_s)}"]
    if picture.eta_s is not None:
        parts.append(f"{span(max(1, round(picture.eta_s)))} left")
    return [*parts, f"{span(picture.elapsed_s)} elapsed"]


def pace(per_s: float) -> str:
    """Give how many items a second, a minute or an hour.

    >>> [pace(x) for x in (12345.6, 4.26, 0.5, 0.01)]
    ['12,346/s', '4.3/s', '30/min', '36/h']
    """
    if per_s >= 100:
        return f"{per_s:,.0f}/s"
    for unit, seconds in (("s", 1), ("min", 60)):
        if per_s * seconds >= 1:
            return f"{float(f'{per_s * seconds:.2g}'):g}/{unit}"
    return f"{float(f'{per_s * 3600:.2g}'):g}/h"
