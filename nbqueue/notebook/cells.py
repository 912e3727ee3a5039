"""From a cell's text and the notebook's names to a job.

    text ──analysis──► names ──gather──► `Cell` ──► store ──► job

What happens to the notebook (binding, displaying, waiting) is `magics`'. Everything that can be
wrong is found before anything is sent.
"""

from __future__ import annotations

import ast
import builtins
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from nbqueue.client import caching, dispatch
from nbqueue.client.client import Client
from nbqueue.client.dispatch import Submission
from nbqueue.client.job import Job
from nbqueue.client.options import TaskOptions
from nbqueue.core.errors import UsageError
from nbqueue.notebook.analysis import Analysis
from nbqueue.notebook.parsing import Enqueue, Sweep
from nbqueue.store.code.cell import VALUE, Cell
from nbqueue.store.values import bounds

_EVERYWHERE = frozenset(
    {*dir(builtins), "get_ipython", "display", "exit", "quit", "In", "Out", "__file__"}
)
"""Names that a worker's cells have, too."""

_GRACE_S = 5.0
"""Between the interruption of an item and the end of its process: time to clean up in."""


def title(request: Enqueue) -> str:
    """Name a cell for tracebacks and errors."""
    if request.expression is not None:
        return "<expression>"
    name = request.job_name or request.name
    return f"<cell {name}>" if name else "<cell>"


def build(
    source: str, found: Analysis, request: Enqueue, names: Mapping[str, Any], own: Mapping[str, Any]
) -> Cell:
    """Make what is sent: the cell, and what it needs of the notebook's names.

    Args:
        source: The cell's text.
        found: What is known of it.
        request: The magic's line.
        names: The notebook's names.
        own: Names that IPython itself has put there; they are no more than built-ins.

    Raises:
        UsageError: ``--in`` or ``--out`` names what is not there.
    """
    if lacking := [name for name in request.names_in if name not in names]:
        raise UsageError(f"--in: there is no {_listed(lacking)} in this notebook")
    namespace: dict[str, Any] = {name: names[name] for name in request.names_in}
    missing = []
    for name in found.reads:
        if name in request.params:
            continue
        if name in names and not (name in own and names[name] is own[name]):
            namespace[name] = names[name]
        elif name not in _EVERYWHERE:
            missing.append(name)
    is_cell = request.expression is None
    out = _out(found, request, namespace) if is_cell else ()
    value = is_cell and _brings_value(found, request, out)
    return Cell(
        source=source,
        title=title(request),
        namespace=namespace,
        out=tuple(name for name in out if not (value and name == VALUE)),
        params=request.params,
        expression=not is_cell,
        missing=tuple(missing),
        imports=found.imports,
        value=value,
        pictures=request.names_out is not None or not request.sweeps,
        after=request.after,
    )


def _brings_value(found: Analysis, request: Enqueue, out: Sequence[str]) -> bool:
    """Say whether the value of the last expression is to come back, which has no name."""
    if found.last is None or VALUE in {*found.assigns, *request.params}:
        return False
    return found.last not in out if request.names_out is None else VALUE in request.names_out


def _out(found: Analysis, request: Enqueue, namespace: Mapping[str, Any]) -> tuple[str, ...]:
    if request.names_out is None:
        return tuple(name for name in found.assigns if not name.startswith("_"))
    known = {*found.assigns, *found.borrows, *namespace, *request.params}
    if found.last is not None:
        known.add(VALUE)
    strange = [name for name in request.names_out if name not in known]
    if strange and not found.unknown:
        raise UsageError(
            f"--out: the cell neither assigns nor reads {_listed(strange)} (NAME, the variable for "
            "the job, comes before all options)"
        )
    return request.names_out


def unknowns(found: Analysis, request: Enqueue) -> str | None:
    """Give a line on what could not be looked into; ``None`` when there is nothing to say."""
    if not found.unknown or request.names_in:
        return None
    return (
        f"what {_and(found.unknown)} may need of this notebook cannot be known from the cell: name "
        "it with --in NAMES (and with --out NAMES what is to come back)"
    )


