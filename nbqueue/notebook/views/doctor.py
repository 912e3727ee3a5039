"""What ``nq.doctor()`` found, as HTML: a table, a row a finding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbqueue.core import states
from nbqueue.notebook.brief import cut
from nbqueue.notebook.views import palette, sheet
from nbqueue.notebook.views.outputs import quoted

if TYPE_CHECKING:
    from nbqueue.client.doctor.findings import Report

_LOOKS = {
    "OK": palette.LOOKS[states.SUCCESS],
    "WARN": palette.LOOKS[states.RETRY],
    "FAIL": palette.LOOKS[states.FAILURE],
}
_TEXT = 500


def report(found: Report) -> str:
    """Give the findings, each with what mends it below it."""
    rows = [
        (_mark(finding.status), finding.check, cut(finding.text, _TEXT), cut(finding.advice, _TEXT))
        for finding in found.findings
    ]
    table = sheet.table(("", "check", "", "what to do"), rows, images=(0,))
    return f'<div style="font-size:13px"><b>{quoted(found.text)}</b></div>{table}'


def _mark(status: str) -> str:
    look = _LOOKS[status]
    return (
        f'<span style="color:{look.colour};white-space:nowrap">{look.mark} {quoted(status)}</span>'
    )
