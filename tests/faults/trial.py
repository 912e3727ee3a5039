"""One fault under one job: items run, the fault is staged among them, and the account is taken."""

import time
from dataclasses import dataclass

from nbqueue.client.client import Client
from tests.e2e.servers import until
from tests.faults.audit import Account, audit, lines_of
from tests.faults.stage import END_S
from tests.faults.work import tallying


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    fault: str
    broker: str
    account: Account

    def __str__(self):
        a = self.account
        return (
            f"{self.fault:<50} {self.broker:<9} {a.items:>6} {a.lost:>5} {a.twice:>6} "
            f"{a.ran_twice:>6} {a.back_s:>6.1f} {a.pause_s:>6.1f} {a.held_s:>6.1f}"
        )


TITLE = (
    f"{'fault':<50} {'broker':<9} {'items':>6} {'lost':>5} {'twice':>6} "
    f"{'rerun':>6} {'next s':>6} {'pause':>6} {'held':>6}"
)


class Trial:
    """A job of ``n`` items on a stage, which tally what they do.

    All of them take its eight processes ``seconds``, were there nothing but the items.
    """

    def __init__(self, stage, n, seconds=8.0):
        self.stage = stage
        self.n = n
        self._nap_s = seconds * 8 / n
        self.tally = stage.folder / f"tally-{time.monotonic_ns()}"
        self.tally.touch()
        self.fault_at = 0.0
        self.job = None

    def begin(self, name=None):
        """Submit the job."""
        self.job = tallying(self.tally, self._nap_s).map(range(self.n), name=name)
        return self.job

    def ran(self):
        """How many items have ended, as the tally knows."""
        return self.tally.read_bytes().count(b"ended")

    def until_ran(self, share):
        """Wait until a share of the items has run, and take that for the moment of the fault."""
        until(lambda: self.ran() >= share * self.n, END_S, poll_s=0.02)
        self.strike()

    def strike(self):
        """Note that the fault is staged now."""
        self.fault_at = time.time()

    def since_fault_s(self):
        """How long ago the fault was staged."""
        return time.time() - self.fault_at

    def end(self):
        """Wait for the job's end and see that its client has heard all of it, and rightly."""
        assert self.job.wait(END_S), self.describe()
        assert self.job.result(0) == list(range(self.n))

    def account(self, client: Client):
        """Compare the log with the tally."""
        entries, last = [], "-"
        while some := client.joblog.read(self.job.id, last):
            entries.extend(some)
            last = some[-1].id
        records = [(int(entry.id.partition("-")[0]) / 1000, entry.record) for entry in entries]
        return audit(self.n, records, lines_of(self.tally.read_text()), self.fault_at)

    def describe(self):
        """Say how far it is, with the ends of the workers' logs."""
        return f"{self.job.counts()}, {self.ran()} ran\n{self.stage.describe(self.job)}"
