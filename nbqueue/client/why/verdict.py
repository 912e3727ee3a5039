"""What an item that has not ended waits for. Pure: what was found out in, one sentence out.

`looking` finds out, from the store, the broker and the workers, whose answers are a moment old and
not quite of the same moment: so a verdict is the most telling thing that was seen, in this order.

    unreachable   nobody could be asked            queue       it stands in one, behind others
    running       a worker says so                 retry, time, slot, rate    kept until then
    stopped       it ran, and nobody runs it now   range       behind others in its message
    jobs, steps   others must succeed first        hand        a worker has it, and is busy
    unheard       no worker consumes its queue     lost        whoever had it is gone
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nbqueue.client.remote.survey import Worker
from nbqueue.client.why.facts import Facts, Verdict
from nbqueue.client.why.wording import NAMED, busy, many, moment, place, rate, some
from nbqueue.core import states
from nbqueue.core.settings import LEASE_S
from nbqueue.core.spans import span
from nbqueue.store.messages.peeking import Spot


def verdict(facts: Facts) -> Verdict:
    """Say what an item that has not ended waits for."""
    for look in _LOOKS:
        found = look(facts)
        if found is not None:
            return found
    return Verdict(
        "lost",
        "its message is nowhere to be found: not in a queue, with no worker, and not kept",
        "look again in a moment (it may be between two places); if it stays so, job.cancel() and "
        "submit what is left",
    )


def _projects(facts: Facts) -> Verdict | None:
    """Say what can be said of a project's task: its messages do not tell what they are about."""
    if not facts.projects or facts.others:
        return None
    where = f"queue {facts.queue!r}" if facts.queue else "the queue that the project routes it to"
    return Verdict(
        "project",
        f"was sent to {where}, as a task of a Celery project, whose workers tell when it is over",
        "nq.control.active() and nq.control.reserved() show what workers are at",
    )


def _gone(facts: Facts) -> Verdict | None:
    if facts.meta.there:
        return None
    return Verdict("gone", "its job is no longer in the store: it expired or was forgotten")


def _running(facts: Facts) -> Verdict | None:
    for worker, running in facts.at():
        if running.item == facts.item:
            text = f"runs on {worker.name} for {span(running.for_s)}"
            return Verdict("running", text + _expected(facts))
    started = facts.started
    if facts.state != states.STARTED or started is None:
        return None
    for_s = span(max(facts.now - started.at, 0.0))
    if facts.survey is None:
        asked = f" (nobody could be asked: {facts.trouble})" if facts.trouble else ""
        return Verdict("running", f"runs in process {started.worker} for {for_s}{asked}")
    for worker, running in facts.at():
        if running.message_id == started.message_id:
            text = f"runs on {worker.name}, in process {started.worker}, for {for_s}"
            return Verdict("running", text + _expected(facts))
    if facts.at() or _back(facts):
        return None  # it is on its way again: what it waits for is the answer
    silent = facts.survey.silent
    which = (
        f"of which nothing is heard: {some(silent)} did not answer (ended, hangs, or is busy in "
        "a solo pool)"
        if silent
        else "which no worker has any more: it died, or has just ended it"
    )
    return Verdict(
        "stopped",
        f"was begun {for_s} ago by process {started.worker}, {which}",
        _comes_back(facts),
    )


def _expected(facts: Facts) -> str:
    deaths = max(facts.meta.tries - 1, 0)
    if not deaths:
        return ""
    return f"; what ran it before died, {deaths} time{'s' if deaths > 1 else ''}"


def _back(facts: Facts) -> bool:
    return any(spot.where == "queue" for spot in facts.spots or ()) or bool(facts.kept)


def _comes_back(facts: Facts) -> str:
    when = f"when its lease ends ({LEASE_S:g} s on Redis)"
    return f"its message comes back by itself {when}, to any worker of its queue{_nobody(facts)}"


def _nobody(facts: Facts) -> str:
    return "" if facts.consumers() else "; there is none now (nbqueue worker starts one)"


