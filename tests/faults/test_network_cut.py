"""The network between one of two workers and the servers falls silent, and comes back.

Silent, it is as a pulled plug leaves it: no connection is closed, and nothing passes. The worker is
in a network namespace and its wire is cut, where that is permitted; elsewhere a proxy on the
loopback lets nothing through, which needs no rights. The table's lines say which of them it was.
"""

from contextlib import ExitStack

import pytest

from tests.faults.trial import Trial
from tests.proxy import Proxy


class Proxies:
    """The way from a worker to the servers leads through proxies."""

    said = "proxy"
    prefix = ()

    def __init__(self, stack):
        self._stack = stack
        self._proxies = []

    def url(self, url, server):
        """Give the way to a server of a stage."""
        proxy = self._stack.enter_context(Proxy(server.port))
        self._proxies.append(proxy)
        return url.replace(f":{server.port}/", f":{proxy.port}/")

    def silence(self):
        """Let nothing through."""
        for proxy in self._proxies:
            proxy.silence()

    def heal(self):
        """Let everything through."""
        for proxy in self._proxies:
            proxy.heal()

    def reset(self):
        """Let everything through, but for what is connected."""
        for proxy in self._proxies:
            proxy.cut()
            proxy.heal()


class Wire:
    """The worker is in a namespace, and its way to the servers a wire."""

    said = "namespace"

    def __init__(self, namespace):
        self._namespace = namespace
        self.prefix = namespace.prefix
        self.silence = namespace.silence
        self.heal = namespace.heal

    def url(self, url, server):
        """Give the way to a server of a stage."""
        return url.replace(f"@127.0.0.1:{server.port}/", f"@{self._namespace.here}:{server.port}/")

    def move(self):
        """Let everything through, but for what is connected: the worker has another address."""
        self._namespace.heal()
        self._namespace.move()


def on_two_workers(stage, n, way):
    """Begin a trial on two workers, of which the second reaches the servers by a way."""
    store_url = broker_url = way.url(stage.store_url, stage.redis)
    if stage.rabbit is not None:
        broker_url = way.url(stage.broker_url, stage.rabbit)
    stage.start_workers(1)
    stage.start_workers(1, broker_url=broker_url, store_url=store_url, prefix=way.prefix)
    stage.connect()
    trial = Trial(stage, n)
    trial.begin()
    return trial


@pytest.fixture
def stack(stage):
    """Closes what a way is made of, when the worker that needs it is gone."""
    with ExitStack() as made:
        yield made
        for worker in stage.workers[1:]:
            worker.kill(children=True)


def falls_silent(trial, way, and_then):
    """Cut a worker off until the other one has done everything, and then have it work again."""
    trial.until_ran(0.3)
    way.silence()
    trial.strike()
    trial.end()
    and_then()
    trial.stage.all_work()


def test_the_network_falls_silent_and_goes_on(stage, n, namespace, stack, passed):
    way = Wire(namespace) if namespace else Proxies(stack)
    trial = on_two_workers(stage, n, way)
    falls_silent(trial, way, way.heal)
    passed(f"network of a worker silent, then goes on ({way.said})", trial)


def test_the_network_falls_silent_and_its_connections_are_gone(stage, n, stack, passed):
    way = Proxies(stack)
    trial = on_two_workers(stage, n, way)
    falls_silent(trial, way, way.reset)
    passed("network of a worker silent, then reset (proxy)", trial)


def test_the_network_falls_silent_and_the_worker_moves(stage, n, namespace, stack, passed):
    """What it has connected is dead, and nobody says so: it finds out by itself."""
    if namespace is None:
        pytest.skip("no network namespace is permitted here")
    way = Wire(namespace)
    trial = on_two_workers(stage, n, way)
    falls_silent(trial, way, way.move)
    passed("network of a worker silent, then elsewhere (namespace)", trial)
