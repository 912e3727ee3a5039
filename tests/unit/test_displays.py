"""The life of a display: pages and widgets of a job, from the first look to the last."""

import gc
import weakref
from types import SimpleNamespace

import pytest

from nbqueue.core.records import Retried
from nbqueue.notebook import area, bundles, displays, life, modes
from tests.unit.builders import make_live, make_outcomes, make_state


class Screen:
    """Takes what areas put, in the place of IPython."""

    def __init__(self):
        self.log = []

    def area(self):
        return SimpleNamespace(put=lambda data, metadata=None: self.log.append(data))


class StageDouble:
    """Notes who enters; the test steps."""

    def __init__(self):
        self.entered = []

    def enter(self, act):
        self.entered.append(act)


class View:
    """A widget as displays know it."""

    def __init__(self, live):
        self.live = live
        self.attended = False
        self.touched_at = float("-inf")
        self.pumps = 0
        self.pages = []
        self.closed = False
        self.children = [SimpleNamespace(_repr_mimebundle_=lambda: ({}, {"colab": "child"}))]

    def pump(self):
        assert not self.closed
        self.pumps += 1

    def leave_page(self, page, *, due, over=False):
        assert not self.closed
        self.pages.append((page["text/plain"], due))

    def close(self):
        self.closed = True

    def _repr_mimebundle_(self):
        return {"text/plain": "View()", "widget": id(self)}


@pytest.fixture
def screen(monkeypatch):
    made = Screen()
    monkeypatch.setattr(displays, "Area", made.area)
    monkeypatch.setattr(displays, "_retired", type(displays._retired)())
    return made


@pytest.fixture
def clock(monkeypatch):
    made = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(displays.time, "monotonic", lambda: made.now)
    monkeypatch.setattr(modes, "_seen", False)
    return made


def line(live, note):
    return {"text/plain": f"{live.state.n_done} of {live.state.n}{note}"}


def shown(screen):
    return [data["text/plain"] for data in screen.log]


def retry(live, start, stop):
    live.state.apply(Retried(live.state.current_round + 1, ((start, stop),), 1.0, "t", "f"))
    for tell in live.on_reset:
        tell()


# -- pages ---------------------------------------------------------------------------------------


def test_a_page_follows_the_job_and_rests_at_its_end(screen, clock):
    live = make_live(make_state(2))
    page = displays.PageDisplay(live, StageDouble(), line)
    assert page.step()
    live.state.apply(make_outcomes([(0, 1)]))
    assert page.step()
    assert shown(screen) == ["0 of 2"]  # too soon for the next
    clock.now += 1
    assert page.step()
    live.state.apply(make_outcomes([(1, 2)]))
    assert not page.step()  # the end does not wait
    assert shown(screen) == ["0 of 2", "1 of 2", "2 of 2"]
    assert not page.step()
    assert len(screen.log) == 3


def test_a_page_says_what_is_away_while_it_is(screen, clock):
    live = make_live(make_state(2))
    page = displays.PageDisplay(live, StageDouble(), line)
    live.client.outage.lost(TimeoutError("no Redis answers"), "waiting")
    page.step()
    live.client.outage.found()
    clock.now += 10
    page.step()
    assert shown(screen) == ["0 of 2no Redis answers", "0 of 2"]


def test_a_retry_makes_a_page_live_again(screen, clock):
    live = make_live(make_state(2, make_outcomes([(0, 2)], failed={1})))
    stage = StageDouble()
    page = displays.PageDisplay(live, stage, line)
    assert not page.step()
    retry(live, 1, 2)
    assert stage.entered == [page]
    assert page.step()
    live.state.apply(make_outcomes([(1, 2)], round=2))
    assert not page.step()
    assert shown(screen) == ["2 of 2", "1 of 2", "2 of 2"]


def test_a_retry_during_the_last_step_is_not_lost(screen, clock):
    live = make_live(make_state(1, make_outcomes([(0, 1)], failed={0})))
    page = displays.PageDisplay(live, StageDouble(), line)
    put = page._area.put

    def putting(data, metadata=None):
        put(data)
        if len(screen.log) == 1:
            retry(live, 0, 1)

    page._area.put = putting
    page.step()
    assert page.step()


def test_a_job_that_nobody_holds_goes_when_its_page_rests(screen, clock):
    live = make_live(make_state(1, make_outcomes([(0, 1)])))
    page = displays.PageDisplay(live, StageDouble(), line)
    gone = weakref.ref(live)
    page.step()
    del live
    gc.collect()
    assert gone() is None
    assert not page.step()


def test_a_loop_that_displays_a_job_over_and_over_costs_no_memory(screen, clock):
    live = make_live(make_state(1))
    for _ in range(100):
        displays.PageDisplay(live, StageDouble(), line)
    assert len(live.on_reset) <= 10


def test_a_closed_client_ends_the_display_and_says_how_to_go_on(screen, clock):
    live = make_live(make_state(2), closed=True)
    page = displays.PageDisplay(live, StageDouble(), line)
    assert not page.step()
    assert "nq.job('grid')" in shown(screen)[0]


def test_leaving_shows_the_job_as_it_is(screen, clock):
    live = make_live(make_state(2))
    page = displays.PageDisplay(live, StageDouble(), line)
    page.step()
    page.leave()
    assert shown(screen)[1].startswith("0 of 2running when")
    page.leave()
    assert len(screen.log) == 2


# -- widgets -------------------------------------------------------------------------------------


def widget(live):
    views = []

    def view(found):
        views.append(View(found))
        return views[-1]

    return displays.WidgetDisplay(live, StageDouble(), line, view), views


