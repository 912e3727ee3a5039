"""A job as HTML: one page that needs no script, no style sheet and no kernel.

It is what a saved notebook shows, so it must survive sanitizers (untrusted notebooks, GitHub):
inline styles only, and where even those are dropped the words still say everything. Colours that
are not a state's are the text's own, so that it is right on a light and on a dark background.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence

from nbqueue.core import states
from nbqueue.core.spans import span
from nbqueue.notebook.picture import Failure, JobPicture, Said, StepShown
from nbqueue.notebook.views import outputs, palette, png, sheet, words
from nbqueue.notebook.views.outputs import quoted

_BOX = (
    "font-size:13px;line-height:1.4;margin:2px 0 6px 0;padding:10px 12px;"
    "border:1px solid rgba(128,128,128,0.3);border-radius:4px"
)
_LINE = "display:flex;flex-wrap:wrap;align-items:baseline;gap:0 12px"
_QUIET = "opacity:.7"
_NUMBERS = "font-variant-numeric:tabular-nums"
_SUMMARY = "cursor:pointer;margin-top:4px"
_RED = f"color:{palette.LOOKS[states.FAILURE].colour}"

WIDTH_PX = 676
"""What a table may take in a window of 700 pixels."""


def page(picture: JobPicture) -> str:
    """Give a job's page, which looks like its widget; of a single call, its outputs at once."""
    single = picture.n == 1 and not picture.steps
    body = _single(picture) if single else _many(picture)
    return f'<div style="{_BOX}">{"".join(body)}</div>'


def _single(picture: JobPicture) -> Iterable[str]:
    # How it stands says it all: of one item there is no share that has ended.
    yield _headline(picture)
    yield f'<div style="{_QUIET};{_NUMBERS}">{" · ".join(words.figures(picture)[1:])}</div>'
    yield _progress(picture)
    said = picture.said[0].outputs if picture.said else ()
    if picture.failures and not any(o["output_type"] == "error" for o in said):
        # What the call has displayed ends in its traceback already; else it is folded below this.
        error = (
            f'<span style="{_RED};white-space:pre-wrap">{quoted(picture.failures[0].error)}</span>'
        )
        trace = picture.traceback
        yield _details(error, outputs.pre(trace)) if trace else f"<div>{error}</div>"
    if said:
        yield f'<div style="margin-top:4px">{outputs.html(said)}</div>'


def _many(picture: JobPicture) -> Iterable[str]:
    yield _headline(picture)
    yield _bar(picture)
    yield _numbers(picture)
    yield _steps(picture)
    yield _failures(picture)
    yield _running(picture)
    yield _grid(picture)
    yield _table(picture)
    yield _timeline(picture)
    yield _said(picture)


# -- parts -----------------------------------------------------------------------------------------


def _headline(picture: JobPicture) -> str:
    look = palette.LOOKS[picture.state]
    task = "" if picture.task == picture.name else quoted(picture.task)
    note = f'<div style="{_QUIET}">{quoted(picture.note)}</div>' if picture.note else ""
    return (
        f'<div style="{_LINE}"><b style="font-size:14px">{quoted(picture.name)}</b> '
        f'<span><span style="color:{look.colour}">{look.mark}</span> {words.headline(picture)}'
        f'</span> <span style="{_QUIET}">{task}</span></div>{note}'
    )


_ORDER = (states.SUCCESS, states.FAILURE, states.REVOKED, states.RETRY, states.STARTED)


def _bar(picture: JobPicture) -> str:
    parts = "".join(
        _filled(100 * picture.counts[state] / picture.n, palette.LOOKS[state].colour)
        for state in _ORDER
        if picture.counts.get(state)
    )
    return _track(parts)


def _filled(percent: float, colour: str) -> str:
    # Never thinner than can be seen: one failure in a million is a failure.
    return f'<div style="width:{percent:.3f}%;min-width:3px;height:8px;background:{colour}"></div>'


