"""nbqueue beside its peers, in one run: `python -m tests.benchmarks`. See README.md here.

Rounds are interleaved: each goes through all peers, in an order that turns, so that a machine that
slows down slows down for everybody. Each peer runs alone, in a fresh process.
"""

from __future__ import annotations

import argparse
import compileall
import json
import sys
from collections.abc import Callable, Collection
from pathlib import Path

from tests.benchmarks.catalogue import BY_KEY, PEERS, Entry
from tests.benchmarks.metrics import LOADS, SCENARIOS, TARGETS, Samples
from tests.benchmarks.processes import ROOT, MeasurementError, Runner
from tests.benchmarks.report import LABELS, render
from tests.benchmarks.snippets import METRIC_OF, RUNS_A_ROUND, SNIPPETS


def main() -> int:
    options = _parser().parse_args()
    wanted = [entry for entry in PEERS if entry.key in options.peers]
    absent = [entry.key for entry in wanted if not entry.installed]
    # As pip does with the peers: a checkout would compile its modules while it is measured.
    compileall.compile_dir(ROOT / "nbqueue", quiet=1)
    bench = Bench(options, [entry for entry in wanted if entry.installed])
    try:
        for number in range(options.repeat):
            bench.round(number)
    finally:
        for leftover in bench.runner.end_leftovers():
            bench.failures["left running and ended"] = leftover
    print(render(bench.samples, bench.failures, absent, quick=options.quick))
    if options.json:
        figures = {f"{metric}/{peer}": values for (metric, peer), values in bench.samples.items()}
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    # A tenth of the work is no ground for a verdict on a target, but a peer that fails is one.
    judged = [] if options.quick else [target.met(bench.samples) for target in TARGETS]
    failed = bench.failures or any(met is not True for met in judged)
    return 1 if options.check and failed else 0


class Bench:
    """Collects one run's figures. A peer that fails is noted and left out, never fatal."""

    def __init__(self, options: argparse.Namespace, entries: list[Entry]) -> None:
        self.options = options
        self.entries = entries
        self.runner = Runner()
        self.samples: Samples = {}
        self.failures: dict[str, str] = {}

    def round(self, number: int) -> None:
        turn = number % max(1, len(self.entries))
        for entry in [*self.entries[turn:], *self.entries[:turn]]:
            self._peer(number, entry)
        for scenario, snippets in SNIPPETS.items():
            if scenario in self.options.only:
                for _ in range(RUNS_A_ROUND[scenario]):
                    for peer, code in snippets.items():
                        self._snippet(number, scenario, peer, code)
        if any(entry.key == "nbqueue" for entry in self.entries):
            if "load" in self.options.only:
                self._load(number)
            if "widget" in self.options.only:
                self._widget(number)

    def _peer(self, number: int, entry: Entry) -> None:
        scenarios = [name for name in entry.scenarios if name in self.options.only]
        if not scenarios:
            return
        self._say(number, f"{entry.label}: {', '.join(scenarios)}")
        words = ["-m", "tests.benchmarks.child", entry.key, ",".join(scenarios)]
        self._measure(entry.label, entry.key, words)

    def _load(self, number: int) -> None:
        # Each in a process of its own: what one has grown by, another would not grow by again.
        for part in LOADS:
            self._say(number, f"nbqueue: load, {part}")
            words = ["-m", "tests.benchmarks.load", part]
            self._measure(f"nbqueue, load, {part}", "nbqueue", words)

    def _widget(self, number: int) -> None:
        self._say(number, "nbqueue: widget")
        self._measure("nbqueue, widget", "nbqueue", ["-m", "tests.benchmarks.widget"])

    def _measure(self, label: str, key: str, words: list[str]) -> None:
        """Run a measurement that prints its metrics as JSON."""
        command = [*words, "--workers", str(self.options.workers), "--folder", "{folder}"]
        try:
            line = self.runner.run([*command, *(["--quick"] if self.options.quick else [])])
        except MeasurementError as error:
            self.failures[label] = str(error)
            return
        for metric, value in json.loads(line).items():
            self._add(metric, key, value)

    def _snippet(self, number: int, scenario: str, peer: str, code: str) -> None:
        measured = {entry.key for entry in self.entries} | {"imports"}
        if peer.removesuffix("_used") not in measured:
            return
        self._say(number, f"{LABELS[peer]}: {scenario}")
        try:
            line = self.runner.run(["-c", code.replace("{workers}", str(self.options.workers))])
        except MeasurementError as error:
            self.failures[f"{LABELS[peer]}, {scenario}"] = str(error)
            return
        self._add(METRIC_OF[scenario], peer, float(line))

    def _add(self, metric: str, peer: str, value: float) -> None:
        self.samples.setdefault((metric, peer), []).append(value)

    def _say(self, number: int, what: str) -> None:
        print(f"[{number + 1}/{self.options.repeat}] {what}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--only",
        type=_names(SCENARIOS),
        default=list(SCENARIOS),
        help=f"scenarios, separated by commas: {', '.join(SCENARIOS)}",
    )
    parser.add_argument(
        "--peers",
        type=_names(BY_KEY),
        default=list(BY_KEY),
        help=f"peers, separated by commas: {', '.join(BY_KEY)}",
    )
    parser.add_argument("--repeat", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--workers", type=int, default=2, help="processes a peer (default 2)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: does it run?")
    parser.add_argument("--json", type=Path, help="also write every figure to this file")
    parser.add_argument(
        "--check", action="store_true", help="exit 1 unless everything ran and met its target"
    )
    return parser


def _names(known: Collection[str]) -> Callable[[str], list[str]]:
    def split(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
        return names

    return split


if __name__ == "__main__":
    sys.exit(main())
