"""What a million recorded no-ops cost: the client's peak growth, and Redis's growth an item.

The baseline is taken after a small job and its frame, so that importing pandas is not counted.
"""

import re
import resource
from pathlib import Path
from typing import Any

from tests.benchmarks.nbqueue_peer import Nbqueue

STATUS = Path("/proc/self/status")
MB = 1024 * 1024
WARM_UP = 1_000


def measure(peer: Nbqueue, items: int) -> dict[str, float]:
    warm_up = peer.noop.map(range(WARM_UP))
    warm_up.wait()
    warm_up.to_frame()
    redis = _redis(peer.cluster.broker_url)
    redis_before = redis.info("memory")["used_memory"]
    client_before = _reset_peak_bytes()

    job = peer.noop.map(range(items))
    job.wait()
    redis_after = redis.info("memory")["used_memory"]
    frame = job.to_frame()
    client_peak = _peak_bytes()

    states = frame["state"].value_counts().to_dict()
    if len(frame) != items or states.get("SUCCESS") != items:
        raise AssertionError(f"of {items} items {len(frame)} rows came back, by state {states}")
    return {
        "client_mb": (client_peak - client_before) / MB,
        "redis_bytes": (redis_after - redis_before) / items,
    }


def _redis(broker_url: str) -> Any:
    import redis

    # Celery's spelling of a Unix socket, and redis-py's.
    url = re.sub(r"^redis\+socket://", "unix://", broker_url)
    return redis.Redis.from_url(re.sub(r"[?&]virtual_host=(\d+)", r"?db=\1", url))


def _reset_peak_bytes() -> int:
    """The resident size now; on Linux the kernel's high-water mark starts again from it."""
    if not STATUS.exists():
        return _peak_bytes()
    Path("/proc/self/clear_refs").write_text("5")
    return _status_bytes("VmRSS")


def _peak_bytes() -> int:
    # Not ru_maxrss on Linux: a child inherits there what its parent's peak was.
    if STATUS.exists():
        return _status_bytes("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _status_bytes(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB", STATUS.read_text(), re.M)
    if found is None:
        raise RuntimeError(f"/proc/self/status has no {field}")
    return int(found[1]) * 1024
