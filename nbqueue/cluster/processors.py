"""How many processors this machine has for us.

A container on a large machine sees all of its processors, and may use the time of two: Binder,
Kubernetes and Docker limit time, by a quota of the control group. A process a visible processor
would then be thirty-two, of which each has a sixteenth of one, and memory for none.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

_GROUP = Path("/sys/fs/cgroup")


def processors(group: Path = _GROUP) -> int:
    """Give how many processors may be used at once, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        visible = len(os.sched_getaffinity(0))  # fewer than cpu_count under taskset
    else:
        visible = os.cpu_count() or 1
    quota = _quota(group)
    return visible if quota is None else max(1, min(visible, math.ceil(quota)))


def _quota(group: Path) -> float | None:
    """Give the control group's limit, in processors; ``None`` when there is none.

    Version 2 of control groups writes it as "200000 100000" (microseconds, in each so many) or
    "max 100000" into ``cpu.max``, version 1 into two files, with -1 for no limit.
    """
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            words = [word for name in names for word in (group / name).read_text().split()]
            limit, period = map(int, words)
        except (OSError, ValueError):  # another version, another system, or "max"
            continue
        if limit > 0 and period > 0:
            return limit / period
    return None
