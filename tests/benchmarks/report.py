"""The tables: figures in, text out."""

from __future__ import annotations

from statistics import median

from tests.benchmarks.catalogue import PEERS
from tests.benchmarks.metrics import METRICS, TARGETS, Metric, Samples

LABELS = {entry.key: entry.label for entry in PEERS} | {
    "nbqueue_used": "nbqueue, task and connect touched",
    "imports": "import celery, redis",
}
SIZES = {entry.key: entry.noops for entry in PEERS}
WIDTH = max(map(len, LABELS.values())) + 2


def render(samples: Samples, failures: dict[str, str], absent: list[str], *, quick: bool) -> str:
    """Everything there is to say about a run, as text."""
    lines = ["--quick: a tenth of every n; no figure here is to be quoted", ""] if quick else []
    lines += [line for metric in METRICS for line in _table(metric, samples, quick=quick)]
    lines += ["what each keeps of an item"]
    lines += [f"  {entry.label:<{WIDTH}}{entry.records}" for entry in PEERS]
    if absent:
        lines += ["", f"not installed: {', '.join(LABELS[key] for key in absent)}"]
    lines += [f"failed: {what}: {why}" for what, why in failures.items()]
    verdict = (
        "targets: not judged, as --quick measures something else" if quick else summary(samples)
    )
    return "\n".join([*lines, "", verdict])


def summary(samples: Samples) -> str:
    """One line: how many of the targets are met, and which are not."""
    verdicts = [(target, target.met(samples)) for target in TARGETS]
    short = [f"{t.metric} / {LABELS[t.peer]}" for t, met in verdicts if met is False]
    missing = sum(met is None for _, met in verdicts)
    met_count = sum(met is True for _, met in verdicts)
    text = f"targets: {met_count} met, {len(short)} short, {missing} not measured"
    return f"{text}; short: {', '.join(short)}" if short else text


def _table(metric: Metric, samples: Samples, *, quick: bool) -> list[str]:
    rows = [peer for key, peer in samples if key == metric.key]
    if not rows:
        return []
    rounds = max(len(samples[metric.key, peer]) for peer in rows)
    size = "n" if metric.key == "throughput" else ""
    lines = [
        f"{metric.title} ({metric.unit}, median of {rounds})",
        f"  {'':<{WIDTH}}{size:>9}{metric.unit:>12}  {'lowest - highest':<21}nbqueue/peer  target",
    ]
    ordered = [key for key in LABELS if key in rows]
    return [*lines, *(_row(metric, peer, samples, quick=quick) for peer in ordered), ""]


def _row(metric: Metric, peer: str, samples: Samples, *, quick: bool) -> str:
    figures = samples[metric.key, peer]
    shown = [f"{figure:,.{metric.decimals}f}" for figure in (min(figures), max(figures))]
    ours = samples.get((metric.key, "nbqueue"))
    ratio = f"{median(ours) / median(figures):,.2f}x" if ours and peer != "nbqueue" else ""
    size = f"{SIZES[peer] // (10 if quick else 1):,}" if metric.key == "throughput" else ""
    return (
        f"  {LABELS[peer]:<{WIDTH}}{size:>9}{median(figures):>12,.{metric.decimals}f}"
        f"  {' - '.join(shown):<21}{ratio:>12}  {_verdict(metric, peer, samples, quick=quick)}"
    ).rstrip()


def _verdict(metric: Metric, peer: str, samples: Samples, *, quick: bool) -> str:
    for target in TARGETS:
        if (target.metric, target.peer) != (metric.key, peer):
            continue
        if quick:
            return target.text
        word = {True: "met", False: "SHORT", None: "not measured"}[target.met(samples)]
        reached = target.reached(samples)
        # A ratio stands in its own column already, and a value too; a difference does not.
        extra = f" ({reached:+.3f})" if target.relation == "difference" and reached else ""
        return f"{target.text} {word}{extra}"
    return ""
