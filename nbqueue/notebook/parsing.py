"""The line of ``%%enqueue`` and ``%enqueue``: from text to an `Enqueue`, or one clear sentence.

Nothing is looked up and nothing evaluated here; `cells` and `magics` do that. argparse does the
parsing, with its habit of ending the process replaced by `UsageError`.
"""

from __future__ import annotations

import argparse
import keyword
import math
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from nbqueue.client.caching import Mode
from nbqueue.client.options import check_name
from nbqueue.core.errors import UsageError

HELP = """\
Send this cell to a worker, and go on at once:

    %%enqueue [NAME] [options]      the cell; NAME becomes its job
    %enqueue [options] EXPRESSION   one expression; job = %enqueue f(3) keeps the job

Names that the cell reads travel along by value; what it assigns comes back with NAME.pull().
NAME.to_frame() has a column for each, and "value" for what the cell's last expression gave.

  NAME                  variable for the job, and the job's name; comes first
  --in NAMES            send these too (what exec, eval, %run or a library looks up by itself)
  --out NAMES           bring back these, and no others; "value" is the last expression's
                        (without --out: what the cell assigns, but with --for no figures)
  --for "x=EXPR"        run the cell once for each x; repeated: for each combination;
                        "x,y=EXPR" takes pairs
  -q, --queue QUEUE     queue to send to
  --retries N           run an item that failed again, at most N times
  --timeout TIME        interrupt an item that takes longer: seconds, or 90s, 10m, 2h;
                        5 s later its process is killed
  --priority N          priority of the messages
  --after JOB ...       begin when these jobs have succeeded (what they assigned is
                        not passed on: JOB.pull() it first, or read it from where they
                        put it)
  --cache               give the earlier result if the same was run before
  --no-cache            run it in any case; what comes out is what --cache then gives
  --wait                wait for the end, then pull (■ ends the waiting, not the job)
  --name NAME           the job's name, if not NAME
  -h, --help            this text

Examples:

    %%enqueue model
    fitted = LinearRegression().fit(X, y)

    %%enqueue sweep --for "depth=range(2, 9)" --for "lr=[0.1, 0.3]" --out auc
    auc = score(make(depth, lr).fit(X, y))

    job = %enqueue --queue gpu train(config)

{name} and $name in the options are replaced by their values; --for and the expression are left
as they are."""

_OPTIONS_WITH_A_VALUE = frozenset(
    {"--in", "-q", "--queue", "--retries", "--timeout", "--priority", "--after", "--name"}
)
_FLAGS = frozenset({"--cache", "--no-cache", "--wait", "-h", "--help"})
_FOR = re.compile(r"\s*([^\W\d]\w*(?:\s*,\s*[^\W\d]\w*)*)\s*,?\s*=(?!=)\s*(.*\S)\s*\Z", re.DOTALL)
_TIME = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(s|m|h|)\Z")
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}

OPTIONS = tuple(
    sorted({*(o for o in _OPTIONS_WITH_A_VALUE | _FLAGS if o[:2] == "--"), "--for", "--out"})
)
"""What completion offers."""


@dataclass(frozen=True)
class Sweep:
    """One ``--for``: names, and the expression of what they run through."""

    names: tuple[str, ...]
    expression: str


@dataclass(frozen=True)
class Enqueue:
    """What the line of a magic asks for."""

    name: str | None = None
    """Variable for the job."""
    job_name: str | None = None
    names_in: tuple[str, ...] = ()
    names_out: tuple[str, ...] | None = None
    """``None``: what the cell assigns."""
    sweeps: tuple[Sweep, ...] = ()
    queue: str | None = None
    retries: int | None = None
    timeout_s: float | None = None
    priority: int | None = None
    after: tuple[str, ...] = ()
    cache: Mode = False
    wait: bool = False
    help: bool = False
    expression: str | None = None
    """The expression of ``%enqueue``; ``None`` for a cell."""

    @property
    def params(self) -> tuple[str, ...]:
        """Names that the sweeps give values to, in order."""
        return tuple(name for sweep in self.sweeps for name in sweep.names)


Expand = Callable[[str], str]


def parse_cell(line: str, expand: Expand = str) -> Enqueue:
    """Read the line of ``%%enqueue``; ``expand`` replaces what stands in braces.

    Raises:
        UsageError: it is not as it should be; the message says which part, and what would be.
    """
    request = _read(_expanded(words(line), expand))
    _check_once(request.params, "--for")
    return request


def parse_expression(line: str, expand: Expand = str) -> Enqueue:
    """Read the line of ``%enqueue``: options, each with one value, and then an expression.

    Raises:
        UsageError: as in `parse_cell`.
    """
    options: list[str] = []
    rest = line.strip()
    while word := _first_word(rest):
        name, _, value = word.partition("=")
        if name in _FLAGS or (name in _OPTIONS_WITH_A_VALUE and value):
            taken = 1
        elif name in _OPTIONS_WITH_A_VALUE:
            taken = 2
        elif name in ("--for", "--out"):
            raise UsageError(f"{name} belongs to a cell: write %%enqueue, with the cell below it")
        elif re.match(r"--[a-z]", word):
            _read([word])  # an option that does not exist: says so, and what is near
            raise UsageError(f"there is no option {word}; %enqueue -h lists them")
        else:
            break
        for _ in range(taken):
            word = _first_word(rest)
            options.append(word)
            rest = rest[len(word) :].lstrip()
    given = [word for option in options for word in words(option)]
    request = _read(_expanded(given, expand), expression=rest)
    if not request.help and not rest:
        raise UsageError("%enqueue needs an expression: %enqueue f(3); %enqueue -h explains")
    return request


