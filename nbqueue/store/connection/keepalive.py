"""How soon a connection is known to be dead when nobody hangs up.

A machine that loses its power, a cable, a firewall that forgets, a laptop that wakes up in another
network: nothing says that what was connected no longer is. Who waits for an answer then waits for
a timeout; who only listens, as a worker does for its next message, for two hours. So the systems at
both ends ask each other (TCP's keepalive, RFC 9293 3.8.4), and give up what was sent and not
acknowledged (`TCP_USER_TIMEOUT`, RFC 5482). It is the systems that answer: a server that is only
busy, or stopped for a while, is not taken for dead.
"""

from __future__ import annotations

import functools
import socket
from typing import Any

DEAD_AFTER_S = 10
"""Less: a moment's silence in a network costs all connections. More: work goes on later."""

_ASK_AFTER_S = 5
_ASK_AGAIN_S = 2
_ASK_TIMES = 3

_WANTED = {
    "TCP_KEEPIDLE": _ASK_AFTER_S,
    "TCP_KEEPALIVE": _ASK_AFTER_S,  # as macOS calls it
    "TCP_KEEPINTVL": _ASK_AGAIN_S,
    "TCP_KEEPCNT": _ASK_TIMES,
    "TCP_USER_TIMEOUT": DEAD_AFTER_S * 1000,
}


@functools.cache
def _known() -> dict[int, int]:
    """Give those of the options that this system takes, with their values."""
    found = {}
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        for name, value in _WANTED.items():
            try:
                option: int = getattr(socket, name)
                probe.setsockopt(socket.IPPROTO_TCP, option, value)
            except (AttributeError, OSError):  # another system, or a kernel that lacks it
                continue
            found[option] = value
    return found


def options() -> dict[str, Any]:
    """Give redis-py's options for a connection over TCP; kombu's are the same.

    >>> options()["socket_keepalive"]
    True
    """
    return {"socket_keepalive": True, "socket_keepalive_options": dict(_known())}
