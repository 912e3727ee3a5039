"""Messages: what travels through the broker, and names the items that its receiver is to run.

A message is Celery's own (task `RANGE_TASK`, protocol 2, JSON), with one argument: an envelope.

    envelope  =  base64( signature | uint32 length | JSON {job, a, b, ..., spec} | inline )

The envelope is opaque to Celery: its main process would otherwise decode arguments, and a message
that fails to decode there is dropped with no trace, which leaves the client waiting for ever. It is
verified and read in the child process, where a failure can be recorded. ``inline`` is the packed
argument block of a single call.
"""

from __future__ import annotations

import json
import struct
from base64 import b64decode, b64encode
from dataclasses import dataclass

from nbqueue.core import wire
from nbqueue.core.errors import BadSignature
from nbqueue.core.records import JobSpec
from nbqueue.store.signing import SIZE, Keyring

RANGE_TASK = "nbqueue.range"

_LENGTH = struct.Struct("<I")
_CONTEXT = "message"


@dataclass(frozen=True)
class Message:
    """What a range message says."""

    spec: JobSpec
    start: int
    stop: int
    round: int = 1
    whole: bool = False
    """The job's first message, which holds all of it and divides soon."""
    check: bool = False
    """Some items may be recorded already: consult the done-bitmap before running."""
    function: str = ""
    """Address of the function of this round; the spec's when empty."""
    inline: bytes = b""
    """Packed argument block of a single call."""


class Unverified(BadSignature):
    """A message whose signature does not hold, and what it claims to be."""

    def __init__(
        self, message: str, job_id: str = "", start: int = 0, stop: int = 0, round_: int = 1
    ):
        super().__init__(message)
        self.job_id, self.start, self.stop, self.round = job_id, start, stop, round_


def encode(keyring: Keyring, message: Message) -> str:
    """Give a message's envelope."""
    head = json.dumps(
        {
            "job": message.spec.id,
            "a": message.start,
            "b": message.stop,
            "round": message.round,
            "whole": message.whole,
            "check": message.check,
            "function": message.function,
            "spec": wire.spec_to_plain(message.spec),
        },
        separators=(",", ":"),
    ).encode()
    body = _LENGTH.pack(len(head)) + head + message.inline
    return b64encode(keyring.seal(_CONTEXT, body)).decode()


def decode(keyring: Keyring, envelope: str) -> Message:
    """Verify and read an envelope.

    Raises:
        Unverified: it is not signed with a key of this process, or is damaged.
    """
    try:
        sealed = b64decode(envelope)
        (size,) = _LENGTH.unpack_from(sealed, SIZE)
        head = json.loads(sealed[SIZE + _LENGTH.size : SIZE + _LENGTH.size + size])
        claim = (str(head["job"]), int(head["a"]), int(head["b"]), int(head["round"]))
    except (ValueError, TypeError, KeyError, struct.error) as exc:
        raise Unverified(f"a damaged message of {len(envelope)} characters: {exc!r}") from None
    try:
        body = keyring.unseal(_CONTEXT, sealed)
    except BadSignature as exc:
        raise Unverified(str(exc), *claim) from None
    return Message(
        spec=wire.spec_from_plain(head["spec"]),
        start=claim[1],
        stop=claim[2],
        round=claim[3],
        whole=bool(head["whole"]),
        check=bool(head["check"]),
        function=head["function"],
        inline=body[_LENGTH.size + size :],
    )
