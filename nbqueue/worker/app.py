"""The worker's Celery app: one task, which runs ranges, and one that beat sends.

All tasks of all notebooks travel as this one task (their own names are in the message's ``shadow``,
which is what logs, events and Flower show), so a worker needs to know nothing in advance. The other
submits the job of a schedule that is due.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import redis
from celery import Celery
from celery.exceptions import Reject
from celery.signals import worker_process_init, worker_shutdown

from nbqueue.core.errors import BrokerUnreachable, NbqueueError
from nbqueue.core.redaction import redact
from nbqueue.store.broker import broker
from nbqueue.store.broker.message import RANGE_TASK
from nbqueue.store.connection import patience
from nbqueue.store.schedules.schedules import SCHEDULED_TASK
from nbqueue.store.wiring import Wiring
from nbqueue.worker import executor
from nbqueue.worker.bootsteps import health as health
from nbqueue.worker.bootsteps import leases, leaving, recovering, renewing
from nbqueue.worker.bootsteps import (
    limiting as limiting,  # their commands are known to Celery by the import
)
from nbqueue.worker.bootsteps import remote as remote
from nbqueue.worker.bootsteps.declaring import Declarer
from nbqueue.worker.bootsteps.pool import PoolKeeper
from nbqueue.worker.bootsteps.presence import Presence
from nbqueue.worker.bootsteps.releasing import Releaser
from nbqueue.worker.calling import signalling
from nbqueue.worker.messages.rangetask import RangeTask, speak_for_items
from nbqueue.worker.process import memory
from nbqueue.worker.process.tally import Tally
from nbqueue.worker.process.workplace import Workplace

log = logging.getLogger("nbqueue.worker")


def _keep_secrets(**_: Any) -> None:
    """Take keys and passwords out of a pool process's environment, which tasks can print.

    The main process keeps them there: it may start itself anew. Tasks that send tasks have no need
    of them (`workplace`). A solo pool's process is the main one: it gets them back at its end.
    """
    kept = {}
    for name in ("NBQUEUE_KEY", "NBQUEUE_BROKER", "NBQUEUE_BACKEND"):
        value = os.environ.get(name, "")
        if name == "NBQUEUE_KEY" or redact(value) != value:
            kept[name] = value
            os.environ.pop(name, None)

    def give_back(**_: Any) -> None:
        os.environ.update({name: value for name, value in kept.items() if value})

    worker_shutdown.connect(give_back, weak=False, dispatch_uid="nbqueue-secrets-back")


def _settings(wiring: Wiring) -> dict[str, Any]:
    settings = dict(wiring.settings)
    if broker.is_on_this_machine(wiring.broker_url):
        # A timeout ends the wait for a network that has fallen silent. It has Python ask before
        # each read and write whether there is anything to wait for: some percent of a quick call.
        given = settings.get("broker_transport_options") or {}
        settings["broker_transport_options"] = {"socket_timeout": None, **given}
    return settings


def make_worker_app(wiring: Wiring) -> Celery:
    """Make the app that a worker serves."""
    app = broker.make_app(wiring.broker_url, settings=_settings(wiring))
    leases.prepare(app, wiring.lease_s)
    recovering.prepare(app)
    renewing.prepare(app, wiring.lease_s)
    memory.prepare(wiring.memory_mib)
    # Celery's command line sets up the log, of each process its own where a file is named so (%I);
    # the embedded cluster's launcher has set up its own already.
    app.conf.worker_hijack_root_logger = wiring.folder is None
    app.conf.worker_consumer = "nbqueue.worker.bootsteps.consuming:Consumer"
    app.steps["consumer"].add(PoolKeeper)
    app.steps["worker"].add(Releaser)
    app.steps["worker"].add(Declarer)
    app.steps["consumer"].add(Presence)
    signalling.take_over()
    worker_process_init.connect(_keep_secrets, weak=False, dispatch_uid="nbqueue-secrets")
    app.nbqueue_time_limits = {}  # by function's name: `nq.control.time_limit`
    app.nbqueue_tally = tally = Tally()  # before the pool forks: children share it
    leaving.prepare(app)
    places: dict[int, Workplace] = {}

    def place() -> Workplace:
        # By process: a forked child must not talk on its parent's connection.
        pid = os.getpid()
        if pid not in places:
            places[pid] = Workplace(wiring, app, tally)
        return places[pid]

    app.nbqueue_place = place

    @app.task(name=RANGE_TASK, bind=True, base=RangeTask, lazy=False)
    def run_range(self: RangeTask, envelope: str = "", *_: Any, **__: Any) -> None:
        # (Whatever a stranger's message has for arguments: it is refused below, and said.)
        request = self.message_request
        info = request.delivery_info or {}
        try:
            here = place()
            with patience.of(here.patience):
                executor.execute(
                    here,
                    envelope,
                    message_id=request.id,
                    redelivered=bool(info.get("redelivered")),
                    delivery=getattr(request, "nbqueue_delivery", ""),
                    time_limits=getattr(request, "nbqueue_limits", None),
                    shown=getattr(request, "argsrepr", None),
                )
        except (redis.RedisError, BrokerUnreachable) as exc:
            # Nothing could be recorded, so nothing has happened: somebody else may have more luck.
            raise Reject(f"the store or the broker is away: {exc}", requeue=True) from exc
        finally:
            tally.slot().rests()

    speak_for_items(run_range)

    @app.task(name=SCHEDULED_TASK)
    def submit_scheduled(name: str, due: float) -> None:
        try:
            place().schedules.submit(name, due)
        except (redis.RedisError, BrokerUnreachable) as exc:
            raise Reject(f"{name!r} cannot be submitted yet: {exc}", requeue=True) from exc
        except NbqueueError as exc:  # it was removed a moment ago, or is not signed with our key
            log.error("a run of the schedule %r cannot be submitted: %s", name, exc)

    return app
