"""How a `JobPicture` is taken: columns copied under the job's lock, and made into it afterwards.

    Live ──take: _Negative (lock held)──► develop (no lock) ──► JobPicture

Nothing is asked of the store: arguments are shown only where this process still has them, large
values (blobs) not at all. The lock is held while columns are copied (5 ms for a million items);
what runs the user's code (unpickling, reprs) comes after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from nbqueue.core import states
from nbqueue.core.outputs import settle
from nbqueue.core.plan import block_number
from nbqueue.core.spans import span
from nbqueue.notebook import failures, steps, timeline, values
from nbqueue.notebook.brief import brief, call, cut
from nbqueue.notebook.picture import Failure, JobPicture, Row, Running, Said, grid

if TYPE_CHECKING:
    from nbqueue.client.live import Live
    from nbqueue.core.fold import JobState
    from nbqueue.core.records import Stage

_ROWS = 20
_RUNNING = 8
_SAID = 20
_ERROR_CHARACTERS = 300
_TRACEBACK_CHARACTERS = 8_000
_RECENT_S = 10.0
"""The rate is that of the last so many seconds, so that the ETA follows what happens now."""

_FAILED = states.FAILURE_CODE

Call = tuple[tuple[Any, ...], dict[str, Any]]


def take(live: Live, now: float | None = None, note: str = "") -> JobPicture:
    """Give a job as it is now (``now``: seconds since the epoch by the store's clock)."""
    at = live.client.now() if now is None else now
    with live.lock:
        negative = _Negative(live.state, live.blocks)
    return negative.develop(at, note)


class _Negative:
    """What is copied out of the fold while its lock is held; `develop` makes the picture of it."""

    def __init__(self, state: JobState, blocks: Mapping[int, bytes]) -> None:
        self.spec, self.task, self.name = state.spec, state.task, state.name
        self.counts, self.finished = tuple(state.counts), state.finished
        self.submitted, self.ended_at = tuple(state.submitted), state.ended_at
        self.codes = bytes(state.states)
        self.columns = timeline.copy(state)
        self.blocks = blocks
        self.errors = failures.first(state)
        self.kinds = failures.kinds(self.errors)
        worst = state.error(self.kinds[0].item) if self.kinds else None
        self.traceback = "" if worst is None else worst.traceback
        self.running = [
            (record, state.progress.get(i)) for i, record in islice(state.running.items(), _RUNNING)
        ]
        self.said_total = len(state.outputs)
        failed = [kind.item for kind in self.kinds] + [i for i, _ in self.errors[: failures.MOST]]
        wanted = dict.fromkeys(i for i in failed if i in state.outputs)
        wanted.update(dict.fromkeys(islice(state.outputs, _SAID)))
        self.said = [(i, list(state.outputs[i])) for i in sorted(list(wanted)[:_SAID])]
        self.stages = tuple(state.stages)
        self.steps, self.steps_left = steps.steps(state), steps.left_out(state)
        shown = range(min(len(self.codes), _ROWS))
        self.row_errors = {i: failures.reason(state, i) for i in shown if self.codes[i] == _FAILED}
        self.n_cached, self.cached = state.n_cached, bytes(state.cached[:_ROWS])
        self.results = {
            i: (state.batches[state.batch_of[i] - 1].results, state.place[i])
            for i in shown
            if self.codes[i] == states.SUCCESS_CODE
        }

    def develop(self, now: float, note: str) -> JobPicture:
        """Make the picture; nothing is locked any more."""
        spec = self.spec
        failed, left = self._failures()
        columns, rows = self._table()
        over = now if self.ended_at is None else self.ended_at
        elapsed_s = max(0.0, over - self.submitted[0])
        rate, eta_s = self._pace(now, elapsed_s)
        return JobPicture(
            name=spec.name,
            task=self.task,
            state=self.name,
            n=len(self.codes),
            counts=dict(zip(states.NAMES, self.counts, strict=True)),
            finished=self.finished,
            elapsed_s=elapsed_s,
            items_per_s=rate,
            eta_s=eta_s,
            grid=grid(self.codes),
            failures=failed,
            failures_left=left,
            traceback=_tail(self.traceback),
            running=self._running(now),
            timeline=timeline.timeline(self.columns, now),
            columns=columns,
            rows=rows,
            said=tuple(
                Said(i, self._call(i), tuple(settle(record.output for record in records)))
                for i, records in self.said
            ),
            said_left=self.said_total - len(self.said),
            steps=self.steps,
            steps_left=self.steps_left,
            note=note,
            cached=self.n_cached,
        )

    def _pace(self, now: float, elapsed_s: float) -> tuple[float | None, float | None]:
        """Give items a second and seconds left, where something has ended."""
        import numpy as np

        done = sum(self.counts[states.FIRST_DONE_CODE :])
        if not done or elapsed_s <= 0:
            return None, None
        if self.finished:  # what was cancelled has not run
            return (done - self.counts[states.REVOKED_CODE]) / elapsed_s, None
        window = min(_RECENT_S, max(now - self.submitted[-1], 1e-3))
        recent = int(np.count_nonzero(self.columns.started + self.columns.run_s > now - window))
        rate = recent / window if recent else done / elapsed_s
        return rate, (len(self.codes) - done) / rate

    def _failures(self) -> tuple[tuple[Failure, ...], int]:
        found = tuple(
            Failure(
                kind.item, cut(kind.error, _ERROR_CHARACTERS), self._call(kind.item), kind.times
            )
            for kind in self.kinds
        )
        return found, self.counts[_FAILED] - sum(failure.times for failure in found)

    def _running(self, now: float) -> tuple[Running, ...]:
        found = []
        for record, report in self.running:
            fraction, says = None, ""
            if report is not None:
                says = f"{report.done:g}"
                if report.total:
                    fraction = min(1.0, max(0.0, report.done / report.total))
                    says += f" of {report.total:g}"
                rest = ", ".join(f"{k} {brief(v, 24)}" for k, v in islice(report.info.items(), 4))
                says += f", {rest}" if rest else ""
            found.append(
                Running(
                    item=record.item,
                    call=self._call(record.item),
                    worker=record.worker,
                    for_s=max(0.0, now - record.at),
                    fraction=fraction,
                    says=says,
                )
            )
        return tuple(found)

    # -- the user's values ---------------------------------------------------------------------

    def _arguments(self, i: int) -> Call | None:
        stage = self._stage(i)
        if stage is not None:
            number, place = divmod(i - stage.start, stage.spec.block or 1)
            number = block_number(stage.number, number)
        else:
            number, place = divmod(i, self.spec.block or 1)
        packed = self.blocks.get(number)
        block = None if packed is None else values.block(packed)
        return None if block is None else block.call(place)

    def _stage(self, i: int) -> Stage | None:
        return next((stage for stage in self.stages if stage.start <= i < stage.stop), None)

    def _call(self, i: int) -> str:
        stage = self._stage(i)
        if stage is not None:
            return f"{stage.spec.task}({self._own_arguments(i, stage)})"
        found = self._arguments(i)
        return "" if found is None else call(self.spec.params, *found)

    def _own_arguments(self, i: int, stage: Stage) -> str:
        """Give what an item of a workflow was called with, without what it took."""
        found = None if stage.kind == "spreads" else self._arguments(i)
        params = stage.spec.params if stage.takes is None else stage.spec.params[1:]
        return "" if found is None else call(params, *found)

    def _bound(self, i: int, found: Call | None) -> list[str]:
        stage = self._stage(i)
        if stage is None:
            return values.bound(self.spec.params, found)
        return [stage.spec.task, self._own_arguments(i, stage)]

    def _table(self) -> tuple[tuple[str, ...], tuple[Row, ...]]:
        """Give the first items with what they were called with and what became of them."""
        params = self.spec.params
        n = min(len(self.codes), _ROWS)
        calls = [self._arguments(i) for i in range(n)]
        known = bool(self.stages) or any(found is not None for found in calls)
        results = {i: values.result(*where) for i, where in self.results.items()}
        fields = values.fields(list(results.values()))
        rows = []
        for i, found in enumerate(calls):
            cells = self._bound(i, found) if known else []
            cells += [states.NAMES[self.codes[i]], *values.outcome(fields, results.get(i))]
            cells += [cut(self.row_errors.get(i, ""), 80), self._time(i), self._where(i)]
            cells += ["yes" if self.cached[i] else ""] if self.n_cached else []
            rows.append(Row(i, tuple(cells)))
        columns = (*(params if known else ()), "state", *(fields or ("result",)))
        columns += ("error", "run", "worker", *(("cached",) if self.n_cached else ()))
        return columns, tuple(rows)

    def _time(self, i: int) -> str:
        seconds = float(self.columns.run_s[i])
        return "" if seconds != seconds else span(seconds)

    def _where(self, i: int) -> str:
        k = int(self.columns.worker[i])
        return self.columns.workers[k] if k < len(self.columns.workers) else ""


def _tail(text: str) -> str:
    """Give a traceback, with its beginning left out when it is long: the end says what happened."""
    if len(text) <= _TRACEBACK_CHARACTERS:
        return text
    return "…" + text[-_TRACEBACK_CHARACTERS:]
