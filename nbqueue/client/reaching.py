"""Reaching jobs from anywhere: `job` and `jobs` of the default client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbqueue.client.client import default_client
from nbqueue.client.job import Job

if TYPE_CHECKING:
    import pandas as pd


def job(id_or_name: str) -> Job:
    """Find a job by its id, or the latest of that name, whichever process submitted it.

    Raises:
        UnknownJob: there is none; the message lists near matches.

    >>> _ = double.map([1, 2], name="pair")                 # doctest: +CLUSTER
    >>> nq.job("pair").result()                             # doctest: +CLUSTER
    [2, 4]
    """
    return default_client().job(id_or_name)


def jobs() -> pd.DataFrame:
    """List all jobs in the store, latest first.

    Indexed by job id; columns ``name``, ``task``, ``state`` (category), ``n``, ``done``,
    ``success``, ``failure``, ``revoked`` (counts of items), ``submitted``, ``finished`` (UTC; NaT
    while it runs).

    >>> job = double.map([1, 2], name="listed")             # doctest: +CLUSTER
    >>> nq.jobs().loc[job.id, "name"]                       # doctest: +CLUSTER
    'listed'
    """
    return default_client().jobs()
