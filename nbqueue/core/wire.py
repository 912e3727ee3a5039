"""Records to bytes and back (the format is described in `core.records`).

Decoding never unpickles: results and exceptions stay bytes here. Whoever calls `decode` has
verified the signature, or treats what comes out as the hint of a stranger.
"""

from __future__ import annotations

import json
import struct
import sys
from array import array
from base64 import b64decode, b64encode
from dataclasses import asdict, fields
from typing import Any, cast

from nbqueue.core import plan, states
from nbqueue.core.errors import NbqueueError
from nbqueue.core.records import (
    FORMAT,
    MOST_ROUNDS,
    NO_LIMITS,
    Cancelled,
    Error,
    Expanded,
    Finished,
    JobSpec,
    Limits,
    Outcomes,
    Output,
    Planned,
    Progressed,
    Record,
    Rejected,
    Retried,
    Retrying,
    Route,
    Stage,
    Started,
)
from nbqueue.core.splitting import Range

_LENGTH = struct.Struct("<I")
_FINAL = bytes(range(states.FIRST_DONE_CODE, len(states.NAMES)))
_BIG_ENDIAN = sys.byteorder == "big"
_ADDED: dict[str, Any] = {"reason": ""}
"""Fields that records had not from the beginning, and what those mean that lack them."""

_RARE = (
    "limits",
    "after",
    "cache",
    "ignore_result",
    "track_started",
    "stages",
    "result_expires",
    "headers",
)
_RARE_WORDS = _RARE[2:]
_SPEC_FIELDS = tuple(f.name for f in fields(JobSpec) if f.name not in _RARE)


class Malformed(NbqueueError):
    """Bytes that are not a record of this format (damaged, or of a newer nbqueue)."""


def encode(record: Record) -> bytes:
    """Give a record's bytes, without its kind."""
    if isinstance(record, Outcomes):
        return _encode_outcomes(record)
    return _json({"v": FORMAT, **_to_plain(record)})


def decode(kind: str, body: bytes) -> Record:
    """Read a record of the given kind.

    Raises:
        Malformed: the bytes are damaged, or were written by a newer nbqueue.
    """
    try:
        if kind == Outcomes.kind:
            return _decode_outcomes(body)
        plain = json.loads(body.decode())
        _check_version(plain)
        return cast(Record, _READERS[kind](plain))
    except (
        LookupError,
        TypeError,
        ValueError,
        ArithmeticError,
        AttributeError,
        RecursionError,
        struct.error,
    ) as exc:
        raise Malformed(f"cannot read a {kind!r} record of {len(body)} bytes: {exc!r}") from exc


def _read_spec(plain: dict[str, Any]) -> JobSpec:
    values = {name: plain[name] for name in _SPEC_FIELDS}
    values["params"] = tuple(values["params"])
    values["route"] = Route(**values["route"])
    if "limits" in plain:
        values["limits"] = Limits(**plain["limits"])
    if "after" in plain:
        values["after"] = tuple(plain["after"])
    for name in _RARE_WORDS:
        if name in plain:
            values[name] = plain[name]
    return JobSpec(**values)


def stage_to_plain(stage: Stage) -> dict[str, Any]:
    """Give a stage as JSON has it."""
    spec = {"v": FORMAT, **_to_plain(stage.spec)}
    return {**vars(stage), "spec": spec, "takes": plan.to_plain(stage.takes)}


def stage_from_plain(plain: dict[str, Any]) -> Stage:
    """Read a stage; raises LookupError, TypeError or ValueError when it is none."""
    return Stage(
        **{
            **plain,
            "spec": _read_spec(plain["spec"]),
            "takes": plan.from_plain(plain["takes"]),
            "after": tuple(plain["after"]),
        }
    )


def _read_plan(plain: dict[str, Any]) -> Planned:
    result = plan.from_plain(plain["result"])
    if result is None:
        raise ValueError("a plan without a result")
    return Planned(tuple(map(stage_from_plain, plain["stages"])), result)


compact = json.JSONEncoder(separators=(",", ":")).encode
"""`json.dumps` would make an encoder for each record."""


def _json(plain: dict[str, Any]) -> bytes:
    return compact(plain).encode()


def _to_plain(record: Record) -> dict[str, Any]:
    plain = dict(vars(record))
    if isinstance(record, JobSpec):
        plain["route"] = _route_to_plain(record.route)
        # Most jobs have none of these, and every message carries its job's spec.
        for name in _RARE:
            del plain[name]
        if record.limits != NO_LIMITS:
            plain["limits"] = asdict(record.limits)
        if record.after:
            plain["after"] = record.after
        for name in _RARE_WORDS:
            if value := getattr(record, name):
                plain[name] = value
    elif isinstance(record, Retrying):
        plain["errors"] = [(e.type, e.message, e.traceback) for e in record.errors]
    elif isinstance(record, Planned):
        plain["stages"] = list(map(stage_to_plain, record.stages))
        plain["result"] = plan.to_plain(record.result)
    return plain


