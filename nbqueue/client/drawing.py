"""Draws graphs of steps: layers from the top, each node as near to what it comes from as it may be.

Sugiyama's method in its simplest form: a node's layer is the longest way to it, and layers are
ordered by the mean place of what leads to their nodes. Colours are the page's own
(``currentColor``), so a drawing is as readable in the dark; where an SVG stands alone, it asks the
browser.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

_CHAR = 7.3
"""Width of a character of the font below, in pixels; monospaced fonts differ by a few per cent."""
_HEIGHT, _GAP_X, _GAP_Y, _PAD = 28, 24, 36, 12
_MOST_CHARS = 44

_STYLE = (
    ".nbq-graph{color:inherit;font:12px ui-monospace,Menlo,Consolas,monospace}"
    ".nbq-graph rect{fill:currentColor;fill-opacity:.06;stroke:currentColor;stroke-opacity:.55}"
    ".nbq-graph .rescue rect{stroke:#c9473f;stroke-dasharray:4 3;stroke-opacity:1}"
    ".nbq-graph text{fill:currentColor}"
    ".nbq-graph path{fill:none;stroke:currentColor;stroke-opacity:.6;stroke-width:1.3}"
    ".nbq-graph .after{stroke-dasharray:5 4}"
    ".nbq-graph .fails{stroke:#c9473f;stroke-dasharray:2 3;stroke-opacity:.9}"
    ".nbq-graph .tip{fill:currentColor;fill-opacity:.7;stroke:none}"
)
_ALONE = "@media(prefers-color-scheme:dark){svg.nbq-graph:root{color:#ddd}}"


@dataclass(frozen=True)
class Node:
    """A box with a text."""

    label: str
    rescue: bool = False


@dataclass(frozen=True)
class Edge:
    """An arrow: ``kind`` is ``takes``, ``after`` (waits, takes nothing) or ``fails``."""

    source: int
    target: int
    kind: str


def svg(nodes: Sequence[Node], edges: Sequence[Edge]) -> str:
    """Give a drawing; edges lead from earlier nodes to later ones."""
    texts = [_cut(node.label) for node in nodes]
    widths = [len(text) * _CHAR + 2 * _PAD for text in texts]
    places = _places(_layers(len(nodes), edges), widths)
    right = max(x + widths[i] / 2 for i, (x, _) in enumerate(places)) + _PAD
    bottom = max(y for _, y in places) + _HEIGHT + _PAD
    lines = [_path(edge, places) for edge in edges]
    boxes = [_box(nodes[i], texts[i], widths[i], places[i]) for i in range(len(nodes))]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="nbq-graph" role="img" '
        f'aria-label="{html.escape(_spoken(nodes))}" width="{right:.0f}" height="{bottom:.0f}" '
        f'viewBox="0 0 {right:.0f} {bottom:.0f}"><style>{_STYLE}{_ALONE}</style>'
        f'<defs><marker id="nbq-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>'
        f"{''.join(lines)}{''.join(boxes)}</svg>"
    )


def _layers(n: int, edges: Sequence[Edge]) -> list[list[int]]:
    """Divide nodes into layers, ordered so that few edges cross."""
    before: dict[int, list[int]] = {i: [] for i in range(n)}
    for edge in edges:
        before[edge.target].append(edge.source)
    depth = [0] * n
    for i in range(n):  # what leads to a node has a lower number
        depth[i] = max((depth[b] + 1 for b in before[i]), default=0)
    layers: list[list[int]] = [[] for _ in range(max(depth, default=-1) + 1)]
    for i in range(n):
        layers[depth[i]].append(i)
    at: dict[int, float] = {}
    for layer in layers:

        def mean(i: int) -> float:
            known = [at[b] for b in before[i] if b in at]
            return sum(known) / len(known) if known else 0.5

        layer.sort(key=lambda i: (mean(i), i))
        at.update({i: (k + 0.5) / len(layer) for k, i in enumerate(layer)})
    return layers


def _places(layers: Sequence[Sequence[int]], widths: Sequence[float]) -> list[tuple[float, float]]:
    """Give each node the middle of its upper edge; layers are centred."""
    rows = [sum(widths[i] for i in layer) + _GAP_X * (len(layer) - 1) for layer in layers]
    widest = max(rows, default=0.0)
    places = [(0.0, 0.0)] * len(widths)
    for number, layer in enumerate(layers):
        x = _PAD + (widest - rows[number]) / 2
        for i in layer:
            places[i] = (x + widths[i] / 2, _PAD + number * (_HEIGHT + _GAP_Y))
            x += widths[i] + _GAP_X
    return places


def _path(edge: Edge, places: Sequence[tuple[float, float]]) -> str:
    x0, y0 = places[edge.source]
    x1, y1 = places[edge.target]
    y0 += _HEIGHT
    bend = max((y1 - y0) / 2, 12)
    curve = f"C{x0:.1f} {y0 + bend:.1f} {x1:.1f} {y1 - bend:.1f} {x1:.1f} {y1:.1f}"
    tip = 'marker-end="url(#nbq-tip)"'
    return f'<path class="{edge.kind}" {tip} d="M{x0:.1f} {y0:.1f}{curve}"/>'


def _box(node: Node, text: str, width: float, place: tuple[float, float]) -> str:
    x, y = place
    return (
        f"<g{' class=' + chr(34) + 'rescue' + chr(34) if node.rescue else ''}>"
        f"<title>{html.escape(node.label)}</title>"
        f'<rect x="{x - width / 2:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_HEIGHT}" rx="5"/>'
        f'<text x="{x:.1f}" y="{y + _HEIGHT / 2 + 4:.1f}" text-anchor="middle">'
        f"{html.escape(text)}</text></g>"
    )


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARS else f"{text[: _MOST_CHARS - 1]}…"


def _spoken(nodes: Sequence[Node]) -> str:
    shown = ", then ".join(node.label for node in nodes[:8])
    return f"workflow: {shown}{', …' if len(nodes) > 8 else ''}"
