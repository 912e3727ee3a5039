"""Where a Celery project has its broker and its results, for whoever connects to the same.

The project's workers know nothing of functions by value: Celery drops a message whose task is not
registered. So functions of the notebook go to a queue of their own on the project's broker, which
`nbqueue worker -Q nbqueue` consumes, and none of the project's routes and queues hold for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celery import Celery

from nbqueue.core.errors import UsageError
from nbqueue.store.broker.broker import REDIS
from nbqueue.store.code.byname import load
from nbqueue.store.connection.connection import redact

QUEUE = "nbqueue"
"""Where functions of the notebook go."""

_HEEDED = ("timezone", "broker_transport_options", "broker_use_ssl")


@dataclass(frozen=True)
class Project:
    """A Celery project, as a connection needs it."""

    app: Celery
    name: str
    """As ``celery -A`` has it; empty when the app itself was given."""

    @property
    def broker_url(self) -> str:
        """The project's broker, with its password.

        Raises:
            UsageError: it has none.
        """
        conf = self.app.conf
        found = conf.broker_write_url or conf.broker_url
        url = ";".join(found) if isinstance(found, (list, tuple)) else found
        if not url:
            raise UsageError(
                f"the project {self} names no broker (broker_url): pass broker='redis://...'"
            )
        return str(url)

    def store_url(self, broker_url: str) -> str:
        """Give the Redis of the project that can keep jobs: that of its results, or its broker.

        Raises:
            UsageError: it has none.
        """
        results = str(self.app.conf.result_backend or "")
        for url in (results, broker_url):
            if url.startswith(REDIS):
                return url.partition(";")[0]
        raise UsageError(
            f"the project {self} has its broker at {redact(broker_url)} and its results at "
            f"{redact(results) or 'no place'}: neither is a Redis, which jobs of this notebook's "
            "functions are kept in; pass backend='redis://...' (nq.tasks alone needs no connection "
            "to the project: its calls are kept wherever this notebook's jobs are)"
        )

    @property
    def settings(self) -> Mapping[str, Any]:
        """Those of its settings that hold for jobs by value too."""
        found = {name: self.app.conf[name] for name in _HEEDED}
        given = {name: value for name, value in found.items() if value}
        return {**given, "task_default_queue": QUEUE}

    def __str__(self) -> str:
        return self.name or self.app.main or repr(self.app)


def project_of(app: str | Celery) -> Project:
    """Give a project, with its tasks.

    Args:
        app: Where its app is, as ``celery -A`` has it, or the app itself.

    Raises:
        UsageError: there is no such module or app.
    """
    if isinstance(app, str):
        return Project(load(app), app)
    if not isinstance(app, Celery):
        raise UsageError(f"app is a Celery app, or where it is ('proj.celery:app'), not {app!r}")
    app.loader.import_default_modules()
    app.finalize()
    return Project(app, "")
