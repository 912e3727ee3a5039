"""The app for Celery's own command line: ``celery -A nbqueue worker``, and every other command.

Where it belongs is read from the environment (``$NBQUEUE_BROKER``, ``$NBQUEUE_BACKEND``,
``$NBQUEUE_KEY``) when Celery asks for it: to import this module must not need any of them.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from nbqueue.store.schedules import beatsettings
    from nbqueue.worker.app import make_worker_app
    from nbqueue.worker.process.environment import wiring

    found = wiring()
    made = make_worker_app(found)
    beatsettings.configure(made, found.store_url)
    made.nbqueue_only = True
    globals()["app"] = made
    return made
