"""The graph of a workflow: its steps, and what each waits for; as text, and as an SVG.

1  load()                       ‹1› stands for what step 1 returns
2  clean(‹1›) × 3
3  total(‹2›)
4  report(‹id›)                 if one of 1 to 3 fails
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nbqueue.client.canvas import drawing
from nbqueue.client.canvas.drawing import Edge, Node
from nbqueue.client.canvas.steps import Draft, Step
from nbqueue.client.canvas.written import called, iterable, value
from nbqueue.core.plan import Failed, Listed, Other, Spread, Take, stages_of
from nbqueue.core.splitting import runs_of

_MOST_DRAWN = 150
"""A graph of more steps is given as text: nobody could read the drawing."""

_MOST_WRITTEN = 500
"""Lines of text; the rest is counted."""


@dataclass(frozen=True)
class Graph:
    """A workflow's steps and their order; from ``workflow.graph()`` and ``job.graph()``."""

    draft: Draft
    states: tuple[str, ...] = ()
    """How far each step is, of one that was sent."""

    def __repr__(self) -> str:
        steps = self.draft.steps
        labels = [label(step) for step in steps[:_MOST_WRITTEN]]
        notes = [self._note(i) for i in range(len(labels))]
        width = len(str(len(steps)))
        wide = max(
            (len(text) for text, about in zip(labels, notes, strict=True) if about), default=0
        )
        lines = [
            f"{i:>{width}}  {text:<{wide}}  {about}" if about else f"{i:>{width}}  {text}"
            for i, (text, about) in enumerate(zip(labels, notes, strict=True), 1)
        ]
        if len(steps) > _MOST_WRITTEN:
            lines.append(f"… and {len(steps) - _MOST_WRITTEN:,} more steps")
        return "\n".join(lines) or "(nothing to run)"

    def _note(self, i: int) -> str:
        said = (note(self.draft.steps[i]), self.states[i] if self.states else "")
        return "; ".join(filter(None, said))

    def svg(self) -> str:
        """Give the drawing, as SVG."""
        steps = self.draft.steps
        nodes = [
            Node(_with(label(step), self.states[i : i + 1]), rescue=bool(step.rescues))
            for i, step in enumerate(steps)
        ]
        return drawing.svg(nodes, edges(steps))

    def _repr_html_(self) -> str:
        if not 0 < len(self.draft.steps) <= _MOST_DRAWN:
            return f"<pre>{html.escape(repr(self))}</pre>"
        return f'<div style="overflow-x:auto">{self.svg()}</div>'

    def _repr_svg_(self) -> str | None:
        return self.svg() if 0 < len(self.draft.steps) <= _MOST_DRAWN else None


def _with(text: str, state: Sequence[str]) -> str:
    return " · ".join(filter(None, (text, *state)))


def graph_of(draft: Draft) -> Graph:
    """Give the graph of a workflow."""
    return Graph(draft)


def label(step: Step) -> str:
    """Give what a step calls."""
    name = step.task.name
    taken = [] if step.takes is None else [_taken(step.takes)]
    if step.each or step.values is not None:
        over = taken if step.each else [iterable(step.values)]
        return f"{'starmap' if step.star else 'map'}({', '.join([name, *over])})"
    if len(step.calls) == 1:
        args, kwargs = step.calls[0]
        return called(name, [*taken, *map(value, args)], kwargs)
    more = ["…"] if any(args or kwargs for args, kwargs in step.calls) else []
    return f"{called(name, [*taken, *more], {})} × {len(step.calls):,}"


def note(step: Step) -> str:
    """Give when a step runs, where what it takes does not say it."""
    if step.rescues:
        return f"if {_numbers(step.rescues)} fail{'s' if len(step.rescues) == 1 else ''}"
    waits = set(step.after) - set(stages_of(step.takes))
    return f"after {_numbers(sorted(waits))}" if waits else ""


def edges(steps: Sequence[Step]) -> list[Edge]:
    """Give what leads to each step; to an errback, only the last of the steps that it rescues."""
    found: list[Edge] = []
    followed: dict[int, list[int]] = {}
    for i, step in enumerate(steps):
        taken = dict.fromkeys(stages_of(step.takes))
        waits = [before for before in step.after if before not in taken]
        found += [Edge(before, i, "takes") for before in taken]
        found += [Edge(before, i, "after") for before in waits]
        for before in (*taken, *waits):
            followed.setdefault(before, []).append(i)
        last = [r for r in step.rescues if not set(followed.get(r, ())) & set(step.rescues)]
        found += [Edge(before, i, "fails") for before in last]
    return found


def _taken(take: Take) -> str:
    if isinstance(take, Listed):
        return f"[{', '.join(map(_taken, take.parts))}]"
    if isinstance(take, Failed):
        return "‹id›" if take.form == "id" else "‹request›, ‹exception›, ‹traceback›"
    if isinstance(take, Other):
        return f"‹job {take.job_id[:6]}›"
    return f"{'*' if isinstance(take, Spread) else ''}‹{take.stage + 1}›"


def _numbers(steps: Any) -> str:
    runs = [f"{a + 1}" if b - a == 1 else f"{a + 1}–{b}" for a, b in runs_of(steps)]
    return ", ".join(runs[:8]) + (", …" if len(runs) > 8 else "")