def _route_to_plain(route: Route) -> dict[str, Any]:
    plain: dict[str, Any] = {"queue": route.queue, "priority": route.priority}
    if route.eta is not None:
        plain["eta"] = route.eta
    if route.exchange is not None:
        plain.update(exchange=route.exchange, routing_key=route.routing_key)
    return plain


def _check_version(plain: dict[str, Any]) -> None:
    if plain["v"] > FORMAT:
        raise ValueError(f"format {plain['v']}, this nbqueue reads up to {FORMAT}: upgrade it")


def _runs(plain: Any) -> tuple[Range, ...]:
    return tuple((int(a), int(b)) for a, b in plain)


def _round(value: Any) -> int:
    if not isinstance(value, int) or not 0 < value <= MOST_ROUNDS:
        raise ValueError(f"round {value!r}")
    return value


def _simple(cls: type[Any], *, runs: bool = False) -> Any:
    names = [f.name for f in fields(cls) if f.name not in _ADDED]
    added = [f.name for f in fields(cls) if f.name in _ADDED]
    texts = [f.name for f in fields(cls) if f.type == "str"]

    def read(plain: dict[str, Any]) -> Record:
        values = {name: plain[name] for name in names}
        values.update({name: plain.get(name, _ADDED[name]) for name in added})
        if "round" in values:
            values["round"] = _round(values["round"])
        if not all(isinstance(values[name], str) for name in texts):
            raise TypeError(f"{' and '.join(texts)} must be text")
        if runs and values["runs"] is not None:
            values["runs"] = _runs(values["runs"])
        return cast(Record, cls(**values))

    return read


def _read_retrying(plain: dict[str, Any]) -> Retrying:
    errors = tuple(Error(str(t), str(m), str(tb)) for t, m, tb in plain["errors"])
    items = tuple((int(i), int(r), float(eta), int(k)) for i, r, eta, k in plain["items"])
    if not all(0 <= k < len(errors) for _, _, _, k in items):
        raise ValueError("an error that is not there")
    return Retrying(_round(plain["round"]), str(plain["worker"]), items, errors)


_READERS = {
    JobSpec.kind: _read_spec,
    Started.kind: _simple(Started),
    Progressed.kind: _simple(Progressed),
    Output.kind: _simple(Output),
    Cancelled.kind: _simple(Cancelled, runs=True),
    Retried.kind: _simple(Retried, runs=True),
    Retrying.kind: _read_retrying,
    Rejected.kind: _simple(Rejected, runs=True),
    Planned.kind: _read_plan,
    Expanded.kind: _simple(Expanded),
    Finished.kind: _simple(Finished),
}


def _floats(values: array[float]) -> bytes:
    if _BIG_ENDIAN:
        values = array("f", values)
        values.byteswap()
    return values.tobytes()


def _read_floats(raw: bytes) -> array[float]:
    values = array("f")
    values.frombytes(raw)
    if _BIG_ENDIAN:
        values.byteswap()
    return values


def _encode_outcomes(record: Outcomes) -> bytes:
    header = _json(
        {
            "v": FORMAT,
            "round": record.round,
            "worker": record.worker,
            "runs": record.runs,
            "base": record.base,
            "mb": record.memory_mb,
            "errors": [
                [e.type, e.message, e.traceback, b64encode(e.pickled).decode()]
                for e in record.errors
            ],
            "error_of": record.error_of,
            "retries": record.retries,
            "cached": record.cached,
        }
    )
    return b"".join(
        (
            _LENGTH.pack(len(header)),
            header,
            record.states,
            _floats(record.started),
            _floats(record.run_s),
            record.results,
        )
    )


def _decode_outcomes(body: bytes) -> Outcomes:
    (size,) = _LENGTH.unpack_from(body)
    head = _LENGTH.size + size
    plain = json.loads(body[_LENGTH.size : head].decode())
    _check_version(plain)
    runs = _runs(plain["runs"])
    n = sum(b - a for a, b in runs)
    if n < 0 or any(a >= b or a < 0 for a, b in runs) or len(body) < head + 9 * n:
        raise ValueError(f"columns for {n} items do not fit")
    if body[head : head + n].translate(None, _FINAL):
        raise ValueError("an outcome that is not final")
    return Outcomes(
        round=_round(plain["round"]),
        worker=plain["worker"],
        runs=runs,
        states=body[head : head + n],
        base=plain["base"],
        started=_read_floats(body[head + n : head + 5 * n]),
        run_s=_read_floats(body[head + 5 * n : head + 9 * n]),
        memory_mb=plain["mb"],
        results=body[head + 9 * n :],
        errors=tuple(Error(t, m, tb, b64decode(p)) for t, m, tb, p in plain["errors"]),
        error_of=tuple((i, k) for i, k in plain["error_of"]),
        retries=tuple((int(i), int(k)) for i, k in plain.get("retries", ())),
        cached=_runs(plain.get("cached", ())),
    )
