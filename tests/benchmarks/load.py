"""What much of everything costs: items, arguments, clients, results. On nbqueue alone, one part in
one process: `python -m tests.benchmarks.load PART ...`, called by `python -m tests.benchmarks`.

The last line of output is a JSON object of metrics. Growth is of the client's resident peak, or of
Redis's memory, from before the measurement on.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks import tasks
from tests.benchmarks.fairness import shares
from tests.benchmarks.memory import MB, _peak_bytes, _redis, _reset_peak_bytes
from tests.benchmarks.metrics import LOADS
from tests.benchmarks.nbqueue_peer import Nbqueue

CLIENTS = 10
SIZES = (160, 80, 40, 20, 10)
"""Items of each job of a client; the short ones are sent behind the long ones."""
ITEM_S = 0.005
RESULT_BYTES = 900_000
LOOK_EVERY = 100_000

CLIENT = """
import json, sys
import nbqueue as nq
from tests.benchmarks import tasks

broker, sizes, item_s = sys.argv[1:]
with nq.connect(broker):
    nap = nq.task(tasks.nap)
    nap.submit(0).result()
    print("ready", flush=True)
    sys.stdin.readline()
    sent = [nap.map([float(item_s)] * n) for n in json.loads(sizes)]
    ends = []
    for job in sent:
        frame = (job.wait(), job.to_frame())[1]
        ended = frame["started"].dt.tz_localize(None).astype("int64") / 1e6 + frame["run_s"]
        ends.append(ended.tolist())
    print(json.dumps(ends), flush=True)
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=LOADS)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()

    peer = Nbqueue(options.workers, options.folder)
    peer.start()
    try:
        print(json.dumps(_measure(peer, options.part, share=10 if options.quick else 1)))
    finally:
        peer.stop()


def _measure(peer: Nbqueue, part: str, *, share: int) -> dict[str, float]:
    """Measure one part; ``share`` divides how much is done."""
    warm_up = peer.noop.map(range(1_000))
    warm_up.result()
    warm_up.to_frame()
    if part == "clients":
        return _fifty_jobs(peer)
    if part == "results":
        return _results(peer, 1_000 // share)
    if part == "job":
        return _one_job(peer, 1_000_000 // share)
    if part == "stream":
        return _stream(peer, 10_000_000 // share)
    return _submission(peer, 10_000_000 // share)


class Growth:
    """What a client and a Redis grew by since this was made."""

    def __init__(self, peer: Nbqueue) -> None:
        self._redis = _redis(peer.cluster.broker_url)
        self._redis_before = self._used()
        self._redis_peak = self._redis_before
        self._client_before = _reset_peak_bytes()

    def look(self) -> None:
        """Take a look at Redis, whose peak is the highest that was seen."""
        self._redis_peak = max(self._redis_peak, self._used())

    def client_mb(self) -> float:
        return (_peak_bytes() - self._client_before) / MB

    def redis_mb(self) -> float:
        self.look()
        return (self._redis_peak - self._redis_before) / MB

    def _used(self) -> int:
        return int(self._redis.info("memory")["used_memory"])


def _one_job(peer: Nbqueue, n: int) -> dict[str, float]:
    growth, began = Growth(peer), time.perf_counter()
    job = peer.noop.map(i for i in range(n))
    job.wait()
    elapsed_s = time.perf_counter() - began
    redis_bytes = growth.redis_mb() * MB / n
    job.to_frame()
    client_mb = growth.client_mb()
    _expect(job.counts()["SUCCESS"], n)
    job.forget()
    return {
        "load_job_s": elapsed_s,
        "load_job_mb": client_mb,
        "load_job_redis_bytes": redis_bytes,
    }


def _submission(peer: Nbqueue, n: int) -> dict[str, float]:
    growth, read_mb = Growth(peer), 0.0

    def numbers() -> Iterator[int]:
        nonlocal read_mb
        for i in range(n):
            if i % LOOK_EVERY == 0:
                growth.look()
            yield i
        read_mb = growth.client_mb()

    began = time.perf_counter()
    job = peer.noop.map(numbers())
    elapsed_s = time.perf_counter() - began
    submitted_mb, redis_mb = growth.client_mb(), growth.redis_mb()
    job.cancel()
    job.forget()
    return {
        "load_read_s": elapsed_s,
        "load_read_mb": read_mb,
        "load_submitted_mb": submitted_mb,
        "load_read_redis_mb": redis_mb,
    }


def _stream(peer: Nbqueue, n: int) -> dict[str, float]:
    growth, began, seen = Growth(peer), time.perf_counter(), 0
    for _ in peer.noop.imap(i for i in range(n)):
        seen += 1
        if seen % LOOK_EVERY == 0:
            growth.look()
    _expect(seen, n)
    return {
        "load_stream_s": time.perf_counter() - began,
        "load_stream_mb": growth.client_mb(),
        "load_stream_redis_mb": growth.redis_mb(),
    }


def _results(peer: Nbqueue, n: int) -> dict[str, float]:
    growth, total = Growth(peer), 0
    job = peer.canvas.task(tasks.block).map([RESULT_BYTES] * n)
    for future in job.as_completed():
        total += len(future.result())
    for future in job:
        total += len(future.result())
    _expect(total, 2 * n * RESULT_BYTES)
    job.forget()
    return {"load_results_pct": 100 * growth.client_mb() / (n * RESULT_BYTES / MB)}


def _fifty_jobs(peer: Nbqueue) -> dict[str, float]:
    ends = jobs_of_clients(peer, CLIENTS, SIZES)
    found = sorted(shares(ends))
    lengths = [max(times) for times in ends]
    began = min(min(times) for times in ends)
    return {
        "load_share_median": found[len(found) // 2],
        "load_share_worst": found[-1],
        "load_clients_s": max(lengths) - began,
    }


def jobs_of_clients(peer: Nbqueue, clients: int, sizes: tuple[int, ...]) -> list[list[float]]:
    """Have processes submit jobs of so many items at the same time; give when each item ended."""
    key = peer.cluster._address.key
    command = [sys.executable, "-c", CLIENT, peer.cluster.broker_url, json.dumps(sizes), ITEM_S]
    started: list[subprocess.Popen[str]] = []
    try:
        for _ in range(clients):
            process = subprocess.Popen(
                [str(word) for word in command],
                env={**os.environ, "NBQUEUE_KEY": key},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            started.append(process)
        for process in started:
            _expect(_line(process), "ready")
        for process in started:
            print("go", file=process.stdin, flush=True)
        return [times for process in started for times in json.loads(_line(process))]
    finally:
        for process in started:
            process.kill()
            process.communicate()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _expect(found: Any, expected: Any) -> None:
    if found != expected:
        raise RuntimeError(f"{found!r} where {expected!r} was expected")


if __name__ == "__main__":
    main()
