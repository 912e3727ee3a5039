"""How states look: a colour and a shape each, readable on white and on black.

Colour alone would not do for a tenth of the people who look: each state has a mark of its own, in
texts as a character, in the grid's PNG as a shape.
"""

from __future__ import annotations

from dataclasses import dataclass

from nbqueue.core import states


@dataclass(frozen=True)
class Look:
    """One state's look."""

    word: str
    mark: str
    colour: str
    """``#rrggbb``: mid-tones, because the notebook's background is not known here."""


LOOKS = {
    states.PENDING: Look("waiting", "□", "#8a8f98"),
    states.STARTED: Look("running", "▶", "#3b82d6"),
    states.RETRY: Look("to be retried", "↻", "#c98a1b"),
    states.SUCCESS: Look("succeeded", "✓", "#2f9e62"),
    states.FAILURE: Look("failed", "✗", "#d64545"),
    states.REVOKED: Look("cancelled", "–", "#9a6fb8"),
}

FEW_FAILED = "#b8a13c"
SOME_FAILED = "#e0844a"
"""Cells of several items: between success and failure, by how many have failed."""
