"""What is measured and what has to be reached; nothing here runs anything."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Literal

SCENARIOS = (
    "throughput",
    "one_call",
    "balance",
    "canvas",
    "memory",
    "load",
    "control",
    "cold_start",
    "import_time",
    "grid",
    "array",
    "cache",
    "widget",
)

LOADS = ("clients", "results", "job", "stream", "map")
"""The parts of `load`."""

# How nbqueue stands to a peer, or by itself.
Relation = Literal["ratio", "difference", "value"]

# Every figure of a run: by metric and peer, one number a round.
Samples = dict[tuple[str, str], list[float]]


@dataclass(frozen=True)
class Metric:
    key: str
    scenario: str
    title: str
    unit: str
    decimals: int


@dataclass(frozen=True)
class Target:
    metric: str
    relation: Relation
    sign: Literal["≥", "≤"]
    limit: float
    peer: str = "nbqueue"

    @property
    def text(self) -> str:
        shown = {"ratio": f"{self.limit:g}×", "difference": f"+{self.limit:g}"}
        return f"{self.sign} {shown.get(self.relation, f'{self.limit:g}')}"

    def reached(self, samples: Samples) -> float | None:
        """Where nbqueue stands; None when one of the two was not measured."""
        ours, theirs = samples.get((self.metric, "nbqueue")), samples.get((self.metric, self.peer))
        if not ours or not theirs:
            return None
        if self.relation == "ratio":
            return median(ours) / median(theirs)
        if self.relation == "difference":
            return median(ours) - median(theirs)
        return median(ours)

    def met(self, samples: Samples) -> bool | None:
        reached = self.reached(samples)
        if reached is None:
            return None
        return reached >= self.limit if self.sign == "≥" else reached <= self.limit


METRICS = (
    Metric("throughput", "throughput", "map of no-ops, every result in hand", "items/s", 0),
    Metric("one_call_ms", "one_call", "one call there and back, p50", "ms", 2),
    Metric("balance_even", "balance", "400 x 10 ms", "x ideal", 3),
    Metric("balance_mixed", "balance", "2 x 0.5 s and 200 x 10 ms, mixed", "x ideal", 3),
    Metric("chord_s", "canvas", "chord of 1,000 no-ops and their sum", "s", 3),
    Metric("join", "canvas", "100,000 no-ops | their sum, beside the map alone", "x map", 2),
    Metric("client_mb", "memory", "1,000,000 no-ops: client growth, to_frame() included", "MB", 0),
    Metric("redis_bytes", "memory", "1,000,000 no-ops: Redis growth an item", "bytes", 1),
    Metric(
        "load_share_median",
        "load",
        "50 jobs of 10 clients: served until a job's end, median",
        "x fair",
        2,
    ),
    Metric(
        "load_share_worst",
        "load",
        "50 jobs of 10 clients: served until a job's end, worst",
        "x fair",
        2,
    ),
    Metric("load_clients_s", "load", "50 jobs of 10 clients: 3,100 items of 5 ms", "s", 2),
    Metric(
        "load_results_pct",
        "load",
        "900 MB of results walked through twice: client growth",
        "% of them",
        1,
    ),
    Metric("load_job_s", "load", "a generator of 1,000,000 in one job: until all ended", "s", 2),
    Metric(
        "load_job_mb", "load", "a generator of 1,000,000: client growth, frame included", "MB", 0
    ),
    Metric(
        "load_job_redis_bytes", "load", "a generator of 1,000,000: Redis growth an item", "bytes", 1
    ),
    Metric("load_stream_s", "load", "imap of 10,000,000, every result taken", "s", 1),
    Metric("load_stream_mb", "load", "imap of 10,000,000: client growth", "MB", 0),
    Metric("load_stream_redis_mb", "load", "imap of 10,000,000: Redis growth, highest", "MB", 0),
    Metric("load_read_s", "load", "map of a generator of 10,000,000: until it is sent", "s", 1),
    Metric("load_read_mb", "load", "map of 10,000,000: client growth while reading", "MB", 0),
    Metric("load_submitted_mb", "load", "map of 10,000,000: client growth, job included", "MB", 0),
    Metric("load_read_redis_mb", "load", "map of 10,000,000: Redis growth, highest", "MB", 0),
    Metric("control_ms", "control", "stats of a known worker, p50", "ms", 1),
    Metric("cold_s", "cold_start", "cold start: from import to the first result", "s", 2),
    Metric("import_s", "import_time", "import in a fresh process", "s", 3),
    Metric("grid_s", "grid", "scikit-learn: GridSearchCV of 100 fits on digits", "s", 2),
    Metric("array_s", "array", "dask.array: a reduction of 16,000,000 numbers", "s", 2),
    Metric("cached_x", "cache", "10,000 items of 5 ms, once more from the cache", "x faster", 0),
    Metric("widget_core_pct", "widget", "100,000 items on display: display thread", "% core", 2),
    Metric("widget_draw_ms", "widget", "100,000 items on display: a draw, mean", "ms", 1),
    Metric("widget_draw_max_ms", "widget", "100,000 items on display: longest draw", "ms", 1),
    Metric("enqueue_ms", "widget", "%%enqueue x = 1, there and back, p50", "ms", 1),
    Metric("cell_alone_ms", "widget", "a trivial cell by itself, p50", "ms", 1),
    Metric("cell_ms", "widget", "a trivial cell while 1,000,000 items report, p50", "ms", 1),
    Metric("cell_max_ms", "widget", "a trivial cell while 1,000,000 items report, worst", "ms", 1),
)

TARGETS = (
    # Both ways of writing joblib's map: the second is almost twice as fast, and it is one target.
    Target("throughput", "ratio", "≥", 1.5, "joblib"),
    Target("throughput", "ratio", "≥", 1.5, "joblib_hoisted"),
    Target("throughput", "ratio", "≥", 20, "chunks"),
    Target("throughput", "ratio", "≥", 100, "group"),
    Target("throughput", "ratio", "≥", 100, "dask"),
    Target("throughput", "ratio", "≥", 100, "ray"),
    Target("one_call_ms", "ratio", "≤", 0.7, "celery"),
    Target("balance_even", "value", "≤", 1.10),
    Target("balance_mixed", "value", "≤", 1.15),
    Target("chord_s", "ratio", "≤", 0.2, "group"),
    Target("join", "value", "≤", 1.2),
    Target("client_mb", "value", "≤", 300),
    Target("redis_bytes", "value", "≤", 150),
    Target("load_share_worst", "value", "≤", 3),
    Target("load_results_pct", "value", "≤", 20),
    Target("load_job_mb", "value", "≤", 300),
    Target("load_job_redis_bytes", "value", "≤", 150),
    Target("load_stream_mb", "value", "≤", 100),
    Target("load_stream_redis_mb", "value", "≤", 50),
    Target("load_read_mb", "value", "≤", 64),
    Target("control_ms", "value", "≤", 50),
    Target("control_ms", "ratio", "≤", 0.1, "celery"),
    Target("cold_s", "ratio", "≤", 1.0, "dask"),
    Target("import_s", "difference", "≤", 0.7, "imports"),
    Target("grid_s", "ratio", "≤", 1.05, "joblib"),
    Target("array_s", "ratio", "≤", 1.25, "dask"),
    Target("cached_x", "value", "≥", 20),
    Target("widget_core_pct", "value", "≤", 2),
    Target("widget_draw_ms", "value", "≤", 50),
    Target("enqueue_ms", "value", "≤", 30),
)