def rows(sweeps: Sequence[Sweep], names: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Give the arguments of each item: all combinations of the sweeps, the last one quickest.

    Raises:
        UsageError: an expression fails or cannot be gone through.
        JobTooLarge: it is known that they are more than a job may have.
    """
    values = [_value(sweep, names) for sweep in sweeps]
    bounds.Bounds().check_product(*values)
    found = [_gone_through(value, sweep) for value, sweep in zip(values, sweeps, strict=True)]
    if len(found) == 1:
        return found[0]  # as it comes: it may be millions
    each = map(bounds.within, found)  # `product` reads all of each before it gives anything
    return (tuple(itertools.chain(*parts)) for parts in itertools.product(*each))


def _what(sweep: Sweep) -> str:
    return f"--for {','.join(sweep.names)}={sweep.expression}"


def _value(sweep: Sweep, names: dict[str, Any]) -> Any:
    try:
        return eval(sweep.expression, names)  # noqa: S307 - as the notebook's own cells are run
    except Exception as exc:
        raise UsageError(f"{_what(sweep)}: {type(exc).__name__}: {exc}") from exc


def _gone_through(value: Any, sweep: Sweep) -> Iterator[tuple[Any, ...]]:
    what = _what(sweep)
    try:
        return _tuples(iter(value), sweep, what)
    except TypeError:
        raise UsageError(
            f"{what}: {_brief(value)} (of type {type(value).__name__}) cannot be gone through; "
            "--for needs a list, a range, a generator ..."
        ) from None


def _tuples(values: Iterable[Any], sweep: Sweep, what: str) -> Iterator[tuple[Any, ...]]:
    if len(sweep.names) == 1:
        return ((value,) for value in values)
    return _unpacked(values, len(sweep.names), what)


def _unpacked(values: Iterable[Any], n: int, what: str) -> Iterator[tuple[Any, ...]]:
    for value in values:
        try:
            row = tuple(value)
        except TypeError:
            row = ()
        if len(row) != n:
            raise UsageError(f"{what}: {_brief(value)} is not {n} values; nothing was sent")
        yield row


def send(client: Client, cell: Cell, request: Enqueue, names: dict[str, Any]) -> Job:
    """Send a cell: one item, or one for each combination of its sweeps.

    Raises:
        NotPicklable: a value that it needs cannot travel; the message names it.
        UsageError: an option cannot be met.
    """
    arguments = rows(request.sweeps, names) if request.sweeps else None
    sub = Submission(
        task=_task(request),
        function=client.code.address(cell),
        params=cell.params,
        options=TaskOptions().updated(
            {
                "queue": request.queue,
                "priority": request.priority,
                "soft_time_limit": request.timeout_s,
                "time_limit": None if request.timeout_s is None else request.timeout_s + _GRACE_S,
            }
        ),
        name=request.job_name or request.name,
        max_retries=request.retries or 0,
        cache=caching.key(cell, request.name or _task(request), request.cache),
        after=tuple(_job_id(client, name, names) for name in request.after),
    )
    if arguments is None:
        return dispatch.submit_call(client, sub, (), {})
    return dispatch.submit_rows(client, sub, arguments)


def _task(request: Enqueue) -> str:
    if request.expression is None:
        return "cell"
    return _called(request.expression) or "expression"


def _called(expression: str) -> str | None:
    """Name the function that an expression calls; ``None`` when it is no plain call."""
    node = ast.parse(expression.strip(), mode="eval").body
    if isinstance(node, ast.Await):
        node = node.value
    if not isinstance(node, ast.Call) or not isinstance(node.func, (ast.Name, ast.Attribute)):
        return None
    name = ast.unparse(node.func)
    return name if len(name) <= 60 and name.isprintable() else None


def _job_id(client: Client, name: str, names: Mapping[str, Any]) -> str:
    """Give the id of a job: a variable of the notebook's, or a name or id in the store."""
    value = names.get(name)
    return value.id if isinstance(value, Job) else client.job(name).id


def _brief(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # it is somebody's code: anything may come out
        text = object.__repr__(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def _and(parts: Iterable[str]) -> str:
    return " and ".join(parts)
