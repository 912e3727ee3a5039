"""A job as HTML: one page that needs no script, no style sheet and no kernel.

It is what a saved notebook shows, so it must survive sanitizers (untrusted notebooks, GitHub):
inline styles only, and where even those are dropped the words still say everything. Colours that
are not a state's are the text's own, so that it is right on a light and on a dark background.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence

from nbqueue.core import states
from nbqueue.core.spans import span
from nbqueue.notebook.picture import JobPicture, Said, StepShown
from nbqueue.notebook.views import outputs, palette, png
from nbqueue.notebook.views.outputs import quoted
from nbqueue.notebook.views.text import state_words

_BOX = "font-size:13px;line-height:1.5;margin:2px 0 6px 0"
_QUIET = "opacity:.7"
_NUMBERS = "font-variant-numeric:tabular-nums"
_CELL = "text-align:left;padding:1px 12px 1px 0;vertical-align:top;border:0;background:transparent"
_SUMMARY = "cursor:pointer;margin-top:4px"


def page(picture: JobPicture) -> str:
    """Give a job's page: of a single call, its outputs under one line."""
    body = _single(picture) if picture.n == 1 else _many(picture)
    return f'<div style="{_BOX}">{"".join(body)}</div>'


def _single(picture: JobPicture) -> Iterable[str]:
    yield _headline(picture)
    yield _bar_of_progress(picture)
    said = picture.said[0].outputs if picture.said else ()
    if picture.failures:
        failure = picture.failures[0]
        yield _error_line(failure.error)
        if picture.traceback and not any(o["output_type"] == "error" for o in said):
            yield _details("Traceback", outputs.pre(picture.traceback), opened=not said)
    if said:
        yield f'<div style="margin-top:4px">{outputs.html(said)}</div>'


def _many(picture: JobPicture) -> Iterable[str]:
    yield _headline(picture)
    yield _bar(picture)
    yield _legend(picture)
    yield _steps(picture)
    yield _grid(picture)
    yield _running(picture)
    yield _failures(picture)
    yield _said(picture)
    yield _table(picture)
    yield _timeline(picture)


# -- parts -----------------------------------------------------------------------------------------


def _headline(picture: JobPicture) -> str:
    look = palette.LOOKS[picture.state]
    about = [] if picture.task == picture.name else [quoted(picture.task)]
    if picture.n != 1:
        about.append(f"{picture.n:,} items")
    about.append(span(picture.elapsed_s))
    if picture.n != 1 and picture.items_per_s:
        about.append(f"{_rate(picture.items_per_s)} items/s")
    if picture.eta_s is not None and not picture.finished and picture.n != 1:
        about.append(f"about {span(picture.eta_s)} left")
    note = f'<div style="color:#db4b4b">{quoted(picture.note)}</div>' if picture.note else ""
    return (
        f'<div><span style="color:{look.colour};font-weight:bold">{look.mark} '
        f"{state_words(picture)}</span> &nbsp;<b>{quoted(picture.name)}</b>"
        f' <span style="{_QUIET};{_NUMBERS}">· {" · ".join(about)}</span></div>{note}'
    )


def _rate(per_s: float) -> str:
    return f"{per_s:,.0f}" if per_s >= 100 else f"{per_s:.2g}"


_ORDER = (states.SUCCESS, states.FAILURE, states.REVOKED, states.STARTED, states.RETRY)


def _bar(picture: JobPicture) -> str:
    parts = "".join(
        _filled(100 * picture.counts[state] / picture.n, palette.LOOKS[state].colour)
        for state in _ORDER
        if picture.counts.get(state)
    )
    return _track(parts)


def _filled(percent: float, colour: str) -> str:
    # Never thinner than can be seen: one failure in a million is a failure.
    return f'<div style="width:{percent:.3f}%;min-width:2px;height:6px;background:{colour}"></div>'