def words(line: str) -> list[str]:
    """Split a line as a shell does.

    Raises:
        UsageError: a quotation does not end.
    """
    try:
        return shlex.split(line)
    except ValueError as exc:
        raise UsageError(f"{line.strip()!r} cannot be read: {str(exc).lower()}") from None


def _first_word(text: str) -> str:
    """Give the first word as it was typed, quotes included; ``""`` when there is none."""
    found = re.match(r"""(?:[^\s'"]|'[^']*'|"[^"]*")+""", text)
    return found.group() if found else ""


def _expanded(words: list[str], expand: Expand) -> list[str]:
    """Expand all words but the expressions of ``--for``, whose braces are Python's."""
    before = ["", *words]
    return [
        word if previous == "--for" or word.startswith("--for=") else expand(word)
        for previous, word in zip(before, words, strict=False)
    ]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        hint = "%enqueue -h explains"
        if message.startswith("unrecognized arguments: #"):
            hint = f"comments go below the first line; {hint}"
        elif message.startswith("unrecognized arguments"):
            hint = f'put quotes around what has spaces, as in --for "x=[1, 2]"; {hint}'
        raise UsageError(f"{message[:1].lower()}{message[1:]}; {hint}")


def _parser() -> _Parser:
    parser = _Parser(prog="%%enqueue", add_help=False, allow_abbrev=False)
    add = parser.add_argument
    add("name", nargs="?", metavar="NAME")
    add("--in", dest="names_in", nargs="+", action="extend", default=[], metavar="NAMES")
    add("--out", dest="names_out", nargs="+", action="extend", metavar="NAMES")
    add("--for", dest="sweeps", action="append", default=[], metavar='"x=EXPR"')
    add("-q", "--queue")
    add("--retries")
    add("--timeout")
    add("--priority")
    add("--after", nargs="+", action="extend", default=[], metavar="JOB")
    add("--cache", action="store_true")
    add("--no-cache", dest="cache", action="store_const", const="refresh")
    add("--wait", action="store_true")
    add("--name", dest="job_name", metavar="NAME")
    add("-h", "--help", action="store_true", dest="help")
    return parser


def _read(words: list[str], *, expression: str | None = None) -> Enqueue:
    options = vars(_parser().parse_args(words))
    # First: what lacks its quotes leaves words behind that look like other mistakes.
    sweeps = tuple(_sweep(text) for text in options["sweeps"])
    return Enqueue(
        name=_identifier(options["name"], "NAME") if options["name"] is not None else None,
        job_name=check_name(options["job_name"]),
        names_in=_names(options["names_in"], "--in"),
        names_out=None if options["names_out"] is None else _names(options["names_out"], "--out"),
        sweeps=sweeps,
        queue=_queue(options["queue"]),
        retries=_whole(options["retries"], "--retries", least=0),
        timeout_s=_seconds(options["timeout"]),
        priority=_whole(options["priority"], "--priority", least=0),
        after=_listed(options["after"]),
        cache=options["cache"],
        wait=options["wait"],
        help=options["help"],
        expression=expression,
    )


def _listed(values: list[str]) -> tuple[str, ...]:
    """Give names that were separated by spaces, commas or both, each once."""
    return tuple(
        dict.fromkeys(word for value in values for word in re.split(r"[,\s]+", value) if word)
    )


def _names(values: list[str], option: str) -> tuple[str, ...]:
    return tuple(_identifier(name, option) for name in _listed(values))


def _identifier(text: str, where: str) -> str:
    if not text.isidentifier() or keyword.iskeyword(text):
        raise UsageError(
            f"{where} takes names of variables, not {text!r}"
            + (" (options are written --option, see %enqueue -h)" if where == "NAME" else "")
        )
    return text


def _sweep(text: str) -> Sweep:
    found = _FOR.match(text)
    if found is None:
        raise UsageError(f'--for takes "name=expression", like --for "x=range(3)", not {text!r}')
    names = tuple(_identifier(name.strip(), "--for") for name in found[1].split(","))
    expression = found[2]
    try:
        compile(expression, "--for", "eval")
    except (SyntaxError, ValueError) as exc:
        reason = exc.msg if isinstance(exc, SyntaxError) else str(exc)
        raise UsageError(
            f"--for {text!r}: {expression!r} is not an expression ({reason}); put quotes around "
            "all of it where it has spaces"
        ) from None
    return Sweep(names, expression)


def _check_once(names: tuple[str, ...], option: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"{option} names {', '.join(map(repr, twice))} more than once")


def _queue(text: str | None) -> str | None:
    if text is not None and (not text or not text.isprintable() or text != text.strip()):
        raise UsageError(f"--queue takes the name of a queue, not {text!r}")
    return text


def _whole(text: str | None, option: str, *, least: int) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"\d{1,9}", text) or int(text) < least:
        raise UsageError(f"{option} takes a whole number from {least} on, not {text!r}")
    return int(text)


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    found = _TIME.match(text)
    seconds = float(found[1]) * _SECONDS[found[2]] if found else math.nan
    if not 0 < seconds < math.inf:
        raise UsageError(
            f"--timeout takes seconds above 0, or a time like 90s, 10m or 2h, not {text!r}"
        )
    return seconds
