"""`Why` and `JobWhy`: what ``job.why(i)`` and ``job.why()`` give, to be read and to be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbqueue.client.why import looking, printed
from nbqueue.client.why.facts import Verdict
from nbqueue.client.why.verdict import verdict
from nbqueue.core import states
from nbqueue.core.errors import InfrastructureError
from nbqueue.core.history import Event, history
from nbqueue.core.records import Record
from nbqueue.core.spans import span
from nbqueue.store.connection.connection import translated

if TYPE_CHECKING:
    import pandas as pd

    from nbqueue.client.live import Live

_MOST_ERRORS = 5
_MOST_RUNNING = 5


@dataclass(frozen=True)
class Why:
    """All that is known of one item; made by ``job.why(i)``. Times are seconds since the epoch.

    >>> double.map([1, 2]).why(1).state                     # doctest: +CLUSTER +ELLIPSIS
    '...'
    """

    job: str
    """The job's name."""
    job_id: str
    item: int
    task: str
    state: str
    kind: str
    """In a word, why it is so: ``queue``, ``slot``, ``running``, ``unheard``, ``succeeded`` ..."""
    text: str
    """The same in a sentence, without its subject."""
    advice: str
    """What can be done about it; empty when nothing needs to be."""
    at: float
    """When that was so, by the store's clock."""
    events: tuple[Event, ...]
    """Its life, as the job's log has it."""
    attempts: int
    deaths: int
    """How often whatever ran it was lost."""
    worker: str
    """Who ran it last; empty if nobody did."""
    progress: str
    """The latest that it reported; empty if nothing."""
    output: str
    """The end of what it printed."""

    def to_frame(self) -> pd.DataFrame:
        """Give its life as a table: ``at`` (UTC), ``event``, ``text``, ``worker``, in order."""
        import pandas as pd

        return pd.DataFrame(
            {
                "at": pd.to_datetime([event.at for event in self.events], unit="s", utc=True),
                "event": [event.kind for event in self.events],
                "text": [event.text for event in self.events],
                "worker": [event.worker for event in self.events],
            }
        )

    def __repr__(self) -> str:
        return printed.item(self)


@dataclass(frozen=True)
class JobWhy:
    """Why a job is as it is; made by ``job.why()``."""

    job: str
    job_id: str
    task: str
    state: str
    text: str
    """A sentence: why it is not done yet, or how it ended."""
    advice: str
    """What can be done about it; empty when nothing needs to be."""
    at: float
    counts: dict[str, int]
    """Items by state."""
    waiting: Why | None
    """The first item that has not begun; ``None`` when there is none."""
    oldest: Why | None
    """Where none waits: the item that has been running for longest."""
    running: tuple[str, ...]
    """Items that run, in a line each: those that have been running for longest."""
    errors: tuple[str, ...]
    """What went wrong, in a line each: the most frequent first."""

    def __repr__(self) -> str:
        return printed.job(self)


def ask(live: Live, i: int | None) -> Why | JobWhy:
    """Give what ``Job.why`` documents."""
    if not live.finished:
        live.client.check()
    seen = looking.Look()
    try:
        with translated(live.client.store_url):
            looking.reach(live)
    except InfrastructureError as exc:  # told instead: it is the answer
        seen = looking.Look(trouble=str(exc), away=True)
    if not (seen.away or live.finished or (i is not None and live.state.done[i])):
        seen = looking.look(live)
    with translated(live.client.store_url):
        return job(live, seen) if i is None else item(live, i, seen)


