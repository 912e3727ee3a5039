"""Signatures: HMAC-SHA256 (RFC 2104) over everything that is ever unpickled.

The broker and the store never see a key. Each signature covers a *context* as well as the bytes
("outcomes record of job x", "message"), so that bytes signed for one place are worthless in
another. Large values are stored under their own signature (`Keyring.address`): whoever holds a
signed reference can check what it points to, and equal values have one address. An address is a
signature that everybody sees, over bytes that anybody may have made (a downloaded array), so it has
a context of its own too: it must never be one of a message.

Verification comes before unpickling, always; `BadSignature` counts and logs, and never runs code.
"""

from __future__ import annotations

import hmac
import os
import secrets
from typing import NoReturn

from nbqueue.core.errors import BadSignature, UsageError

SIZE = 32
"""Bytes of a signature."""

_MIN_KEY = 16
_NO_CONTEXT = b"\xff" * 4
_SMALL = 100_000
"""Below this, one call to OpenSSL with the bytes copied is quicker than three without."""
_HINT = (
    "make one with `nbqueue keygen` and give the same one to clients and workers as $NBQUEUE_KEY"
)


def generate() -> str:
    """Make a new key: 64 hexadecimal digits from the system's random source."""
    return secrets.token_hex(32)


class Keyring:
    """The keys of a process: signs with the first, accepts any (so that keys can be rotated)."""

    def __init__(self, keys: str) -> None:
        self._keys = [key.strip().encode() for key in keys.split(",") if key.strip()]
        if not self._keys:
            raise UsageError(f"the signing key is empty: {_HINT}")
        if any(len(key) < _MIN_KEY for key in self._keys):
            raise UsageError(f"a signing key is shorter than {_MIN_KEY} characters: {_HINT}")

    @classmethod
    def from_environment(cls) -> Keyring:
        """Take the keys from ``$NBQUEUE_KEY`` (several: separated by commas, the first signs)."""
        keys = os.environ.get("NBQUEUE_KEY")
        if not keys:
            raise UsageError(f"no signing key: pass key=..., or {_HINT}")
        return cls(keys)

    def __repr__(self) -> str:
        return f"<Keyring of {len(self._keys)}>"

    def __reduce__(self) -> NoReturn:
        # A function that captures one would carry it to the store, in the clear.
        raise TypeError("a Keyring holds secret keys and does not travel")

    def sign(self, context: str, body: bytes) -> bytes:
        """Sign bytes for one place."""
        return _digest(self._keys[0], context, body)

    def verify(self, context: str, body: bytes, signature: bytes) -> bool:
        """Say whether one of the keys made this signature for this place."""
        return any(
            hmac.compare_digest(_digest(key, context, body), signature) for key in self._keys
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
            raise BadSignature(
                f"{context}: {len(sealed)} bytes are not signed with this process's key; "
                "clients and workers need the same $NBQUEUE_KEY"
            )
        return body

    def address(self, body: bytes | memoryview) -> str:
        """Name bytes by their own signature, in hexadecimal."""
        return _digest(self._keys[0], None, body).hex()

    def matches(self, address: str, body: bytes | memoryview) -> bool:
        """Say whether bytes are what an address names."""
        return any(
            hmac.compare_digest(_digest(key, None, body).hex(), address) for key in self._keys
        )


def _digest(key: bytes, context: str | None, body: bytes | memoryview) -> bytes:
    """Sign bytes for a place; without a context, for none: as an address."""
    # The length says where the context ends, whatever it and the body contain.
    place = b"" if context is None else context.encode()
    prefix = (_NO_CONTEXT if context is None else len(place).to_bytes(4, "little")) + place
    if len(body) < _SMALL:
        return hmac.digest(key, prefix + body, "sha256")
    mac = hmac.new(key, prefix, "sha256")
    mac.update(body)  # without a copy
    return mac.digest()
