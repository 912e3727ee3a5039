"""Why an item, a job or a whole cluster is as it is, as HTML: a sentence, and tables below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbqueue.client.why import printed
from nbqueue.core import states
from nbqueue.notebook.brief import cut
from nbqueue.notebook.views import outputs, palette, sheet
from nbqueue.notebook.views.outputs import quoted

if TYPE_CHECKING:
    from nbqueue.client.why.why import JobWhy, Why

_BOX = (
    "font-size:13px;line-height:1.5;color:inherit;background:transparent;max-width:100%;"
    "overflow-wrap:anywhere"
)
_QUIET = "opacity:.7"
_SENTENCE = 2_000
_TEXT = 500
"""An error may be a page; the whole of it is in ``job.exceptions()``."""


def item(why: Why) -> str:
    """Give an item's life."""
    parts = [_head(f"{why.job} {why.item}", why.state, why.text), _advice(why.advice)]
    if why.progress:
        parts.append(f'<div style="{_QUIET}">progress: {quoted(why.progress)}</div>')
    shown, left = printed.cut(why.events)
    rows = [
        (printed.moment(event.at), event.kind, cut(event.text, _TEXT), event.worker)
        for event in shown
    ]
    if left:
        rows.insert(printed.EVENTS // 2, ("", "…", f"{left:,} more: .to_frame()", ""))
    if rows:
        parts.append(sheet.table(("when", "what", "", "where"), rows))
    if why.output:
        parts.append(f'<div style="{_QUIET}">the end of its output</div>')
        parts.append(outputs.pre(why.output))
    return _box(parts)


def job(why: JobWhy) -> str:
    """Give why a job is as it is."""
    parts = [_head(why.job, why.state, why.text), _advice(why.advice)]
    for title, found in (("running", why.running), ("errors", why.errors)):
        if found:
            lines = "".join(f"<div>{quoted(cut(line, _TEXT))}</div>" for line in found)
            parts.append(f'<div style="{_QUIET}">{title}</div>{lines}')
    return _box(parts)


def _head(name: str, state: str, text: str) -> str:
    look = palette.LOOKS.get(state, palette.LOOKS[states.PENDING])
    return (
        f'<div><b>{quoted(name)}</b> <span style="color:{look.colour}">{look.mark} '
        f"{quoted(state)}</span> {quoted(cut(text, _SENTENCE))}</div>"
    )


def _advice(text: str) -> str:
    return f'<div style="{_QUIET}">→ {quoted(text)}</div>' if text else ""


def _box(parts: list[str]) -> str:
    return f'<div style="{_BOX}">{"".join(parts)}</div>'