def _track(parts: str, shape: str = "height:8px;margin:9px 0 7px") -> str:
    return (
        f'<div style="display:flex;{shape};overflow:hidden;'
        f'border-radius:4px;background:rgba(128,128,128,0.2)">{parts}</div>'
    )


def _progress(picture: JobPicture) -> str:
    """Give how far a single call is, when it says so."""
    if picture.finished or not picture.running or picture.running[0].fraction is None:
        return ""
    item = picture.running[0]
    filled = _filled(100 * (item.fraction or 0), palette.LOOKS[states.STARTED].colour)
    return f'{_track(filled)}<div style="{_QUIET}">{quoted(item.says)}</div>'


def _numbers(picture: JobPicture) -> str:
    """Give how far and how fast, and beside it the items by state."""
    first, *rest = words.figures(picture)
    quiet = f' <span style="{_QUIET}">· {" · ".join(rest)}</span>' if rest else ""
    return (
        f'<div style="{_LINE};{_NUMBERS};justify-content:space-between">'
        f"<span>{first}{quiet}</span> <span>{_legend(picture)}</span></div>"
    )


def _legend(picture: JobPicture) -> str:
    parts = []
    for state in (*_ORDER, states.PENDING):
        count = picture.counts.get(state)
        if count:
            look = palette.LOOKS[state]
            parts.append(
                f'<span style="margin-left:12px;white-space:nowrap"><span style="color:'
                f'{look.colour}">{look.mark}</span> {count:,} '
                f'<span style="{_QUIET}">{look.word}</span></span>'
            )
    return " ".join(parts)


def _steps(picture: JobPicture) -> str:
    """Give a workflow's steps: a bar for each, and how far it is."""
    if not picture.steps:
        return ""
    rows = [
        (
            f"{'✗ ' if step.rescue else ''}{step.task}",
            f'<div style="width:120px;margin-top:7px">{_bar_of(step)}</div>',
            _done_of(step),
        )
        for step in picture.steps
    ]
    more = f"… and {picture.steps_left:,} more steps" if picture.steps_left else ""
    return sheet.table(("", "", ""), rows, images=(1,)) + more


def _bar_of(step: StepShown) -> str:
    counts = dict(zip(states.NAMES, step.counts, strict=True))
    parts = (
        _filled(100 * counts[state] / step.n, palette.LOOKS[state].colour)
        for state in _ORDER
        if counts[state]
    )
    return _track("".join(parts), "height:4px;margin:0")


def _done_of(step: StepShown) -> str:
    done = sum(step.counts[states.FIRST_DONE_CODE :])
    return f"{done:,} of {step.n:,}" if step.n else "–"


def _failures(picture: JobPicture) -> str:
    """Give the most frequent errors, a line each, and the traceback of the first."""
    if not picture.failures:
        return ""
    left = picture.failures_left
    more = f'<div style="{_QUIET}">… and {left:,} failed items besides</div>' if left else ""
    traceback = ""
    if picture.traceback:
        title = f"Traceback of item {picture.failures[0].item:,}"
        traceback = _details(title, outputs.pre(picture.traceback))
    lines = "".join(map(_failure, picture.failures))
    return f'<div style="margin-top:6px;font-size:12px">{lines}{more}{traceback}</div>'


def _failure(failure: Failure) -> str:
    look = palette.LOOKS[states.FAILURE]
    times = f"{failure.times:,} × " if failure.times > 1 else ""
    which = f"{'first: ' if failure.times > 1 else ''}item {failure.item:,}"
    call = f": {quoted(failure.call)}" if failure.call else ""
    return (
        f'<div><span style="color:{look.colour}">{look.mark}</span> {times}<span style="{_RED}">'
        f'{quoted(failure.error)}</span> <span style="{_QUIET}">· {which}{call}</span></div>'
    )


def _running(picture: JobPicture) -> str:
    if picture.finished or not picture.running:
        return ""
    rows = []
    for item in picture.running:
        share = "" if item.fraction is None else f"{100 * item.fraction:.0f} %"
        rows.append([f"{item.item:,}", item.call, span(item.for_s), share, item.says, item.worker])
    head = ("running", "called with", "for", "", "", "worker")
    used = [k for k in range(len(head)) if any(row[k] for row in rows)]
    return sheet.table([head[k] for k in used], [[row[k] for k in used] for row in rows])


