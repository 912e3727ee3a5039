"""Celery's consumer, which also says what it refuses.

What comes through the broker and is no task's message (a body that was changed on the way, another
content type, anything that somebody has put into the queue), Celery logs and drops. Here it is
counted too (`store.rejections`), and where the message's description still says whose items it was
about, those fail: nobody waits for what nobody is going to do.
"""

from __future__ import annotations

import logging
from typing import Any

import redis

from nbqueue.core.description import Described, described, found_in
from nbqueue.core.errors import NbqueueError
from nbqueue.store import rejections
from nbqueue.store.broker.message import Unverified
from nbqueue.worker.bootsteps.reconnecting import Reconnecting
from nbqueue.worker.messages import refusing

log = logging.getLogger("nbqueue.worker")


_KINDS: dict[str, type] = {
    **dict.fromkeys(("id", "task", "shadow", "eta", "expires", "group", "root_id"), str),
    **dict.fromkeys(("parent_id", "argsrepr", "kwargsrepr", "origin", "lang"), str),
    **dict.fromkeys(("retries", "group_index", "replaced_task_nesting"), int),
    "ignore_result": bool,
}
_NOT_OURS = ("stamped_headers", "stamps")
"""What no message of ours has, and what Celery looks into where nothing catches an error."""
_NOTHING = [None, None]
_MOST = 2**53


def is_sound(headers: Any) -> bool:
    """Say whether headers are of the kinds that Celery takes for granted.

    One that is not, such as a ``timelimit`` of ``true``, ends a worker when it comes to that, in
    code that no task's ``try`` is around. Asked of each message, so it must be quick.
    """
    if not isinstance(headers, dict) or "task" not in headers:
        return True  # protocol 1, or no task's: Celery sees to that
    if headers.get("id") is None or any(map(headers.get, _NOT_OURS)):
        return False
    if (limits := headers.get("timelimit", _NOTHING)) != _NOTHING and not _are_limits(limits):
        return False
    for name, value in headers.items():
        if value is None:
            continue
        kind = type(value)
        if _KINDS.get(name, kind) is not kind:
            return False
        if kind is str:
            if not value.isascii() and value.encode(errors="ignore").decode() != value:
                return False  # half a surrogate is no text
        elif kind in (int, float) and not _is_number(value):
            return False
    return True


def _are_limits(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_is_number, value))


def _is_number(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and -_MOST <= value <= _MOST)


class Consumer(Reconnecting):
    """Celery's consumer; the app names it in its setting ``worker_consumer``."""

    def on_decode_error(self, message: Any, exc: BaseException) -> None:
        """A body that cannot be read, or is of a kind that is not allowed."""
        super().on_decode_error(message, exc)
        self._refuse(message, exc)

    def on_invalid_task(self, body: Any, message: Any, exc: BaseException) -> None:
        """A message that lacks what every task's message has."""
        super().on_invalid_task(body, message, exc)
        self._refuse(message, exc)

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """No task's message."""
        super().on_unknown_message(body, message)
        self._refuse(message, None)

    def on_unknown_task(self, body: Any, message: Any, exc: BaseException) -> None:
        """A message of another task; if it says that it is of one of our jobs, it was changed."""
        super().on_unknown_task(body, message, exc)
        if described(_shown(message)) is not None:
            self._refuse(message, exc)

    def connect(self) -> Any:
        """Connect to the broker."""
        connection = super().connect()
        connection.transport.on_refusal = self._refuse_text
        return connection

    def create_task_handler(self, *args: Any, **options: Any) -> Any:
        """Give what takes each message; one that breaks Celery's own code ends no worker."""
        take = super().create_task_handler(*args, **options)

        def handle(message: Any) -> None:
            if not is_sound(message.headers):
                message.reject_log_error(log, self.connection_errors)
                self._refuse(message, ValueError("its headers are no task's"))
                return
            try:
                take(message)
            except (OSError, redis.RedisError):
                raise  # the broker is away
            except Exception as exc:  # its headers may be anything
                if isinstance(exc, self.connection_errors) and not isinstance(exc, LookupError):
                    raise
                log.error("refused a message: %r", exc)
                message.reject_log_error(log, self.connection_errors)
                self._refuse(message, exc)

        return handle

    def _refuse(self, message: Any, exc: BaseException | None) -> None:
        self._tell("no task's message" if exc is None else repr(exc), described(_shown(message)))

    def _refuse_text(self, text: str) -> None:
        self._tell("no message at all", found_in(text))

    def _tell(self, why: str, about: Described | None) -> None:
        place = self.app.nbqueue_place()
        try:
            place.keyring.on_refusal(rejections.UNREADABLE)
            refusing.refuse(place, Unverified(why), about, waits=False)
        except (redis.RedisError, NbqueueError) as error:
            log.warning("nobody could be told that a message was refused: %s", error)


def _shown(message: Any) -> Any:
    headers = message.headers
    return headers.get("argsrepr") if isinstance(headers, dict) else None