def item(live: Live, i: int, seen: looking.Look) -> Why:
    """Give all that is known of an item."""
    found = None if live.state.done[i] else _now(live, i, seen)
    told = history(() if seen.away else _entries(live), i)
    with live.lock:
        state = live.state
        name = states.NAMES[state.states[i]]
        reported, attempts, error = state.progress.get(i), state.attempts[i], state.error(i)
        said = [output.output for output in state.outputs.get(i, ())]
        stage = state.stage_of(i)
    if found is None or name in states.NAMES[states.FIRST_DONE_CODE :]:  # it is over by now
        last = told.events[-1] if told.events else Event(0.0, name.lower(), name)
        advice = _after_death(live, i) if error and error.is_death else _after(last.kind, i)
        found = Verdict(last.kind, last.text, advice)
    workers = [event.worker for event in told.events if event.worker]
    return Why(
        job=live.name,
        job_id=live.id,
        item=i,
        task=state.task if stage is None else stage.spec.task,
        state=name,
        kind=found.kind,
        text=found.text,
        advice=found.advice,
        at=live.client.now(),
        events=tuple(told.events),
        attempts=attempts,
        deaths=told.lost if seen.away else max(told.lost, looking.deaths(live, i)),
        worker=workers[-1] if workers else "",
        progress=printed.progress(reported) if reported else "",
        output=printed.tail(said),
    )


def _now(live: Live, i: int, seen: looking.Look) -> Verdict:
    if seen.away:
        return Verdict(
            "unreachable",
            f"had not ended when it was last heard of, and nobody could be asked: {seen.trouble}",
            "once broker and store answer, it goes on by itself (nbqueue doctor looks at all of "
            "it)",
        )
    found = verdict(looking.facts(live, i, seen))
    if found.kind == "lost" and not live.finished:
        # It may have been between two places: what was seen there is not of one moment.
        live.client.follower.catch_up(live)
        found = verdict(looking.facts(live, i, looking.look(live)))
    return found


def _after(kind: str, i: int) -> str:
    return {
        "failed": f"job.rerun({i}) calls it here, to debug it; job.retry() runs what failed again",
        "refused": "give workers and notebooks the same $NBQUEUE_KEY; then job.retry()",
    }.get(kind, "")


def _after_death(live: Live, i: int) -> str:
    return (
        f"job.rerun({i}) calls it here and may end or block this process too: call "
        f"nq.job({live.name!r}).rerun({i}) in a Python of its own; "
        "job.retry() runs what failed again"
    )


def _entries(live: Live) -> Iterator[tuple[float, Record]]:
    """Read the log: records, with when the store got them."""
    for entry in live.client.joblog.walk(live.id):
        yield int(entry.id.partition("-")[0]) / 1000, entry.record


def job(live: Live, seen: looking.Look) -> JobWhy:
    """Say why a job is as it is."""
    with live.lock:
        state = live.state
        counts = dict(zip(states.NAMES, state.counts, strict=True))
        first = state.states.find(states.PENDING_CODE)
        if first < 0:
            first = state.states.find(states.RETRY_CODE)
        running = sorted(state.running.values(), key=lambda started: started.at)
        now = live.client.now()
        lines = tuple(
            f"item {each.item} on {each.worker} for {span(max(now - each.at, 0.0))}"
            for each in running[:_MOST_RUNNING]
        )
        errors = _errors(live)
    waiting = oldest = None
    if not live.finished:
        waiting = item(live, first, seen) if first >= 0 else None
        oldest = item(live, running[0].item, seen) if running and waiting is None else None
    held = waiting or oldest
    text = f"item {held.item} {held.text}" if held else ""
    advice = held.advice if held else "job.retry() runs what failed again" if errors else ""
    return JobWhy(
        job=live.name,
        job_id=live.id,
        task=live.state.task,
        state=live.state.name,
        text=printed.summary(counts, text, finished=live.finished),
        advice=advice,
        at=now,
        counts=counts,
        waiting=waiting,
        oldest=oldest,
        running=lines,
        errors=errors,
    )


def _errors(live: Live) -> tuple[str, ...]:
    """Tell the most frequent errors, each with its first item."""
    state = live.state
    found: Counter[str] = Counter()
    first: dict[str, int] = {}
    for code in (states.FAILURE_CODE, states.RETRY_CODE):
        for i in state.where(code):
            error = state.error(i)
            text = error.brief.partition("\n")[0] if error else "refused: a bad signature"
            found[text] += 1
            first.setdefault(text, i)
    return tuple(
        f"item {first[text]}: {text}" + (f" (and {n - 1:,} more like it)" if n > 1 else "")
        for text, n in found.most_common(_MOST_ERRORS)
    )
