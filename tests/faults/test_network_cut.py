"""The network between one of two workers and the servers falls silent, and comes back.

Silent, it is as a pulled plug leaves it: no connection is closed, and nothing passes, in a proxy on
the loopback, which needs no rights.
"""

from contextlib import ExitStack

import pytest

from tests.faults.trial import Trial
from tests.proxy import Proxy


@pytest.fixture
def cut_off(stage, n):
    """A trial on two workers, and what the second one's connections go through."""
    with ExitStack() as stack:
        to_store = stack.enter_context(Proxy(stage.redis.port))
        store_url = stage.store_url.replace(f":{stage.redis.port}/", f":{to_store.port}/")
        proxies, broker_url = [to_store], store_url
        if stage.rabbit is not None:
            to_broker = stack.enter_context(Proxy(stage.rabbit.port))
            proxies.append(to_broker)
            broker_url = stage.broker_url.replace(f":{stage.rabbit.port}/", f":{to_broker.port}/")
        stage.start_workers(1)
        (worker,) = stage.start_workers(1, broker_url=broker_url, store_url=store_url)
        stage.connect()
        trial = Trial(stage, n)
        trial.begin()
        yield trial, proxies
        worker.kill(children=True)


def test_the_network_falls_silent_and_goes_on(cut_off, passed):
    trial, proxies = cut_off
    trial.until_ran(0.3)
    for proxy in proxies:
        proxy.silence()
    trial.end()
    for proxy in proxies:
        proxy.heal()
    trial.stage.all_work()
    passed("network of a worker silent, then goes on", trial)


def test_the_network_falls_silent_and_its_connections_are_gone(cut_off, passed):
    trial, proxies = cut_off
    trial.until_ran(0.3)
    for proxy in proxies:
        proxy.silence()
    trial.end()
    for proxy in proxies:
        proxy.cut()
        proxy.heal()
    trial.stage.all_work()
    passed("network of a worker silent, then connections reset", trial)
