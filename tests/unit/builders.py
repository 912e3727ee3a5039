"""Small things that many tests build: specs, batches, and a blob store in a dict."""

import hashlib
import threading
from array import array
from types import SimpleNamespace

from nbqueue.core import states
from nbqueue.core.fold import JobState
from nbqueue.core.records import Error, JobSpec, Outcomes
from nbqueue.core.splitting import count
from nbqueue.store.connection.patience import Outage
from nbqueue.store.values import results

KEY = "a key that is only good for tests"


class DictBlobs:
    """A blob store in memory that counts what was sent."""

    def __init__(self):
        self.stored = {}
        self.puts = 0

    def put(self, value):
        body = bytes(value)
        address = hashlib.sha256(body).hexdigest()
        if address not in self.stored:
            self.stored[address] = body
            self.puts += 1
        return address

    def get(self, address):
        # Writable and private, as the real store's mappings are.
        return memoryview(bytearray(self.stored[address]))


def make_spec(n=10, **changes):
    fields = {
        "id": "0123456789abcdef",
        "name": "grid",
        "task": "fit",
        "function": "f" * 64,
        "n": n,
        "block": 100,
        "params": ("x",),
        "submitted": 1000.0,
        "origin": "client",
        "python": "3.11",
    }
    return JobSpec(**{**fields, **changes})


def make_outcomes(runs, *, round=1, failed=(), values=None, worker="w1", at=1001.0, mb=50.0):
    """How some items ended: SUCCESS with ``values`` (their own numbers), or FAILURE."""
    runs = tuple(tuple(run) for run in runs)
    items = [i for a, b in runs for i in range(a, b)]
    failed = set(failed)
    values = list(items) if values is None else list(values)
    errors = tuple(Error("ValueError", f"bad {i}", f"tb {i}") for i in items if i in failed)
    shown = [results.NO_RESULT if i in failed else v for i, v in zip(items, values, strict=True)]
    return Outcomes(
        round=round,
        worker=worker,
        runs=runs,
        states=bytes(states.FAILURE_CODE if i in failed else states.SUCCESS_CODE for i in items),
        base=at,
        started=array("f", [0.5 * k for k in range(count(runs))]),
        run_s=array("f", [0.25] * count(runs)),
        memory_mb=mb,
        results=results.encode(shown, DictBlobs()),
        errors=errors,
        error_of=tuple((i, k) for k, i in enumerate(i for i in items if i in failed)),
    )


def make_live(state, *, blocks=None, now=1010.0, closed=False):
    """A job as displays know it: its fold, a lock, and a clock that stands."""
    return FakeLive(state, blocks or {}, now, closed)


class FakeLive:
    """What `Live` is to the notebook room."""

    def __init__(self, state, blocks, now, closed):
        self.state = state
        self.blocks = blocks
        self.lock = threading.RLock()
        self.outages = []
        outage = Outage(self.outages.append)
        self.client = SimpleNamespace(now=lambda: now, closed=closed, outage=outage)
        self.on_reset = []
        self.waits = ""

    @property
    def name(self):
        return self.state.spec.name

    def waits_for(self):
        return self.waits

    @property
    def finished(self):
        return self.state.finished


def make_state(n=10, *records, **changes):
    """The fold of some records."""
    state = JobState(make_spec(n, **changes))
    for record in records:
        state.apply(record)
    return state
