"""How many processes a private cluster has by default."""

import os

import pytest

from nbqueue.cluster.processors import processors

VISIBLE = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, VISIBLE),
        ({"cpu.max": "max 100000\n"}, VISIBLE),
        ({"cpu.max": "100000 100000\n"}, 1),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "150000 100000\n"}, min(2, VISIBLE)),
        ({"cpu.max": "9900000 100000\n"}, VISIBLE),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, VISIBLE),
        ({"cpu.max": "nonsense"}, VISIBLE),
    ],
)
def test_no_more_than_the_container_may_use(tmp_path, files, expected):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert processors(tmp_path) == expected
