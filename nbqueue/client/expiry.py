"""How long jobs are kept: the setting ``result_expires``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from nbqueue.core.errors import UsageError
from nbqueue.core.settings import RESULT_EXPIRES_S


def expiry(value: Any) -> float:
    """Give ``result_expires`` in seconds, 0 for the default.

    Raises:
        UsageError: it is no time, or not between a second and `RESULT_EXPIRES_S`: functions and
            large values are kept for little longer than that, and a job without them is lost.
    """
    if value is None:
        return 0.0
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not is_number or not 1 <= seconds <= RESULT_EXPIRES_S:
        raise UsageError(
            f"result_expires is a timedelta or seconds, from 1 to {RESULT_EXPIRES_S:,} (a week), "
            f"not {value!r}"
        )
    return float(seconds)