def _track(parts: str) -> str:
    return (
        '<div style="display:flex;height:6px;max-width:640px;margin:4px 0;overflow:hidden;'
        f'border-radius:3px;background:rgba(128,128,128,0.25)">{parts}</div>'
    )


def _bar_of_progress(picture: JobPicture) -> str:
    """Give how far a single call is, when it says so."""
    if picture.finished or not picture.running or picture.running[0].fraction is None:
        return ""
    item = picture.running[0]
    filled = _filled(100 * (item.fraction or 0), palette.LOOKS[states.STARTED].colour)
    return f'{_track(filled)}<div style="{_QUIET}">{quoted(item.says)}</div>'


def _legend(picture: JobPicture) -> str:
    parts = []
    for state in (*_ORDER, states.PENDING):
        count = picture.counts.get(state)
        if count:
            look = palette.LOOKS[state]
            parts.append(
                f'<span style="margin-right:14px"><span style="color:{look.colour}">{look.mark}'
                f"</span> {count:,} {look.word}</span>"
            )
    return f'<div style="{_NUMBERS}">{"".join(parts)}</div>'


def _steps(picture: JobPicture) -> str:
    """Give a workflow's steps: a bar for each, and how far it is."""
    if not picture.steps:
        return ""
    rows = "".join(
        f'<tr><td style="{_CELL}">{"✗ " if step.rescue else ""}{quoted(step.task)}</td>'
        f'<td style="{_CELL}"><div style="width:120px">{_bar_of(step)}</div></td>'
        f'<td style="{_CELL};{_NUMBERS}">{_done_of(step)}</td></tr>'
        for step in picture.steps
    )
    more = f"… and {picture.steps_left:,} more steps" if picture.steps_left else ""
    table = f'<table style="border-collapse:collapse;border:0;font-size:12px">{rows}</table>'
    return f'<div style="margin:4px 0">{table}{more}</div>'


def _bar_of(step: StepShown) -> str:
    counts = dict(zip(states.NAMES, step.counts, strict=True))
    return _track(
        "".join(
            _filled(100 * counts[state] / step.n, palette.LOOKS[state].colour)
            for state in _ORDER
            if counts[state]
        )
    )


def _done_of(step: StepShown) -> str:
    done = sum(step.counts[states.FIRST_DONE_CODE :])
    return f"{done:,} of {step.n:,}" if step.n else "–"


def _grid(picture: JobPicture) -> str:
    if picture.n < 2:
        return ""
    words = ", ".join(f"{v:,} {palette.LOOKS[k].word}" for k, v in picture.counts.items() if v)
    per = picture.grid.per_cell
    each = f'<div style="{_QUIET}">each cell is {per:,} items</div>' if per > 1 else ""
    return (
        f'<div style="margin:4px 0">{_image(png.grid(picture.grid), f"items: {words}")}</div>{each}'
    )


def _image(body: bytes, words: str) -> str:
    data = base64.b64encode(body).decode()
    return (
        f'<img src="data:image/png;base64,{data}" alt="{quoted(words)}" '
        'style="max-width:100%;background:transparent;margin:0">'
    )


def _running(picture: JobPicture) -> str:
    if picture.finished or not picture.running:
        return ""
    rows = []
    for item in picture.running:
        share = "" if item.fraction is None else f"{100 * item.fraction:.0f} %"
        rows.append([f"{item.item:,}", item.call, span(item.for_s), share, item.says, item.worker])
    return _rows(("running", "called with", "for", "", "", "worker"), rows)


def _failures(picture: JobPicture) -> str:
    if not picture.failures:
        return ""
    rows = []
    for failure in picture.failures:
        more = f" and {failure.times - 1:,} more" if failure.times > 1 else ""
        rows.append([f"{failure.item:,}{more}", failure.call, failure.error])
    left = picture.failures_left
    more = f'<div style="{_QUIET}">… and {left:,} failed items besides</div>' if left else ""
    traceback = ""
    if picture.traceback:
        title = f"Traceback of item {picture.failures[0].item:,}"
        traceback = _details(title, outputs.pre(picture.traceback))
    return _rows(("failed", "called with", "error"), rows, red=(2,)) + more + traceback


