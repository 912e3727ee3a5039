"""How displays appear, by wish and by where this runs."""

from types import SimpleNamespace

import pytest

from nbqueue.notebook import modes


@pytest.mark.parametrize(
    ("wish", "shell", "kernel", "front_end", "expected"),
    [
        ("auto", True, True, True, "widget"),
        ("auto", True, True, False, "html"),
        ("auto", True, False, False, "text"),
        ("auto", False, False, False, "off"),
        ("widget", True, True, False, "widget"),
        ("html", True, True, True, "html"),
        ("text", True, True, True, "text"),
        ("off", True, True, True, "off"),
        ("widget", True, False, False, "text"),
        ("html", False, False, False, "off"),
        ("text", False, False, False, "off"),
        ("off", False, False, False, "off"),
    ],
)
def test_the_mode_follows_from_the_wish_and_the_place(wish, shell, kernel, front_end, expected):
    assert modes.choose(wish, shell=shell, kernel=kernel, front_end=front_end) == expected


def test_a_wish_that_cannot_be_is_said_once(capsys):
    assert modes.wish({"NBQUEUE_DISPLAY": " HTML "}) == "html"
    assert modes.wish({}) == "auto"
    assert modes.wish({"NBQUEUE_DISPLAY": "wdiget"}) == "auto"
    assert modes.wish({"NBQUEUE_DISPLAY": "wdiget"}) == "auto"
    err = capsys.readouterr().err
    assert err.count("NBQUEUE_DISPLAY is 'wdiget'") == 1
    assert "auto, widget, html, text, off" in err


@pytest.mark.parametrize(
    ("request_", "expected"),
    [({"metadata": {"cellId": "1"}}, True), ({"metadata": {}}, False), ({}, False), (None, False)],
)
def test_a_front_end_is_known_by_what_it_sends_with_a_cell(monkeypatch, request_, expected):
    monkeypatch.setattr(modes, "_seen", False)
    kernel = SimpleNamespace(get_parent=lambda channel: request_)
    monkeypatch.setattr(modes, "shell", lambda: SimpleNamespace(kernel=kernel))
    assert modes.front_end_expected() is expected
    assert modes.mode() == ("widget" if expected else "html")


def test_a_front_end_that_was_seen_once_is_expected_from_then_on(monkeypatch):
    monkeypatch.setattr(modes, "_seen", False)
    assert not modes.front_end_expected()
    modes.front_end_seen()
    assert modes.front_end_expected()


def test_plain_python_shows_nothing(monkeypatch):
    monkeypatch.delenv("NBQUEUE_DISPLAY", raising=False)
    monkeypatch.setattr(modes, "shell", lambda: None)
    monkeypatch.setattr(modes, "_seen", False)
    assert modes.mode() == "off"
