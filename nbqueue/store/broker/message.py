"""Messages: what travels through the broker, and names the items that its receiver is to run.

A message is Celery's own (task `RANGE_TASK`, protocol 2, JSON), with one argument: an envelope.

    envelope  =  base64( signature | uint32 length | uint32 length
                         | JSON {job, a, b, ...} | opened record | its signature | call )

The envelope is opaque to Celery: its main process would otherwise decode arguments, and a message
that fails to decode there is dropped with no trace, which leaves the client waiting for ever. It is
verified and read in the child process, where a failure can be recorded. What opens the job travels
along, as its client signed it (`joblog.Opening`), so a worker can open it and needs to fetch
nothing to know what to do.
"""

from __future__ import annotations

import json
import re
import struct
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from nbqueue.core import wire
from nbqueue.core.errors import BadSignature, NbqueueError
from nbqueue.core.records import MOST_ROUNDS, JobSpec, Stage
from nbqueue.core.splitting import Range, indices
from nbqueue.store.log.opening import Opening
from nbqueue.store.signing import SIZE, Keyring

WAITED = "waited"
"""A message that was told to come again, because a limit of its task was reached."""
ADMITTED = "admitted"
"""A message whose items have been counted by their task's rate limit."""

RANGE_TASK = "nbqueue.range"

_LENGTHS = struct.Struct("<II")
_CONTEXT = "message"
_CLAIM = re.compile(rb'\{"job":"([0-9a-z-]{1,64})","a":(\d+),"b":(\d+)')
_HEAD = 240
"""Characters of an envelope that hold what `claimed` reads (a multiple of 4)."""
_JOB_ID = re.compile(r"[0-9a-z-]{1,64}\Z")
_MOST_ITEMS = 100_000_000
"""Items of a claim; a stranger's message may say anything."""


class Attempt(NamedTuple):
    """One item's next attempt."""

    item: int
    retries: int
    """How often the item has been retried, this attempt included."""
    call: bytes = b""
    """Its packed arguments (`arguments.pack_call`), if not those that it was submitted with."""


@dataclass(frozen=True)
class Message:
    """What a range message says."""

    opening: Opening
    start: int
    stop: int
    round: int = 1
    whole: bool = False
    """The job's first message, which holds all of it and divides soon."""
    check: bool = False
    """Some items may be recorded already: consult the done-bitmap before running."""
    function: str = ""
    """Address of the function of this round; the spec's when empty."""
    stage: Stage | None = None
    """The stage of a workflow that the items are of."""
    turn: str = ""
    """Where the task's limits are concerned: `WAITED` or `ADMITTED`."""
    again: tuple[Attempt, ...] = ()
    """Retries: of the items from ``start`` to ``stop``, these are meant and no others."""
    sources: tuple[tuple[int, Range], ...] = ()
    """The items of the stages that this one takes from, as far as the plan says."""
    came_back: str = ""
    """The id of the message that this one stands for: whoever had that may have died of it."""

    @property
    def spec(self) -> JobSpec:
        """The job; of a workflow, the stage as if it were one."""
        return self.opening.spec if self.stage is None else self.stage.spec

    def with_time_limits(self, soft: float | None, hard: float | None) -> Message:
        """Give the message with other time limits; those that it is passed on with stay."""
        limits = replace(self.spec.limits, soft_time_limit=soft, time_limit=hard)
        spec = replace(self.spec, limits=limits)
        if self.stage is not None:
            return replace(self, stage=replace(self.stage, spec=spec))
        return replace(self, opening=self.opening._replace(spec=spec))

    def among(self, runs: Sequence[Range]) -> Message:
        """Give a message of retries with no others than those of some items."""
        items = set(indices(runs))
        return self.of_attempts([attempt for attempt in self.again if attempt.item in items])

    def of_attempts(self, attempts: Sequence[Attempt]) -> Message:
        """Give a message of the same round that is about some retries."""
        items = [attempt.item for attempt in attempts]
        return replace(
            self,
            start=min(items),
            stop=max(items) + 1,
            whole=False,
            check=True,
            again=tuple(sorted(attempts)),
        )


class Unverified(BadSignature):
    """A message that is not to be trusted, or cannot be read, and what it claims to be."""

    def __init__(
        self, message: str, job_id: str = "", start: int = 0, stop: int = 0, round_: int = 1
    ):
        super().__init__(message)
        self.job_id, self.start, self.stop, self.round = job_id, start, stop, round_
        self.reason = BadSignature.__name__
        """Why it is refused, for the record (`records.Rejected`)."""

    @property
    def names_items(self) -> bool:
        """Whether it says, for what that is worth, whose items it was about."""
        return (
            bool(_JOB_ID.match(self.job_id))
            and 0 <= self.start < self.stop <= _MOST_ITEMS
            and 0 < self.round <= MOST_ROUNDS
        )


