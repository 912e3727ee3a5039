"""The scripts that change a job's log, and the connection that runs them.

``common.lua`` begins each of them, ``stages.lua`` those that know of the stages of workflows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import redis

from nbqueue.store import keys
from nbqueue.store.connection.line import Line
from nbqueue.store.lua import source

_SCRIPTS = ("open", "commit", "note", "page", "put_off", "forget", "hold", "claim", "refuse")
_STAGED = ("commit", "cancel", "retry", "plan", "begin", "advance", "spread")
"""Scripts that know of the stages of workflows."""


class Reply(NamedTuple):
    """What a script says back to a worker."""

    known: int
    """0: the job is not open (yet); 1: it is; 2: it was forgotten. (3, that a part of the batch is
    recorded already, is `JobLog.commit`'s own business.)"""
    recorded: int
    left: int
    cancelled: int
    ready: int = 0
    """1: the job has ended, and others were waiting for that; see `sequels`."""
    entries: bytes = b""
    """Ids of the entries that were appended, where they end nothing."""
    full: int = 0
    """1: an output was left out, because the job has put out as much as is kept of one."""


class Scripts:
    """Runs scripts on jobs, by name."""

    def __init__(self, store: redis.Redis) -> None:
        self._store = store
        self._line = Line(store)
        self._scripts = {name: store.register_script(source("common", name)) for name in _SCRIPTS}
        for name in _STAGED:
            key = "commit_staged" if name == "commit" else name
            self._scripts[key] = store.register_script(source("common", "stages", name))
        self._scripts["call"] = store.register_script(source("call"))

    def run(self, script: str, job_id: str, *argv: Any) -> Any:
        """Run one of the scripts on a job."""
        made = self._scripts[script]
        try:
            return self._line.ask("EVALSHA", made.sha, 1, keys.base(job_id), *argv)
        except redis.exceptions.NoScriptError:
            return made(keys=[keys.base(job_id)], args=argv)
