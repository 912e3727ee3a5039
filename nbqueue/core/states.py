"""States of an item, by Celery's names, and the one-byte codes the log and the fold keep them as.

    PENDING ──► STARTED ──► SUCCESS
                 ▲ │ │ └───► FAILURE ──(job.retry)──► PENDING
                 │ ▼ └─────► REVOKED
                RETRY (waits to run again) ──► REVOKED

An item is *done* in SUCCESS, FAILURE and REVOKED; only ``job.retry`` leads out of FAILURE.
The codes are part of the stored format: add to the end, never renumber.
"""

from __future__ import annotations

from typing import Final

PENDING: Final = "PENDING"
STARTED: Final = "STARTED"
RETRY: Final = "RETRY"
SUCCESS: Final = "SUCCESS"
FAILURE: Final = "FAILURE"
REVOKED: Final = "REVOKED"

NAMES: Final = (PENDING, STARTED, RETRY, SUCCESS, FAILURE, REVOKED)

PENDING_CODE: Final = 0
STARTED_CODE: Final = 1
RETRY_CODE: Final = 2
SUCCESS_CODE: Final = 3
FAILURE_CODE: Final = 4
REVOKED_CODE: Final = 5

FIRST_DONE_CODE: Final = SUCCESS_CODE
"""Codes from here on are final."""