def _grid(picture: JobPicture) -> str:
    if picture.n < 2:
        return ""
    said = ", ".join(f"{v:,} {palette.LOOKS[k].word}" for k, v in picture.counts.items() if v)
    per = picture.grid.per_cell
    each = f'<div style="{_QUIET}">each cell is {per:,} items</div>' if per > 1 else ""
    image = _image(png.grid(picture.grid), f"items: {said}")
    return f'<div style="margin:8px 0 4px">{image}</div>{each}'


def _image(body: bytes, said: str) -> str:
    data = base64.b64encode(body).decode()
    return (
        f'<img src="data:image/png;base64,{data}" alt="{quoted(said)}" '
        'style="max-width:100%;background:transparent;margin:0">'
    )


def _table(picture: JobPicture) -> str:
    if not picture.rows or not any(picture.counts[state] for state in _ORDER):
        return ""
    used = [k for k, _ in enumerate(picture.columns) if any(row.cells[k] for row in picture.rows)]
    head = ["item", *(picture.columns[k] for k in used)]
    rows = [[str(row.item), *(_worded(row.cells[k]) for k in used)] for row in picture.rows]
    kept = sheet.fitting(head, rows, WIDTH_PX)
    shown = sheet.table(
        [head[k] for k in kept],
        [[row[k] for k in kept] for row in rows],
        red=[place for place, k in enumerate(kept) if head[k] == "error"],
    )
    left = picture.n - len(rows)
    more = [f"{left:,} more items"] if left else []
    more += ["columns " + ", ".join(head[len(kept) :])] if len(kept) < len(head) else []
    besides = f'<div style="{_QUIET}">… {quoted(" and ".join(more))}: job.to_frame()</div>'
    title = "Items" if not left else f"First {len(rows)} items"
    return _details(title, shown + (besides if more else ""))


def _worded(cell: str) -> str:
    """Give a state as a person says it, and anything else as it is."""
    look = palette.LOOKS.get(cell)
    return cell if look is None else f"{look.mark} {look.word}"


def _timeline(picture: JobPicture) -> str:
    found = picture.timeline
    if not found.lanes:
        return ""
    rows = [
        [lane.worker, f"{lane.items:,}", _image(png.lane(lane.busy), _busy(lane.busy))]
        for lane in found.lanes
    ]
    table = sheet.table(("worker", "items", f"busy, over {span(found.span_s)}"), rows, images=(2,))
    left = found.workers - len(found.lanes)
    more = f'<div style="{_QUIET}">… and {left:,} more workers</div>' if left else ""
    title = f"Timeline of {found.workers:,} worker{'s' if found.workers > 1 else ''}"
    return _details(title, table + more)


def _busy(shares: Sequence[float]) -> str:
    return f"busy {100 * sum(shares) / len(shares):.0f} % of the time"


def _said(picture: JobPicture) -> str:
    if not picture.said:
        return ""
    room = outputs.BYTES
    parts = []
    for item in picture.said:
        shown = outputs.html(item.outputs, room)
        room -= len(shown)
        parts.append(_heading(item) + f'<div style="margin:0 0 8px 0">{shown}</div>')
    if picture.said_left:
        parts.append(f'<div style="{_QUIET}">… and {picture.said_left:,} other items</div>')
    total = len(picture.said) + picture.said_left
    return _details(f"Output of {total:,} item{'s' if total > 1 else ''}", "".join(parts))


def _heading(item: Said) -> str:
    call = f' <span style="{_QUIET}">{quoted(item.call)}</span>' if item.call else ""
    return f"<div><b>item {item.item:,}</b>{call}</div>"


def _details(title: str, body: str) -> str:
    return f'<details><summary style="{_SUMMARY}">{title}</summary>{body}</details>'