def test_a_widget_comes_with_forms_for_where_there_are_none(screen, clock):
    live = make_live(make_state(1))
    display, _ = widget(live)
    display.step()
    assert screen.log[0]["text/plain"] == "0 of 1"
    assert "widget" in screen.log[0]


def test_the_forms_of_a_widget_keep_what_colab_needs():
    data, metadata = bundles.with_widget({"text/plain": "a job"}, View(None))
    assert data["text/plain"] == "a job"
    assert "widget" in data
    assert metadata == {"colab": "child"}


def test_a_job_that_ended_well_becomes_a_page_and_its_view_stays_for_pages_that_were_reloaded(
    screen, clock
):
    live = make_live(make_state(1))
    display, views = widget(live)
    display.step()
    views[0].attended = True
    live.state.apply(make_outcomes([(0, 1)]))
    assert not display.step()
    assert views[0].pumps == 2
    assert "widget" not in screen.log[-1]
    assert shown(screen) == ["0 of 1", "1 of 1"]
    assert views[0].pages[-1] == ("1 of 1", True)
    assert not views[0].closed


def test_only_a_few_views_stay_open(screen, clock, monkeypatch):
    monkeypatch.setattr(displays, "_OPEN_VIEWS", 8)
    opened = []
    for _ in range(12):
        live = make_live(make_state(1))
        display, views = widget(live)
        display.step()
        views[0].attended = True
        opened += views
        live.state.apply(make_outcomes([(0, 1)]))
        display.step()
    assert [view.closed for view in opened] == [True] * 4 + [False] * 8


def test_of_large_jobs_the_latest_view_stays_open(screen, clock, monkeypatch):
    monkeypatch.setattr(displays, "_OPEN_ITEMS", 4)
    opened = []
    for _ in range(3):
        live = make_live(make_state(5))
        display, views = widget(live)
        display.step()
        views[0].attended = True
        opened += views
        live.state.apply(make_outcomes([(0, 5)]))
        display.step()
    assert [view.closed for view in opened] == [True, True, False]


def test_front_ends_keep_a_page_for_when_the_kernel_goes_and_it_is_seldom_renewed(screen, clock):
    live = make_live(make_state(3))
    display, views = widget(live)
    display.step()
    assert len(views[0].pages) == 1  # a notebook may be saved as soon as it shows the widget
    clock.now += 60
    display.step()
    assert len(views[0].pages) == 1  # nobody would keep another
    views[0].attended = True
    for _ in range(2):
        display.step()
    live.state.apply(make_outcomes([(0, 1)]))
    clock.now += 4.9
    display.step()
    kept = [(text.partition("running")[0], due) for text, due in views[0].pages]
    assert kept == [("0 of 3", False)] * 2
    clock.now += 0.2
    display.step()
    assert (
        views[0].pages[-1][0].startswith("1 of 3running when this was last heard of: 1 of 3 items")
    )
    live.state.apply(make_outcomes([(1, 3)], failed={2}))
    for _ in range(3):
        clock.now += 11
        display.step()
    # The end does not wait, and is final.
    assert views[0].pages[3:] == [("3 of 3", False)]
    clock.now += life.LINGER_S
    display.step()
    assert views[0].pages[4:] == [("3 of 3", True)]
    assert len(screen.log) == 2


def test_a_view_that_nobody_saw_is_closed(screen, clock):
    live = make_live(make_state(1, make_outcomes([(0, 1)], failed={0})))
    display, views = widget(live)
    assert not display.step()
    assert views[0].closed
    assert "widget" not in screen.log[-1]


def test_failures_linger_and_a_retry_goes_on_in_the_same_view(screen, clock):
    live = make_live(make_state(2))
    display, views = widget(live)
    display.step()
    views[0].attended = True
    live.state.apply(make_outcomes([(0, 2)], failed={1}))
    for _ in range(5):
        clock.now += 10
        assert display.step()
    retry(live, 1, 2)
    clock.now += 100
    assert display.step()
    live.state.apply(make_outcomes([(1, 2)], round=2))
    assert not display.step()
    assert len(views) == 1
    assert len(screen.log) == 2


def test_a_lingering_widget_becomes_a_page_when_it_is_left_alone(screen, clock):
    live = make_live(make_state(1))
    display, views = widget(live)
    display.step()
    views[0].attended = True
    live.state.apply(make_outcomes([(0, 1)], failed={0}))
    assert display.step()
    clock.now += life.LINGER_S - 1
    assert display.step()
    clock.now += 2
    assert not display.step()
    assert "widget" not in screen.log[-1]


def test_a_retry_after_that_is_a_widget_again(screen, clock):
    live = make_live(make_state(1, make_outcomes([(0, 1)], failed={0})))
    display, views = widget(live)
    assert not display.step()
    retry(live, 0, 1)
    assert display.step()
    assert len(views) == 2
    assert "widget" in screen.log[-1]


def test_leaving_replaces_a_widget(screen, clock):
    live = make_live(make_state(1))
    display, views = widget(live)
    display.step()
    display.leave()
    assert "widget" not in screen.log[-1]
    assert views[0].closed


# -- areas ---------------------------------------------------------------------------------------


def test_an_area_is_displayed_once_and_updated_then(monkeypatch):
    import IPython.display

    sent = []
    monkeypatch.setattr(
        IPython.display,
        "publish_display_data",
        lambda data, metadata, transient, update: sent.append((data, transient, update)),
    )
    made = area.Area()
    made.put({"text/plain": "a"})
    made.put({"text/plain": "a"})
    made.put({"text/plain": "b\ud800"})
    assert [(data, update) for data, _, update in sent] == [
        ({"text/plain": "a"}, False),
        ({"text/plain": "b\ufffd"}, True),
    ]
    assert len({transient["display_id"] for _, transient, _ in sent}) == 1