def _error_line(error: str) -> str:
    colour = palette.LOOKS[states.FAILURE].colour
    return f'<div style="color:{colour};white-space:pre-wrap">{quoted(error)}</div>'


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


def _table(picture: JobPicture) -> str:
    if not picture.rows or not any(picture.counts[state] for state in _ORDER):
        return ""
    used = [k for k, _ in enumerate(picture.columns) if any(row.cells[k] for row in picture.rows)]
    head = ("item", *(picture.columns[k] for k in used))
    rows = [[str(row.item), *(row.cells[k] for k in used)] for row in picture.rows]
    red = [k for k, word in enumerate(head) if word == "error"]
    left = picture.n - len(rows)
    more = f'<div style="{_QUIET}">… {left:,} more: job.to_frame()</div>' if left else ""
    title = "Items" if not left else f"First {len(rows)} items"
    return _details(title, _rows(head, rows, red) + more)


def _timeline(picture: JobPicture) -> str:
    found = picture.timeline
    if not found.lanes:
        return ""
    lines = "".join(
        f'<tr><td style="{_CELL}">{quoted(lane.worker)}</td>'
        f'<td style="{_CELL};text-align:right;{_NUMBERS}">{lane.items:,}</td>'
        f'<td style="{_CELL}">{_image(png.lane(lane.busy), _busy(lane.busy))}</td></tr>'
        for lane in found.lanes
    )
    head = "".join(
        f'<th style="{_CELL};font-weight:bold">{word}</th>'
        for word in ("worker", "items", f"busy, over {span(found.span_s)}")
    )
    left = found.workers - len(found.lanes)
    more = f'<div style="{_QUIET}">… and {left:,} more workers</div>' if left else ""
    title = f"Timeline of {found.workers:,} worker{'s' if found.workers > 1 else ''}"
    return _details(title, f'<table style="{_TABLE}"><tr>{head}</tr>{lines}</table>{more}')


def _busy(shares: Sequence[float]) -> str:
    return f"busy {100 * sum(shares) / len(shares):.0f} % of the time"


# -- pieces ----------------------------------------------------------------------------------------

_TABLE = "border-collapse:collapse;border:0;margin:4px 0;font-size:12px"


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]], red: Sequence[int] = ()) -> str:
    """Give a table; texts are escaped here. Columns in ``red`` are errors', numbers stand right."""
    styles = [
        _CELL + (_RED if k in red else _RIGHT if _numeric(row[k] for row in rows) else "")
        for k in range(len(head))
    ]
    titles = "".join(
        f'<th style="{style.replace(_RED, "")};font-weight:bold">{quoted(word)}</th>'
        for word, style in zip(head, styles, strict=True)
    )
    lines = "".join(
        "<tr>"
        + "".join(
            f'<td style="{style}">{quoted(cell)}</td>'
            for cell, style in zip(row, styles, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div style="overflow-x:auto"><table style="{_TABLE}"><tr>{titles}</tr>'
        f"{lines}</table></div>"
    )


_RED = f";color:{palette.LOOKS[states.FAILURE].colour};white-space:pre-wrap"
_RIGHT = f";text-align:right;{_NUMBERS}"
_NUMBER = re.compile(r"[-+]?(\d[\d,]*\.?\d*|\.\d+)(e[-+]?\d+)?|nan|inf|-inf|")


def _numeric(cells: Iterable[str]) -> bool:
    return all(_NUMBER.fullmatch(cell) for cell in cells)


def _details(title: str, body: str, *, opened: bool = False) -> str:
    state = " open" if opened else ""
    return f'<details{state}><summary style="{_SUMMARY}">{title}</summary>{body}</details>'
