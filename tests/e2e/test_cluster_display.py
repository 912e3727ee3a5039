"""A client on display: the widget without a browser, and notebooks that are only recorded."""

import time

import nbformat
import pytest
from nbclient import NotebookClient

import nbqueue as nq
from nbqueue.client.remote import asking, control
from nbqueue.notebook import cluster_display, cluster_widget, looks
from nbqueue.notebook.cluster_widget import ClusterWidget

pytestmark = pytest.mark.usefixtures("cluster")


@pytest.fixture
def widget():
    nq.task(lambda: 1).submit().result(20)  # the worker is up
    made = ClusterWidget(nq.cluster())
    yield made
    made.close()


@pytest.fixture
def patient(monkeypatch):
    """The worker may take its time: what is asked once waits for its answer."""
    monkeypatch.setattr(asking, "LOCAL_S", 30.0)
    monkeypatch.setattr(asking, "_HANG_S", 40.0)
    monkeypatch.setattr(control, "LOCAL_S", 30.0)


class Clock:
    """In the stead of `time`, moved by hand."""

    strftime = staticmethod(time.strftime)

    def __init__(self):
        self.now = time.monotonic()

    def monotonic(self):
        return self.now


def hear(widget, **message):
    widget._heard(widget, message, [])


def stepped_to_its_end(display, until):
    until(lambda: not display.step())


def shown(widget):
    return widget.get_state("picture")["picture"]


def test_nobody_is_asked_until_somebody_looks_and_no_more_when_they_have_gone(
    widget, until, monkeypatch
):
    seen_at = []
    real = control.look

    def look(client):
        seen_at.append(time.monotonic())
        return real(client)

    monkeypatch.setattr(looks.control, "look", look)
    monkeypatch.setattr(looks, "PACE_S", 0.05)
    monkeypatch.setattr(cluster_widget, "SEEN_S", 60.0)
    assert (seen_at, widget.attended) == ([], False)
    hear(widget, kind="visible")
    assert widget.attended
    until(lambda: len(seen_at) >= 3 and shown(widget)["workers"])
    monkeypatch.setattr(cluster_widget, "SEEN_S", 0.0)
    until(lambda: widget._thread is None)
    seen, hidden = len(seen_at), shown(widget)
    assert len(hidden["workers"]) == 1
    monkeypatch.setattr(cluster_widget, "SEEN_S", 60.0)
    hear(widget, kind="visible")
    until(lambda: len(seen_at) > seen)


@pytest.mark.usefixtures("patient")
def test_a_pool_is_made_larger_and_smaller_by_buttons(widget, until):
    hear(widget, kind="visible")
    until(lambda: shown(widget)["workers"])
    name = shown(widget)["workers"][0]["name"]
    for size in (3, 2):
        hear(widget, kind="resize", worker=name, processes=size)
        until(lambda: not shown(widget)["busy"])  # a button does nothing meanwhile
        until(lambda: shown(widget)["workers"][0]["processes"] == size)  # noqa: B023
        assert f"{size} processes" in shown(widget)["said"]
        assert not shown(widget)["failed"]


def test_what_cannot_be_done_is_said_where_the_button_is(widget, until):
    hear(widget, kind="resize", worker="nobody@nowhere", processes=2)
    until(lambda: shown(widget)["failed"])
    assert "does not answer" in shown(widget)["said"]
    for nonsense in ({}, {"kind": 5}, {"kind": "resize"}, {"kind": "resize", "processes": "x"}):
        hear(widget, **nonsense)
    widget._heard(widget, "not even a mapping", [])
    until(lambda: not shown(widget)["busy"])


def test_a_closed_client_ends_the_looking(until):
    client = nq.cluster().again()
    widget = ClusterWidget(client)
    hear(widget, kind="visible")
    until(lambda: shown(widget)["workers"])
    client.close()
    widget._now.set()
    until(lambda: widget._thread is None)
    assert shown(widget)["closed"]
    assert "worker" in widget.static_bundle()["text/html"]
    widget.close()


