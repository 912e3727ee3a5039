"""What a workflow fans out over, found out by a worker, has the limits of a job."""

import pytest

import nbqueue as nq


@nq.task
def double(x):
    return 2 * x


def test_what_a_workflow_fans_out_over_has_the_same_limits(monkeypatch, local_cluster):
    monkeypatch.setenv("NBQUEUE_MAX_ITEMS", "100")  # its workers', too
    with local_cluster(workers=1) as made, made.connect():
        fan_out = nq.task(range).s(101) | nq.map(double)
        with pytest.raises(nq.JobTooLarge, match=r"range\(0, 101\) has 101 items.*100 items"):
            nq.run(fan_out).result(60)
        assert nq.run(nq.task(range).s(100) | nq.map(double)).result(60)[-1] == 198
