"""Displays of one cluster share what one of them has just seen."""

import threading

import fakeredis
import pytest

from nbqueue.core.errors import BrokerUnreachable
from nbqueue.notebook import looks
from nbqueue.store import rejections


class Client:
    """Stands for a client: a key, and a store."""

    def __init__(self):
        self.store = fakeredis.FakeRedis()


@pytest.fixture
def asked(monkeypatch):
    """What was asked, one survey after the other."""
    made = []

    def look(client):
        made.append(object())
        return made[-1]

    monkeypatch.setattr(looks.control, "look", look)
    return made


@pytest.fixture
def unhurried(monkeypatch):
    """A pace that is not over when a busy machine stands still."""
    monkeypatch.setattr(looks, "PACE_S", 60.0)


@pytest.mark.usefixtures("unhurried")
def test_who_comes_shortly_after_another_gets_what_that_one_saw(asked):
    here, elsewhere = Client(), Client()
    assert looks.look(here) is looks.look(here)
    assert looks.look(elsewhere) is not looks.look(here)
    assert len(asked) == 2


def test_after_the_pace_and_after_a_button_the_cluster_is_asked_again(asked, monkeypatch):
    client = Client()
    first = looks.look(client)
    assert looks.look(client, new=True) is not first
    monkeypatch.setattr(looks, "PACE_S", 0.0)
    looks.look(client)
    assert len(asked) == 3


@pytest.mark.usefixtures("unhurried")
def test_who_comes_while_another_asks_waits_for_what_it_sees(monkeypatch):
    entered, go_on, seen = threading.Event(), threading.Event(), []

    def look(client):
        entered.set()
        assert go_on.wait(10)
        return object()

    monkeypatch.setattr(looks.control, "look", look)
    client = Client()
    threads = [threading.Thread(target=lambda: seen.append(looks.look(client))) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert entered.wait(10)
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert len(seen) == 3
    assert all(each is seen[0] for each in seen)


def test_each_finds_out_for_itself_that_nobody_answers(monkeypatch):
    def look(client):
        raise BrokerUnreachable("gone")

    monkeypatch.setattr(looks.control, "look", look)
    client = Client()
    for _ in range(2):
        with pytest.raises(BrokerUnreachable):
            looks.look(client)


def test_what_was_refused_is_looked_up_with_the_workers(asked):
    client = Client()
    rejections.counter(client.store, "host/1")("message")
    found = looks.look(client)
    assert found.survey is asked[0]
    assert (found.rejections.total, found.rejections.by) == (1, "host/1")
