"""What a worker answers to ``nbqueue doctor``: what it is, and whether it fits who asks.

It runs in the worker's main process, between two messages; a store that does not answer holds it up
for a second at most.
"""

from __future__ import annotations

from typing import Any

from celery.worker.control import inspect_command

from nbqueue.store import vitals
from nbqueue.store.connection.connection import impatient
from nbqueue.worker.process.workplace import Workplace

_STORE_S = 1.0


@inspect_command(args=[("nonce", str), ("signature", str)], signature="<NONCE> <SIGNATURE>")
def nbqueue_health(state: Any, nonce: str, signature: str, **_: Any) -> dict[str, Any]:
    """Say what this worker is, and prove that it has the asker's key, or that it has not.

    Both are hexadecimal: what the asker has made up, and the asker's signature of it.
    """
    place: Workplace = state.app.nbqueue_place()
    try:
        made_up, signed = bytes.fromhex(nonce), bytes.fromhex(signature)
    except ValueError:
        return {"error": "not hexadecimal"}
    with impatient(place.store, _STORE_S) as store:
        said = vitals.mine(store, place.keyring, place.blobs.folder, made_up)
    said["knows"] = place.keyring.verify(vitals.QUESTION, made_up, signed)
    return said