def _others(facts: Facts) -> Verdict | None:
    waiting = [other for other in facts.others if other.left]
    named = ", ".join(
        f"{other.name!r} ({other.n - other.left:,} of {other.n:,} items ended)"
        for other in waiting[:NAMED]
    )
    if waiting:
        kind = "steps" if facts.step else "jobs"
        word = "step" if facts.step else "job"
        more = f" and {len(waiting) - NAMED} more" if len(waiting) > NAMED else ""
        return Verdict(kind, f"waits for {many(len(waiting), word)}: {named}{more}")
    if facts.meta.held and facts.others:
        names = ", ".join(repr(other.name) for other in facts.others if other.bad)
        return Verdict(
            "jobs",
            f"is about to be recorded as not begun: {names} did not succeed"
            if names
            else "is about to be sent: what it waited for has ended",
        )
    return None


def _asked(facts: Facts) -> Verdict | None:
    if not facts.trouble or facts.kept:
        return None
    return Verdict(
        "unreachable",
        f"had not begun when it was last heard of, and nobody could be asked: {facts.trouble}",
        "once the broker answers, workers go on by themselves (nbqueue doctor looks at all of it)",
    )


def _queued(facts: Facts) -> Verdict | None:
    found = [spot for spot in facts.spots or () if spot.where == "queue"]
    if not found:
        return None
    spot = min(found, key=lambda spot: spot.ahead)
    listeners = [worker for worker in facts.workers if spot.queue in worker.queues]
    return _in_queue(facts, spot.queue, listeners, place(spot))


def _in_queue(facts: Facts, queue: str, listeners: Sequence[Worker], place: str) -> Verdict:
    silent = facts.survey.silent if facts.survey else ()
    if not listeners:
        if silent:
            return Verdict(
                "unheard",
                f"waits in queue {queue!r}{place}; no worker answers that consumes it "
                f"({some(silent)} did not answer)",
                f"see what those do, or start another: nbqueue worker -Q {queue}",
            )
        there = sorted({name for worker in facts.workers for name in worker.queues})
        others = f"there are workers on {', '.join(there)}" if there else "no worker answers at all"
        return Verdict(
            "unheard",
            f"waits in queue {queue!r}{place}, which no worker consumes; {others}",
            f"nbqueue worker -Q {queue}, or nq.control.add_consumer({queue!r})",
        )
    free = [worker for worker in listeners if worker.n_running < worker.processes]
    if free:
        return Verdict("queue", f"waits in queue {queue!r}{place}, and is about to be taken")
    return Verdict(
        "queue",
        f"waits in queue {queue!r}{place}; {busy(listeners)}",
        _ending(facts, listeners)
        or "it begins when one of them is done; more processes begin it sooner "
        "(nbqueue worker, or nq.control.pool_grow)",
    )


def _ending(facts: Facts, busy: Sequence[Worker]) -> str:
    """Say how to end what workers run though it is cancelled: by id, a name may be another's."""
    found = {
        running.job_id: running.job
        for worker in busy
        for running in worker.running
        if running.job_id in facts.cancelled
    }
    return "; ".join(
        f"{name} is cancelled and runs on: nq.job({job_id!r}).cancel(terminate=True) ends it"
        for job_id, name in list(found.items())[:NAMED]
    )


