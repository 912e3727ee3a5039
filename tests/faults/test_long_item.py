"""An item that lasts for many leases is delivered once."""

from tests.faults.audit import lines_of
from tests.faults.conftest import LONG
from tests.faults.work import tallying


def test_an_item_of_many_leases_runs_once(stage, record_property):
    # (A worker that stands still for three seconds must not lose its lease by that.)
    seconds, lease_s = (90, 5) if LONG else (20, 5)
    stage.start_workers(2, 2, lease_s=lease_s)
    stage.connect()
    tally = stage.folder / "tally"
    job = tallying(tally, seconds).map([7])
    assert job.wait(seconds + 60)
    assert job.result(0) == [7]
    assert [(line.item, line.ended) for line in lines_of(tally.read_text())] == [
        (7, False),
        (7, True),
    ]
    assert job.to_frame()["attempts"].tolist() == [1]
    line = f"an item of {seconds} s under a lease of {lease_s} s"
    record_property("line", f"{line:<50} {stage.broker:<9} ran once")
