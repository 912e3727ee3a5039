"""The servers are killed or stopped and started again among running items."""

import socket
import threading

from tests.e2e.servers import until
from tests.faults.trial import Trial

DOWN_S = 2.0
"""How long a server is away at least: everybody has noticed by then."""


def test_redis_is_killed_and_started_again(trial, passed):
    """On Redis it is the broker too; with RabbitMQ only jobs and outcomes are in it."""
    trial.until_ran(0.3)
    trial.stage.redis.kill()
    until(lambda: trial.since_fault_s() > DOWN_S)
    trial.stage.redis.start()
    trial.stage.all_work()
    passed(f"kill -9 of Redis, started again {DOWN_S:g} s later", trial)


def answers(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def test_rabbitmq_is_stopped_and_started_again(on_rabbit, n, passed):
    on_rabbit.start_workers()
    on_rabbit.connect()
    trial = Trial(on_rabbit, n, seconds=20)
    trial.begin()
    trial.until_ran(0.2)
    stopping = threading.Thread(target=on_rabbit.rabbit.stop)
    stopping.start()
    until(lambda: not answers(on_rabbit.rabbit.port))
    stopping.join()
    on_rabbit.rabbit.start()
    trial.strike()  # what is promised begins when it is there
    on_rabbit.all_work()
    passed("RabbitMQ stopped, then started again", trial)
