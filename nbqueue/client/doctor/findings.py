"""What `doctor` finds, as data and as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["OK", "WARN", "FAIL"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    check: str
    """What: ``broker``, ``store``, ``key``, ``worker NAME`` ..."""
    status: Status
    text: str
    advice: str = ""
    """What to do next; empty when nothing needs to be."""


def good(check: str, text: str) -> Finding:
    """Give a finding that needs nothing."""
    return Finding(check, "OK", text)


def doubtful(check: str, text: str, advice: str) -> Finding:
    """Give one that works now, and may not for long."""
    return Finding(check, "WARN", text, advice)


def bad(check: str, text: str, advice: str) -> Finding:
    """Give one that does not work."""
    return Finding(check, "FAIL", text, advice)


@dataclass(frozen=True)
class Report:
    """What ``nq.doctor()`` found, in the order in which it was looked at."""

    findings: tuple[Finding, ...]
    took_s: float

    @property
    def ok(self) -> bool:
        """Whether nothing has failed (there may be warnings)."""
        return all(finding.status != "FAIL" for finding in self.findings)

    @property
    def text(self) -> str:
        """The sum of it, in a few words."""
        failed = sum(finding.status == "FAIL" for finding in self.findings)
        warned = sum(finding.status == "WARN" for finding in self.findings)
        parts = [f"{failed} failed"] * bool(failed) + [f"{warned} to look at"] * bool(warned)
        return ", ".join(parts) or "all is well"

    def to_frame(self) -> pd.DataFrame:
        """Give a row a finding: ``check``, ``status``, ``text``, ``advice``."""
        import pandas as pd

        names = ("check", "status", "text", "advice")
        return pd.DataFrame(
            {name: [getattr(found, name) for found in self.findings] for name in names}
        )

    def __repr__(self) -> str:
        width = max((len(found.check) for found in self.findings), default=0)
        lines = []
        for found in self.findings:
            lines.append(f"{found.status:4}  {found.check.ljust(width)}  {found.text}")
            if found.advice:
                lines.append(f"{' ' * (width + 8)}→ {found.advice}")
        return "\n".join([*lines, f"{self.text} ({len(self.findings)} checks)"])
