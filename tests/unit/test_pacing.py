"""How often what a running item prints is written."""

from nbqueue.worker.reporting.pacing import Pace


def records(seconds, tick_s=0.1):
    pace = Pace(tick_s)
    return sum(pace.is_due(tick * tick_s) for tick in range(int(seconds / tick_s)))


def test_at_first_every_tick_and_ever_less_often():
    assert records(10) >= 99
    assert 2_000 < records(3600) < 3_500
    assert records(4 * 3600) < 2.2 * records(3600)  # the square root of time


def test_the_next_item_is_heard_at_once():
    pace = Pace(0.1)
    assert sum(pace.is_due(tick / 10) for tick in range(10_000)) < 2_000
    pace.begin_again()
    assert pace.is_due(0.0)
    assert pace.is_due(0.1)
