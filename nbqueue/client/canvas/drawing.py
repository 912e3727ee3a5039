"""Draws graphs of steps: layers from the top, each node near what leads to it.

Sugiyama's method in its simplest form: a node's layer is the longest way to it, and layers are
ordered by the mean place of what leads to their nodes. Colours are the page's own
(``currentColor``), so a drawing is as readable in the dark; where an SVG stands alone, it asks the
browser.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

_CHAR = 7.3
"""Width of a character of the font below, in pixels; monospaced fonts differ by a few per cent."""
_HEIGHT, _GAP_X, _GAP_Y, _PAD = 28, 24, 36, 12
_LANE = 10
"""Width of what an edge gets in a layer that it passes."""
_MOST_CHARS = 44

_STYLE = (
    ".nbq-graph{color:inherit;font:12px ui-monospace,Menlo,Consolas,monospace}"
    ".nbq-graph rect{fill:currentColor;fill-opacity:.06;stroke:currentColor;stroke-opacity:.55}"
    ".nbq-graph .rescue rect{stroke:#c9473f;stroke-dasharray:4 3;stroke-opacity:1}"
    ".nbq-graph text{fill:currentColor}.nbq-graph .number{fill-opacity:.55}"
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
    widths = [(len(text) + len(str(i)) + 1) * _CHAR + 2 * _PAD for i, text in enumerate(texts, 1)]
    layers, ways = _layers(len(nodes), edges)
    widths += [_LANE] * (sum(map(len, layers)) - len(nodes))
    places = _places(layers, widths)
    right = max(x + widths[i] / 2 for i, (x, _) in enumerate(places)) + _PAD
    bottom = max(y for _, y in places) + _HEIGHT + _PAD
    lines = [
        _path(edge.kind, [places[i] for i in way]) for edge, way in zip(edges, ways, strict=True)
    ]
    boxes = [_box(i, nodes[i], texts[i], widths[i], places[i]) for i in range(len(nodes))]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="nbq-graph" role="img" '
        f'aria-label="{html.escape(_spoken(nodes))}" width="{right:.0f}" height="{bottom:.0f}" '
        f'viewBox="0 0 {right:.0f} {bottom:.0f}"><style>{_STYLE}{_ALONE}</style>'
        f'<defs><marker id="nbq-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>'
        f"{''.join(lines)}{''.join(boxes)}</svg>"
    )


def _layers(n: int, edges: Sequence[Edge]) -> tuple[list[list[int]], list[list[int]]]:
    """Divide nodes into layers, ordered so that few edges cross; and say each edge's way.

    An edge that passes layers gets a place in each of them (numbers from ``n``), so that it passes
    between the boxes and not behind them.
    """
    depth = [0] * n
    for edge in sorted(edges, key=lambda edge: edge.target):  # what leads to a node comes before it
        depth[edge.target] = max(depth[edge.target], depth[edge.source] + 1)
    layers: list[list[int]] = [[] for _ in range(max(depth, default=-1) + 1)]
    for i in range(n):
        layers[depth[i]].append(i)
    ways = []
    number = n
    for edge in edges:
        way = [edge.source]
        for layer in layers[depth[edge.source] + 1 : depth[edge.target]]:
            layer.append(number)
            way.append(number)
            number += 1
        ways.append([*way, edge.target])
    _order(layers, ways)
    return layers, ways


def _order(layers: Sequence[list[int]], ways: Iterable[Sequence[int]]) -> None:
    """Sort each layer by the mean place of what leads to its nodes."""
    before: dict[int, list[int]] = {}
    for way in ways:
        for source, target in pairwise(way):
            before.setdefault(target, []).append(source)
    at: dict[int, float] = {}

    def mean(i: int) -> float:
        known = [at[b] for b in before.get(i, ())]
        return sum(known) / len(known) if known else 0.5

    for layer in layers:
        layer.sort(key=lambda i: (mean(i), i))
        at.update({i: (k + 0.5) / len(layer) for k, i in enumerate(layer)})


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


def _path(kind: str, places: Sequence[tuple[float, float]]) -> str:
    """Give a line from below the first place, past those between, to the top of the last."""
    x, y = places[0]
    y += _HEIGHT
    line = f"M{x:.1f} {y:.1f}"
    for x1, y1 in places[1:]:
        line += f"C{x:.1f} {y + _GAP_Y / 2:.1f} {x1:.1f} {y1 - _GAP_Y / 2:.1f} {x1:.1f} {y1:.1f}"
        x, y = x1, y1 + _HEIGHT
        if (x1, y1) != places[-1]:
            line += f"L{x:.1f} {y:.1f}"
    return f'<path class="{kind}" marker-end="url(#nbq-tip)" d="{line}"/>'


def _box(i: int, node: Node, text: str, width: float, place: tuple[float, float]) -> str:
    x, y = place
    kind = ' class="rescue"' if node.rescue else ""
    return (
        f"<g{kind}><title>{html.escape(node.label)}</title>"
        f'<rect x="{x - width / 2:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_HEIGHT}" rx="5"/>'
        f'<text x="{x:.1f}" y="{y + _HEIGHT / 2 + 4:.1f}" text-anchor="middle">'
        f'<tspan class="number">{i + 1}</tspan> {html.escape(text)}</text></g>'
    )


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARS else f"{text[: _MOST_CHARS - 1]}…"


def _spoken(nodes: Sequence[Node]) -> str:
    shown = ", then ".join(node.label for node in nodes[:8])
    return f"workflow: {shown}{', …' if len(nodes) > 8 else ''}"
