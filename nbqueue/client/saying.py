"""A word to the person at the notebook or terminal, where an exception would be too much."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """Write one line to where the person looks, and leave standard output to the data."""
    sys.stderr.write(f"nbqueue: {text}\n")
