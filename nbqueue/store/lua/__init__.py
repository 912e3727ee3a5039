"""Lua scripts by name. Redis runs each wholly or not at all: all that must not happen in part."""

from __future__ import annotations

from importlib.resources import files


def source(*names: str) -> str:
    """Give the text of a script, which may begin with what it shares with others."""
    return "\n".join(files(__package__).joinpath(f"{name}.lua").read_text() for name in names)
