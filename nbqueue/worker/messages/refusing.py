"""Messages that are refused: whoever waits for their items hears of it.

A message that is not signed with this worker's key may still say whose it was, for what that is
worth: the rejection is recorded for the items that it names, and they fail, unless they have ended
already. A record of that needs no signature, and nothing in it is trusted with more than that.

A message that is signed and of a job that was forgotten, or has expired, does nothing either:
somebody has kept it, and brought it again.
"""

from __future__ import annotations

import logging
import time

from nbqueue.core.description import Described
from nbqueue.core.records import Rejected
from nbqueue.store.broker.message import Message, Unverified
from nbqueue.worker.process.workplace import Workplace

log = logging.getLogger("nbqueue.worker")

_OPENED_S = 2.0
"""By when a client has opened a job that it has sent."""

_PAST_S = 24 * 3600.0
"""A message of a job that is not in the store is refused when it is older. A tombstone (`forget`)
lasts as long. Not sooner: a client that died as it sent a job has left it to the first worker to
open, which may come late."""

_PAST_BRIEF_S = 3600.0
"""The same, of jobs that are not kept for a day; the arguments of one that was never opened go
after this."""


class _Patience:
    """How long this process waits for jobs to be opened of which a message is refused.

    Each wait in vain halves it: a flood of forged messages must not hold up the true ones.
    """

    seconds = _OPENED_S


def refuse(
    place: Workplace, exc: Unverified, about: Described | None, *, waits: bool = True
) -> None:
    """Refuse a message that is not to be trusted, and say so to whoever waits for it.

    Args:
        place: Where it has come to.
        exc: What is wrong with it.
        about: The description that it came with, for when it says nothing itself.
        waits: Whether it may take a moment, for a job to be opened.
    """
    log.error("refused a message: %s", exc)
    if not exc.names_items and about is not None:
        exc.job_id, exc.start, exc.stop = about.job_id, about.start, about.stop
        exc.round = place.joblog.round(about.job_id)
    if not exc.names_items:
        return
    record = Rejected(
        round=exc.round,
        runs=((exc.start, exc.stop),),
        worker=place.name,
        reason=exc.reason,
    )
    # The client opens the job right after it sends the message; this may have been quicker. What
    # the message carries to open it is as little to be trusted as the rest.
    give_up = time.monotonic() + (_Patience.seconds if waits else 0.0)
    while not (reply := place.joblog.commit(exc.job_id, record, place.now())).known:
        if time.monotonic() > give_up:
            _Patience.seconds /= 2 if waits else 1
            return
        time.sleep(0.05)
    _Patience.seconds = _OPENED_S
    if reply.ready:
        place.sequels.release()


def is_of_the_past(place: Workplace, message: Message) -> bool:
    """Say whether a message's job, which is not in the store, was there once; then that is said."""
    spec = message.spec
    since = max(spec.submitted, spec.route.eta or 0.0)
    most = _PAST_S if not 0 < spec.result_expires < _PAST_S else _PAST_BRIEF_S
    age_s = place.now() - since
    if age_s <= most:
        return False
    place.keyring.on_refusal("message of a job that is gone")
    log.warning(
        "job %s: a message of %.0f hours ago does nothing: the job was forgotten or has expired "
        "(or was never opened, by a client that died); submit it again",
        spec.name,
        age_s / 3600,
    )
    return True