def test_a_display_that_nobody_sees_becomes_a_plain_table(until, monkeypatch):
    put = []
    monkeypatch.setattr(cluster_display.Area, "put", lambda self, *data: put.append(data[0]))
    display = cluster_display.WidgetDisplay(nq.cluster())
    assert display.step()
    assert "application/vnd.jupyter.widget-view+json" in put[0]
    widget = display._widget
    hear(widget, kind="visible")
    until(lambda: shown(widget)["workers"])
    assert display.step()
    monkeypatch.setattr(cluster_display, "UNSEEN_S", 0.0)
    assert not display.step()
    assert set(put[1]) == {"text/plain", "text/html"}
    assert "nq.cluster() shows it live" in put[1]["text/html"]
    assert shown(widget)["workers"][0]["name"] in put[1]["text/html"]
    widget.close()


@pytest.mark.usefixtures("patient")
def test_a_display_that_no_front_end_shows_is_plain_at_once(until, monkeypatch):
    put = []
    nq.task(lambda: 1).submit().result(20)  # the worker is up
    monkeypatch.setattr(cluster_display.Area, "put", lambda self, *data: put.append(data[0]))
    monkeypatch.setattr(cluster_display.modes, "front_end_expected", lambda: False)
    display = cluster_display.WidgetDisplay(nq.cluster())
    stepped_to_its_end(display, until)
    assert set(put[-1]) == {"text/plain", "text/html"}
    assert "1 worker" in put[-1]["text/html"]


def test_a_view_that_is_long_in_coming_or_out_of_sight_finds_its_widget(monkeypatch):
    put = []
    monkeypatch.setattr(cluster_display.Area, "put", lambda self, *data: put.append(data[0]))
    monkeypatch.setattr(cluster_display.modes, "front_end_expected", lambda: True)
    clock = Clock()
    monkeypatch.setattr(cluster_display, "time", clock)
    display = cluster_display.WidgetDisplay(nq.cluster())
    assert display.step()
    clock.now += 0.9 * cluster_display.UNSEEN_S
    assert display.step()
    hear(display._widget, kind="shown")
    assert display.step()
    assert len(put) == 1
    assert display._widget._thread is None  # nobody sees it, so nobody is asked
    display._widget.close()


@pytest.mark.usefixtures("patient")
def test_what_nobody_has_ever_seen_leaves_a_page_with_the_workers_in_it(until, monkeypatch):
    put = []
    nq.task(lambda: 1).submit().result(20)  # the worker is up
    monkeypatch.setattr(cluster_display.Area, "put", lambda self, *data: put.append(data[0]))
    display = cluster_display.WidgetDisplay(nq.cluster())
    assert display.step()
    hear(display._widget, kind="shown")
    monkeypatch.setattr(cluster_display, "UNSEEN_S", 0.0)
    stepped_to_its_end(display, until)
    assert "nq.cluster() shows it live" in put[-1]["text/html"]
    assert "1 worker" in put[-1]["text/html"]
    display._widget.close()


def test_a_notebook_that_is_only_recorded_has_the_table(cluster):
    connect = (
        "import nbqueue as nq\nfrom pathlib import Path\n"
        "from nbqueue.client.connecting import connect_address\n"
        "from nbqueue.cluster.embedded import ensure\n"
        f"client = connect_address(ensure(Path({str(cluster.folder)!r})))\n"
        "nq.task(lambda: 1).submit().result()\n"
        "from nbqueue.client.remote import asking\n"
        "from nbqueue.notebook import cluster_display\n"
        "asking.LOCAL_S = cluster_display._ASKED_S = 30.0  # as `patient` does\n"
        "asking._HANG_S = 40.0"
    )
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(text) for text in (connect, "client", "repr(client)")]
    )
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    [output] = notebook.cells[1].outputs
    assert set(output["data"]) == {"text/plain", "text/html"}
    assert output["data"]["text/plain"].startswith("<Client")
    assert "1 worker" in output["data"]["text/html"]
    assert "prefork" in output["data"]["text/html"]
