"""``nbqueue doctor``: a look at all of a cluster."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from nbqueue.cli import parsing

_EPILOG = """\
A line a check: OK, WARN (works, and may not for long) or FAIL, and what mends it. Looked at are
broker and store, keys, versions and clocks of all workers, queues that nobody consumes, disks, jobs
that are stuck, and the private cluster's processes and logs. It starts nothing, and takes a few
seconds. The exit status is 1 if anything has failed.
"""


def add(commands: Any) -> None:
    """Add the command."""
    sub = parsing.add(
        commands,
        "doctor",
        doctor,
        "say what of a cluster does not work, and what mends it",
        epilog=_EPILOG,
    )
    parsing.add_urls(sub, "default: $NBQUEUE_BROKER, else the private cluster")
    sub.add_argument("--json", action="store_true", help="for programs")


def doctor(options: argparse.Namespace) -> int:
    """Look at a cluster; 0 when nothing has failed."""
    from nbqueue.client.doctor.examining import doctor

    report = doctor(options.broker, backend=options.backend)
    if options.json:
        found = [asdict(finding) for finding in report.findings]
        print(json.dumps({"ok": report.ok, "took_s": report.took_s, "findings": found}, indent=2))
    else:
        print(report)
    return 0 if report.ok else 1
