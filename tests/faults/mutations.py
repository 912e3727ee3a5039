"""Bytes that somebody has changed: the ways in which the mutation test does it.

Each takes the bytes and a source of randomness; what it gives differs from what it took.
"""

import json
from base64 import b64decode, b64encode
from random import Random


def flipped(body: bytes, rng: Random) -> bytes:
    """Some bits are others."""
    changed = bytearray(body)
    for _ in range(rng.choice([1, 1, 2, 5, 30])):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed) if changed != body else flipped(body, rng)


def truncated(body: bytes, rng: Random) -> bytes:
    """Something is missing: at an end, or in the middle."""
    a, b = sorted([rng.randrange(len(body)), rng.randrange(1, len(body) + 1)])
    b += a == b
    return rng.choice([body[:a], body[b:] if b < len(body) else b"", body[:a] + body[b:]])


def grown(body: bytes, rng: Random) -> bytes:
    """Something is there that was not."""
    at, more = rng.randrange(len(body) + 1), rng.randbytes(rng.choice([1, 4, 32, 300]))
    return body[:at] + more + body[at:]


def spliced(body: bytes, other: bytes, rng: Random) -> bytes:
    """The beginning of the one, and the end of another."""
    at = rng.randrange(1, min(len(body), len(other)))
    made = body[:at] + other[at:]
    return made if made not in (body, other) else flipped(made, rng)


WAYS = CHANGED, TRUNCATED, SWAPPED, RESIGNED = "changed", "truncated", "swapped", "wrong key"
"""Ways in which a piece is not what its sender has made."""


def changed(body: bytes, others: list[bytes], rng: Random) -> tuple[str, bytes]:
    """Changed in one of these ways, with the way."""
    way, how = rng.choice(
        [
            (CHANGED, flipped),
            (CHANGED, flipped),
            (TRUNCATED, truncated),
            (CHANGED, grown),
            (SWAPPED, spliced),
        ]
    )
    made = how(body, rng.choice(others), rng) if how is spliced else how(body, rng)
    return way, made


# -- Celery's messages, as they are in a list of Redis ---------------------------------------------


def envelope_of(text: bytes) -> bytes:
    """The bytes of the envelope in a message."""
    (envelope,), _, _ = json.loads(b64decode(json.loads(text)["body"]))
    return b64decode(envelope)


def with_envelope(text: bytes, envelope: bytes) -> bytes:
    """A message with another envelope."""
    message = json.loads(text)
    _, kwargs, embed = json.loads(b64decode(message["body"]))
    body = json.dumps([[b64encode(envelope).decode()], kwargs, embed])
    message["body"] = b64encode(body.encode()).decode()
    return json.dumps(message).encode()


_ANYTHING = [None, True, -1, 1e999, 10**30, "", "x", "\udc80", [], [[]], {}, {"__type__": "x"}]


def no_message(text: bytes, rng: Random) -> tuple[str, bytes]:
    """Something else in a message's place, with the way."""
    return rng.choice(
        [
            lambda: changed(text, [text[::-1]], rng),
            lambda: (CHANGED, with_other_words(text, rng)),
            lambda: (SWAPPED, with_other_body(text, rng)),
            lambda: (SWAPPED, rng.randbytes(rng.randrange(200))),
        ]
    )()


def with_other_words(text: bytes, rng: Random) -> bytes:
    """A message in which one of the values around the body is another, or is not there."""
    message = json.loads(text)
    where = rng.choice([message, message["headers"], message["properties"]])
    name = rng.choice([name for name in where if name != "body"])
    if rng.random() < 0.3:
        del where[name]
    else:
        where[name] = rng.choice(_ANYTHING)
    return json.dumps(message).encode()


def with_other_body(text: bytes, rng: Random) -> bytes:
    """A message with arguments of another shape in its body."""
    message = json.loads(text)
    shapes = [
        [],
        {},
        [[], {}, {}],
        [[1, 2], {}, {}],
        [["x"], {"envelope": "y"}, {}],
        [[None], {}, {}],
    ]
    shapes += [None, 1, "x", [[["x"]], {}, {}], [["é"], {}, None], [["x"], [], {}], [[{}], {}, {}]]
    message["body"] = b64encode(json.dumps(rng.choice(shapes)).encode()).decode()
    return json.dumps(message).encode()
