"""The embedded cluster: a private Redis and one Celery worker on the user's machine.

What a first use without a broker starts, finds again and ends. It belongs to the user and the
Python environment, not to the kernel that happened to start it.

    client ── ensure() ──► supervisor ──► Redis   (Unix socket in a 0700 folder, no TCP port)
              embedded.py  supervisor.py └► worker  (``python -m nbqueue.worker``)
                              ├► beat    (``python -m nbqueue.worker.beat``, while there are
                              │           schedules)
                              └► guard: ends them all at once if the supervisor dies (guard.py)

| file              | holds                                                                  |
|-------------------|------------------------------------------------------------------------|
| `embedded.py`     | what clients call: `ensure`, `stop`, `Address` (and `status`)           |
| `status.py`       | a look from outside: `Status`                                           |
| `leftovers.py`    | the end of what a killed supervisor left behind                         |
| `supervisor.py`   | the process that starts, restarts and ends Redis and the worker        |
| `need.py`         | who needs the cluster, and whether beat is needed                       |
| `child.py`        | one child of it, with its restarts, their pauses and the reason of each |
| `guard.py`        | the process that outlives a killed supervisor and ends its children     |
| `launch.py`       | how a client starts the supervisor, and what it hands over              |
| `folder.py`       | the folder: its place, permissions, key, socket, locks and logs         |
| `state.py`        | ``state.json``, and telling a process from a later one of the same pid  |
| `written.py`      | which server wrote the folder's data, and which ones read it            |
| `binaries.py`     | finding a server binary that reads it                                   |
| `redis_server.py` | the server's command line, four commands over its socket                |

Only the standard library and `nbqueue.core.errors` are imported here (and redis-py, late, by
`embedded`): the supervisor has to be up in milliseconds and stay small for days.
"""
