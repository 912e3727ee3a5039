"""One peer, measured in this process: `python -m tests.benchmarks.child KEY SCENARIOS ...`.

The last line of output is a JSON object of metrics. Only `python -m tests.benchmarks` calls this.
"""

import argparse
import json
from pathlib import Path

from tests.benchmarks import balance, canvas, control, one_call, throughput
from tests.benchmarks.catalogue import BY_KEY, Entry
from tests.benchmarks.peer import Peer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("key", choices=sorted(BY_KEY))
    parser.add_argument("scenarios", type=lambda text: text.split(","))
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()

    entry = BY_KEY[options.key]
    peer = entry.make(options.workers, options.folder)
    peer.start()
    metrics: dict[str, float] = {}
    try:
        for scenario in options.scenarios:
            metrics |= _measure(scenario, entry, peer, quick=options.quick)
    finally:
        peer.stop()
    print(json.dumps(metrics))


def _measure(scenario: str, entry: Entry, peer: Peer, *, quick: bool) -> dict[str, float]:
    share = 10 if quick else 1
    if scenario == "throughput":
        return throughput.measure(peer, entry.noops // share)
    if scenario == "one_call":
        return one_call.measure(peer, 500 // share)
    if scenario == "balance":
        return balance.measure(peer, peer.workers)
    if scenario == "canvas":
        return canvas.measure(peer, 1_000 // share, 100_000 // share)
    if scenario == "control":
        return control.measure(peer, 20 // min(share, 4))
    # Imported here, since it alone is about nbqueue and its module says so.
    from tests.benchmarks import memory
    from tests.benchmarks.nbqueue_peer import Nbqueue

    if not isinstance(peer, Nbqueue):
        raise TypeError(f"memory is measured on nbqueue, not on {entry.label}")
    return memory.measure(peer, 1_000_000 // share)


if __name__ == "__main__":
    main()