def _kept(facts: Facts) -> Verdict | None:
    if not facts.kept:
        return None
    spot = min(facts.kept, key=lambda spot: spot.due)
    wait = f"in {span(spot.due - facts.now)}" if spot.due > facts.now else "now"
    if spot.waits_for == "slot":
        return _slot(facts, spot)
    if spot.waits_for == "rate":
        allowed = facts.limits.rate
        of = f" ({rate(allowed)})" if allowed else ""
        return Verdict(
            "rate",
            f"waits for the rate limit of its task{of}; it asks again {wait}"
            + (f", with {many(spot.ahead, 'message')} before it" if spot.ahead else ""),
            "nq.control.rate_limit(task, rate) sets another one at once",
        )
    if spot.waits_for == "retry" or facts.state == states.RETRY:
        why = f", because its last attempt raised {facts.error}" if facts.error else ""
        return Verdict("retry", f"runs again {wait} ({moment(spot.due)}){why}")
    overdue = spot.due < facts.now - 5 and not facts.consumers()
    return Verdict(
        "time",
        f"begins {wait} ({moment(spot.due)})"
        + ("; no worker is there to send it on" if overdue else ""),
        "nbqueue worker starts one" if overdue else "",
    )


def _slot(facts: Facts, spot: Spot) -> Verdict:
    slots, holders = facts.limits.slots, set(facts.limits.holders)
    held = [
        f"{running.label} on {worker.name} for {span(running.for_s)}"
        for worker in facts.workers
        for running in worker.running
        if running.message_id in holders
    ]
    who = f": {', '.join(held[:NAMED])}" if held else ""
    which = many(slots, "slot") if slots else "slots"
    taken = f"{len(holders)} of {which} (concurrency) of its task taken{who}"
    before = f"; {many(spot.ahead, 'message')} before it" if spot.ahead else ""
    return Verdict("slot", f"waits for a turn: {taken}{before}")


def _ranged(facts: Facts) -> Verdict | None:
    for worker, running in facts.at():
        if running.item is not None and running.stop - running.start > 1:
            text = (
                f"is one of items {running.start}–{running.stop - 1}, which {worker.name} has; it "
                f"is at item {running.item} for {span(running.for_s)}"
            )
            return Verdict("range", text)
        text = f"is with {worker.name}, which has begun its message {span(running.for_s)} ago"
        return Verdict("running", text + _expected(facts))
    return None


def _taken(facts: Facts) -> Verdict | None:
    if not any(spot.where == "taken" for spot in facts.spots or ()):
        return None
    listeners = facts.consumers()
    full = [worker for worker in listeners if worker.n_running >= worker.processes]
    if full:
        text = f"was taken by a worker that is busy; {busy(full)}"
        return Verdict("hand", text, _ending(facts, full))
    if facts.survey and (facts.survey.silent or not listeners):
        silent = facts.survey.silent
        who = f"{some(silent)} did not answer" if silent else "no worker answers"
        return Verdict(
            "lost",
            f"was taken by a worker that does not answer ({who})",
            _comes_back(facts),
        )
    return Verdict(
        "hand",
        "was taken by a worker and is about to begin, or comes back from one that died",
    )


def _unsure(facts: Facts) -> Verdict | None:
    """Say where it may be: to be called lost, all must have been looked through."""
    spot = next(iter(facts.unsure), None)
    if spot is None:
        return None
    if spot.where == "later":
        amount = f"more than {many(spot.ahead, 'message')}"
        return Verdict("time", f"waits, as it seems, among {amount} that are kept for later")
    listeners = [worker for worker in facts.workers if spot.queue in worker.queues]
    found = _in_queue(facts, spot.queue, listeners, place(spot))
    return replace(found, text=found.text.replace("waits in", "waits, as it seems, in", 1))


def _unseen(facts: Facts) -> Verdict | None:
    """Say what can be said where the broker lets nobody look into its queues."""
    if facts.spots is not None or facts.survey is None:
        return None
    queue = facts.queue
    waiting = next((q.waiting for q in facts.survey.queues if q.name == queue), 0)
    behind = f" with {many(waiting, 'message')} in it" if waiting else ""
    if queue:
        return _in_queue(facts, queue, facts.consumers(), behind)
    return Verdict("queue", "waits in a queue that its exchange and routing key decide")


_LOOKS = (
    _gone,
    _running,
    _others,
    _asked,
    _projects,
    _queued,
    _kept,
    _ranged,
    _taken,
    _unseen,
    _unsure,
)
"""In the order in which they are telling."""
