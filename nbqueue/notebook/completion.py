"""Tab on the lines of the magics: options, queues, jobs, names.

Only what this process knows is offered: completion that waits for a network is worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)

from nbqueue.client import connecting as clients
from nbqueue.client.job import Job
from nbqueue.notebook import parsing, unheard

_LINE = re.compile(r"(?:[\w.,\s]*=\s*)?(%%?)(enqueue|cancel|jobs)\b(.*)", re.DOTALL)
_FOR = re.compile(r"""--for[ =]\s*(?:"[^"]*|'[^']*|[^\s"']*)\Z""")
_SPLIT = re.compile(r"[\s,=]+")
_NAME = re.compile(r"(?:(?<![\w.])[^\W\d]\w*)?\Z")
_IDENTIFIER = "nbqueue"
_JOBS = frozenset({"--after"})
_NAMES = frozenset({"--in", "--out"})
_QUEUES = frozenset({"-q", "--queue"})
_FREE = frozenset({"--retries", "--timeout", "--priority", "--name"})
_OF_CELLS = frozenset({"--for", "--out"})


@dataclass(frozen=True)
class Known:
    """What can be offered."""

    names: tuple[str, ...] = ()
    """Variables of the notebook."""
    jobs: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()


@dataclass(frozen=True)
class Offer:
    """What may stand where a line ends."""

    fragment: str
    """What is typed of it already."""
    texts: tuple[str, ...]


def offer(line: str, known: Known) -> Offer | None:
    """Give what may stand where a line ends; ``None`` leaves it to Python's own completion."""
    found = _LINE.match(line)
    if found is None or not found[3][:1].isspace():
        return None
    percent, magic, rest = found.groups()
    *before, word = _SPLIT.split(rest)
    if magic == "cancel":
        texts: Iterable[str] | None = ("--terminate",) if word.startswith("-") else known.jobs
    elif magic == "jobs":
        texts = ("-n",) if word.startswith("-") else known.jobs
    elif _FOR.search(line):
        texts = None
    else:
        texts = _enqueue(before, word, known, is_cell=percent == "%%")
    if texts is None:
        # Python: an attribute is for those who know it, a name is not (a magic's line is no
        # Python to them).
        word = _NAME.search(line).group()  # type: ignore[union-attr]  # matches always
        texts = known.names if word else ()
    return Offer(word, tuple(sorted({text for text in texts if text.startswith(word)})))


def _enqueue(before: list[str], word: str, known: Known, *, is_cell: bool) -> Iterable[str] | None:
    if word.startswith("-"):
        hidden = frozenset() if is_cell else _OF_CELLS
        return [option for option in parsing.OPTIONS if option not in hidden]
    last = next((w for w in reversed(before) if w.startswith("-")), "")
    first = bool(before) and before[-1] == last  # the option's first value
    if last in _QUEUES and first:
        return known.queues
    # Of a cell these take any number of values; of an expression one, and then comes the rest.
    if last in _NAMES and (first or is_cell):
        return known.names
    if last in _JOBS and (first or is_cell):
        return known.jobs
    if last in _FREE and first:
        return ()
    return () if is_cell else None


def _matcher(shell: Any) -> Any:
    @context_matcher(priority=100, identifier=_IDENTIFIER)  # type: ignore[untyped-decorator]  # IPython
    def complete(context: CompletionContext) -> SimpleMatcherResult:
        line = context.text_until_cursor
        found = offer(line, _known(shell.user_ns)) or Offer("", ())
        return {
            "completions": [SimpleCompletion(text, type="magic") for text in found.texts],
            "matched_fragment": found.fragment,
            "suppress": bool(found.texts),  # Jedi takes the line for Python
        }

    return complete


def _known(names: Mapping[str, Any]) -> Known:
    jobs = {value.name for value in list(names.values()) if isinstance(value, Job)}
    client = clients._default
    if client is not None:
        jobs.update(live.name for live in list(client.lives.values()))
    return Known(
        names=tuple(name for name in names if not name.startswith("_")),
        jobs=tuple(jobs),
        queues=tuple(unheard.heard),
    )


def install(shell: Any) -> None:
    """Have an IPython's completer ask here; any number of times."""
    remove(shell)
    shell.Completer.custom_matchers.append(_matcher(shell))


def remove(shell: Any) -> None:
    """Have it ask no more."""
    matchers = shell.Completer.custom_matchers
    matchers[:] = [m for m in matchers if getattr(m, "matcher_identifier", "") != _IDENTIFIER]