def encode(keyring: Keyring, message: Message) -> str:
    """Give a message's envelope."""
    opening = message.opening
    about: dict[str, Any] = {
        "job": message.spec.id,
        "a": message.start,
        "b": message.stop,
        "round": message.round,
        "whole": message.whole,
        "check": message.check,
        "function": message.function,
    }
    if message.stage is not None:
        about["stage"] = wire.stage_to_plain(message.stage)
    if message.turn:
        about["turn"] = message.turn
    if message.again:
        about["again"] = [(i, k, b64encode(call).decode()) for i, k, call in message.again]
    if message.sources:
        about["sources"] = [(s, a, b) for s, (a, b) in message.sources]
    if message.came_back:
        about["came_back"] = message.came_back
    head = wire.compact(about).encode()
    lengths = _LENGTHS.pack(len(head), len(opening.body))
    body = b"".join((lengths, head, opening.body, opening.signature, opening.call))
    return b64encode(keyring.seal(_CONTEXT, body)).decode()


def claimed(envelope: str) -> tuple[str, int, int]:
    """Give the job and the items that an envelope claims to be about, from its beginning.

    Nothing is verified; an envelope that is damaged is about nothing.
    """
    try:
        head = b64decode(envelope[:_HEAD])[SIZE + _LENGTHS.size :]
        found = _CLAIM.match(head)
    except ValueError:
        found = None
    return (found[1].decode(), int(found[2]), int(found[3])) if found else ("", 0, 0)


def decode(keyring: Keyring, envelope: str) -> Message:
    """Verify and read an envelope.

    Raises:
        Unverified: it is not signed with a key of this process, or is damaged.
    """
    try:
        sealed = b64decode(envelope)
    except (ValueError, TypeError):
        sealed = b""
    try:
        body = keyring.unseal(_CONTEXT, sealed)
    except BadSignature as exc:
        raise Unverified(str(exc), *_claim(sealed)) from None
    try:
        return _read(body)
    except (LookupError, TypeError, ValueError, struct.error, NbqueueError) as exc:
        # Signed and not readable: somebody's nbqueue is another one.
        unread = Unverified(f"a message cannot be read: {exc!r}", *_claim(sealed))
        unread.reason = "Malformed"
        raise unread from exc


def claimed_job(envelope: str) -> str:
    """Give the id of the job that an envelope says it is of; unverified, and empty if it says none.

    For passing over what is of other jobs: to decode that would count what is not ours as refused.
    """
    try:
        return _claim(b64decode(envelope))[0]
    except (ValueError, TypeError):
        return ""


def _claim(sealed: bytes) -> tuple[str, int, int, int]:
    """Give what a message that is not to be trusted says of itself, if that makes sense."""
    try:
        (size, _) = _LENGTHS.unpack_from(sealed, SIZE)
        start = SIZE + _LENGTHS.size
        head = json.loads(sealed[start : start + size].decode())
        return str(head["job"]), int(head["a"]), int(head["b"]), int(head["round"])
    # (Deep nesting, an infinite number: a stranger's text may be anything.)
    except (LookupError, TypeError, ValueError, ArithmeticError, RecursionError, struct.error):
        return "", 0, 0, 1


def _read(body: bytes) -> Message:
    size, spec_size = _LENGTHS.unpack_from(body)
    start = _LENGTHS.size + size
    head = json.loads(body[_LENGTHS.size : start].decode())
    stop = start + spec_size
    spec = wire.decode(JobSpec.kind, body[start:stop])
    assert isinstance(spec, JobSpec)
    return Message(
        opening=Opening(spec, body[start:stop], body[stop : stop + SIZE], body[stop + SIZE :]),
        start=head["a"],
        stop=head["b"],
        round=head["round"],
        whole=bool(head["whole"]),
        check=bool(head["check"]),
        function=head["function"],
        stage=wire.stage_from_plain(head["stage"]) if "stage" in head else None,
        turn=head.get("turn", ""),
        again=tuple(Attempt(i, k, b64decode(call)) for i, k, call in head.get("again", ())),
        sources=tuple((s, (a, b)) for s, a, b in head.get("sources", ())),
        came_back=head.get("came_back", ""),
    )
