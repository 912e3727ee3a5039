"""A mould: a range message as kombu makes it, cut where one message differs from the next.

kombu makes each message anew out of a dozen dictionaries; but all range messages of a queue are
alike in everything but a few words. So kombu makes the first one, of marks instead of words, and
the others are cast from it, in a fifth of the time.
"""

from __future__ import annotations

import json
import re
import secrets
from base64 import b64decode, b64encode
from typing import Any, NamedTuple

from kombu.utils.uuid import uuid


class Words(NamedTuple):
    """What differs from one message to the next."""

    task_id: str
    shadow: str
    argsrepr: str
    envelope: str


def marks() -> Words:
    """Give words that occur nowhere else."""
    return Words(*(uuid() for _ in Words._fields))


class Mould:
    """Casts messages for one queue and priority."""

    def __init__(self, key: str, made: dict[str, Any], marked: Words) -> None:
        self.key = key
        """Name of the list that holds the queue."""
        body, tag = str(made["body"]), str(made["properties"]["delivery_tag"])
        places = {
            body: "body",
            tag: "tag",
            marked.task_id: "id",
            marked.shadow: "shadow",
            marked.argsrepr: "argsrepr",
        }
        cuts = re.split("(" + "|".join(map(re.escape, places)) + ")", json.dumps(made))
        self._between = cuts[::2]
        self._places = [places[cut] for cut in cuts[1::2]]
        self._before, self._after = b64decode(body).split(marked.envelope.encode())

    def cast(self, words: Words) -> str:
        """Give a message as it lies in the queue, with a delivery tag of its own."""
        body = self._before + words.envelope.encode() + self._after
        found = {
            "body": b64encode(body).decode(),
            "tag": secrets.token_hex(16),
            "id": words.task_id,
            "shadow": json.dumps(words.shadow)[1:-1],
            "argsrepr": json.dumps(words.argsrepr)[1:-1],
        }
        pieces = self._between[:1]
        for place, text in zip(self._places, self._between[1:], strict=True):
            pieces += (found[place], text)
        return "".join(pieces)
