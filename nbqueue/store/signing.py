"""Signatures: HMAC-SHA256 (RFC 2104) over everything that is ever unpickled.

The broker and the store never see a key. Each signature covers a *context* as well as the bytes, so
that bytes signed for one place are worthless in another:

    what                 context                         and in the bytes themselves
    range message        message                         job, items, round, stage, what opens it
    log record           KIND record of job ID           round, items
    argument block       arguments NUMBER of job ID
    schedule             schedule NAME                   function, arguments, times
    cached result        cached result DIGEST            (the digest of function and arguments)
    a retry's function   function of stage S of job ID   (of a workflow: its address)
    function             (its address, as a function)
    large value          (its address, as a blob)

Functions and large values are stored under their own signature (`Keyring.address`): whoever holds a
signed reference can check what it points to, and equal values have one address. An address is a
signature that everybody sees, over bytes that anybody may have made (a downloaded array), so it
must never be one of a message, and that of a value never one of a function.

Verification comes before unpickling, always. What does not hold is refused, told to
`Keyring.on_refusal` and counted (`rejections`), and never runs code.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Callable
from typing import Literal, NoReturn

from nbqueue.core.errors import BadSignature, UsageError

SIZE = 32
"""Bytes of a signature."""

Kind = Literal["function", "blob"]
"""What is known by its address."""

_MIN_KEY = 16
_ADDRESS: dict[Kind, bytes] = {"blob": b"\xff\xff\xff\xff", "function": b"\xfe\xff\xff\xff"}
"""What stands before the bytes in the place of a context's length, which is never as large."""
_REFUSED = {
    "message": "message",
    "arguments": "argument block",
    "schedule": "schedule",
    "cached": "cached result",
    "function": "function of a workflow's stage",
}
"""What bytes were meant to be, by the first word of their context; else a log record."""
_SMALL = 100_000
"""Below this, one call to OpenSSL with the bytes copied is quicker than two without."""
_HINT = (
    "make one with `nbqueue keygen` and give the same one to clients and workers as $NBQUEUE_KEY"
)


def generate() -> str:
    """Make a new key: 64 hexadecimal digits from the system's random source."""
    return secrets.token_hex(32)


class Keyring:
    """The keys of a process: signs with the first, accepts any (so that keys can be rotated)."""

    def __init__(self, keys: str) -> None:
        # Made ready once: to have OpenSSL look up the algorithm costs more than a signature.
        self._macs = [hmac.new(key, digestmod="sha256") for key in _parsed(keys)]
        self.on_refusal: Callable[[str], None] = _tell_nobody
        """Told what it was (`message`, `log record`, ...) that was not signed with these keys."""

    @classmethod
    def from_environment(cls) -> Keyring:
        """Take the keys from ``$NBQUEUE_KEY`` (several: separated by commas, the first signs)."""
        keys = os.environ.get("NBQUEUE_KEY")
        if not keys:
            raise UsageError(f"no signing key: pass key=..., or {_HINT}")
        return cls(keys)

    def __repr__(self) -> str:
        return f"<Keyring of {len(self._macs)}>"

    def __reduce__(self) -> NoReturn:
        # A function that captures one would carry it to the store, in the clear.
        raise TypeError("a Keyring holds secret keys and does not travel")

    def sign(self, context: str, body: bytes) -> bytes:
        """Sign bytes for one place."""
        return _digest(self._macs[0], context, body)

    def verify(self, context: str, body: bytes, signature: bytes) -> bool:
        """Say whether one of the keys made this signature for this place."""
        return any(
            hmac.compare_digest(_digest(mac, context, body), signature) for mac in self._macs
        )

    def seal(self, context: str, body: bytes) -> bytes:
        """Put the signature in front of the bytes."""
        return self.sign(context, body) + body

    def unseal(self, context: str, sealed: bytes) -> bytes:
        """Check and take off what `seal` put in front.

        Raises:
            BadSignature: the bytes were changed, or signed with a key that is not in this ring.
        """
        body = sealed[SIZE:]
        if not self.verify(context, body, sealed[:SIZE]):
            self.on_refusal(_REFUSED.get(context.partition(" ")[0], "log record"))
            raise BadSignature(
                f"{context}: {len(sealed)} bytes are not signed with this process's key; "
                "clients and workers need the same $NBQUEUE_KEY"
            )
        return body

    def address(self, body: bytes | memoryview, of: Kind) -> str:
        """Name bytes by their own signature, in hexadecimal."""
        return _digest(self._macs[0], None, body, of).hex()

    def check(self, address: str, body: bytes | memoryview, of: Kind, to_do: str) -> None:
        """See that bytes are what an address names; ``to_do`` says how they may be had anew.

        Raises:
            BadSignature: they are not.
        """
        if not self.matches(address, body, of):
            self.on_refusal(of)
            raise BadSignature(
                f"{of} {address[:12]}… was changed, or is not signed with this process's key "
                f"(clients and workers need the same $NBQUEUE_KEY): {to_do}"
            )

    def matches(self, address: str, body: bytes | memoryview, of: Kind) -> bool:
        """Say whether bytes are what an address names."""
        named = address.encode(errors="replace")
        return any(
            hmac.compare_digest(_digest(mac, None, body, of).hex().encode(), named)
            for mac in self._macs
        )


def _parsed(keys: str) -> list[bytes]:
    """Take keys apart, which errors never show.

    Raises:
        UsageError: there is none, or one that is no key.
    """
    if not isinstance(keys, str):
        raise UsageError(f"a signing key is text, not {type(keys).__name__}: {_HINT}")
    found = [key.strip() for key in keys.split(",") if key.strip()]
    if not found:
        raise UsageError(f"the signing key is empty: {_HINT}")
    for place, key in enumerate(found, 1):
        which = "the signing key" if len(found) == 1 else f"signing key {place} of {len(found)}"
        if len(key) < _MIN_KEY:
            raise UsageError(f"{which} is shorter than {_MIN_KEY} characters: {_HINT}")
        if not key.isprintable():
            raise UsageError(
                f"{which} has a line break or another control character in it (several keys are "
                f"separated by commas): {_HINT}"
            )
    return [key.encode() for key in dict.fromkeys(found)]


def _tell_nobody(what: str) -> None:
    """Count nothing."""


def _digest(
    mac: hmac.HMAC, context: str | None, body: bytes | memoryview, of: Kind = "blob"
) -> bytes:
    """Sign bytes for a place; without a context, for none: as an address of their kind."""
    if context is None:
        prefix = _ADDRESS[of]
    else:
        # The length says where the context ends, whatever it and the body contain.
        place = context.encode()
        prefix = len(place).to_bytes(4, "little") + place
    mac = mac.copy()
    if len(body) < _SMALL:
        mac.update(prefix + body)
    else:
        mac.update(prefix)
        mac.update(body)
    return mac.digest()
