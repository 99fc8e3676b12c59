"""Steps drawn from loads against those of tokens: the busiest device's share of a step.

MOELA_DATA=... python -m tests.benchmarks.load_traces [--quick]

Traces with the choices of each token are collapsed to loads: one window, or the steps of a server
that decodes 16 sequences at independent positions. Steps of other sizes are drawn from these, and
compared with steps of the tokens themselves (other draws of them). Another part leaves one
published window of DeepSeek-V3 out, and asks whether the intervals of plans on the other windows
hold there. The last one is a warning: the steps of sequences that all begin at once, whose first
tokens are alike.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from pathlib import Path

import numpy as np

from moe_costmodel import (
    DeploymentModel,
    LayerShape,
    RoutingTrace,
    contiguous,
    greedy,
    replicate_and_pack,
    sample_tokens,
)
from moe_costmodel.example import measured

BATCH_SIZES = (8, 32, 128, 256)
N_DEVICES = (4, 16)
RECORDED = 16
TRUE_STEPS = 512
NAMES = ("avg_max_load", "p99_max_load")


def token_traces(quick: bool):
    """Yield traces with tokens: the packaged ones, and those of DeepSeek-V2-Lite."""
    folder = Path(os.environ["MOELA_DATA"]) / "routing"
    for domain in ("code",) if quick else ("code", "prose"):
        yield RoutingTrace.example(domain)
    for domain in ("intent",) if quick else ("intent", "translation"):
        yield RoutingTrace.load(folder / f"deepseek-v2-lite-{domain}.npz")


def model_of(traces, n_devices: int, k: int) -> DeploymentModel:
    """Return a model whose loads count; its times are those of the packaged example's layers."""
    first = traces[0]
    return DeploymentModel(
        traces,
        measured.example_hardware(n_devices),
        measured.example_latency(),
        shape=LayerShape(n_experts=first.n_experts, k=k, d_model=128, d_ffn=40, gated=True),
    )


def true_shares(trace, placement, batch_size: int, seed: int):
    """Return the busiest device's share of steps of the tokens, (n_steps, n_layers)."""
    rng = np.random.default_rng([seed, batch_size])
    tokens = sample_tokens(trace, batch_size, n_steps=TRUE_STEPS, random_state=rng)
    return placement.device_loads(tokens.loads(batch_size)).max(axis=2) / (trace.k * batch_size)


def collapsed(trace):
    """Yield the loads of a trace: one window, and the steps of some sequences."""
    yield "one window", RoutingTrace.from_counts(trace.loads(), source=trace.source)
    tokens = sample_tokens(
        trace, RECORDED, n_steps=TRUE_STEPS, random_state=np.random.default_rng(0)
    )
    steps = RoutingTrace.from_counts(tokens.loads(RECORDED), source=trace.source)
    yield f"steps of {RECORDED}", steps


def placements(trace, n_devices: int):
    yield "contiguous", contiguous(trace.n_layers, trace.n_experts, n_devices)
    yield "greedy", greedy(trace.loads(RECORDED), n_devices)


def of_tokens(quick: bool):
    """Compare drawn steps with steps of tokens; return errors and hits by kind of loads."""
    errors, hits, whole = defaultdict(list), defaultdict(list), defaultdict(list)
    sizes = (8, 64) if quick else BATCH_SIZES
    for trace in token_traces(quick):
        for n_devices in (8,) if quick else N_DEVICES:
            for _, placement in placements(trace, n_devices):
                true = {b: true_shares(trace, placement, b, 1) for b in sizes}
                for kind, loads in collapsed(trace):
                    model = model_of([loads], n_devices, trace.k)
                    for b in sizes:
                        compare(model, placement, b, true[b], errors[kind], hits[kind], whole[kind])
        print(f"{trace.source}: compared")
    return errors, hits, whole


def compare(model, placement, batch_size, true, errors, hits, whole):
    decision = model.decision(placement=placement, batch_size=batch_size)
    evaluation = model.evaluate(decision)
    high = int(np.ceil(0.99 * len(true))) - 1
    percentile = np.partition(true, high, axis=0)[high]
    drawn = np.array([layer.counted[:2, 0] for layer in evaluation.layers])
    errors.append(np.abs(drawn / np.column_stack((true.mean(axis=0), percentile)) - 1))
    predicted = model.predict(decision)
    for name, value in zip(NAMES, (true.mean(), percentile.mean()), strict=True):
        found = predicted[name]
        hits.append(found.low <= value <= found.high)
        whole.append(abs(found.value / value - 1))


def beginning_together(quick: bool):
    """Print how far drawn steps are from those of sequences that all begin at once."""
    for trace in token_traces(quick):
        placement = contiguous(trace.n_layers, trace.n_experts, 8)
        loads = trace.loads(b := 32)
        true = placement.device_loads(loads).max(axis=2) / (trace.k * b)
        for kind, drawn in collapsed(trace):
            model = model_of([drawn], 8, trace.k)
            evaluation = model.evaluate(model.decision(placement=placement, batch_size=b))
            ratios = [
                evaluation[name] / value - 1
                for name, value in zip(
                    NAMES, (true.mean(), np.percentile(true, 99, axis=0).mean()), strict=True
                )
            ]
            print(
                f"{Path(trace.source).stem}, {b} sequences that begin together, {kind}: mean "
                f"{ratios[0]:+.1%}, p99 {ratios[1]:+.1%}"
            )


def windows():
    """Yield the published windows of DeepSeek-V3, without its dense layers."""
    for path in sorted((Path(os.environ["MOELA_DATA"]) / "loads/deepseek-v3").glob("*.json")):
        trace = RoutingTrace.load(path)
        yield RoutingTrace.from_counts(trace.loads()[:, 3:], source=path.stem)


def left_out(quick: bool):
    """Return whether plans on all windows but one hold on the last, and the errors."""
    every = list(windows())
    rows = []
    for i, other in enumerate(every[:2] if quick else every):
        rest = [window for j, window in enumerate(every) if j != i]
        n = 32
        shares = np.concatenate([window.shares()[None] for window in rest])
        for name, placement in (
            ("contiguous", contiguous(58, 256, n)),
            ("packed", greedy(shares, n)),
            ("32 replicas", replicate_and_pack(shares, n, n_replicas=32)),
        ):
            model = model_of(rest, n, 8)
            for b in (64,) if quick else (32, 256):
                decision = model.decision(placement=placement, batch_size=b)
                predicted = model.predict(decision)
                there = model.on(other).evaluate(decision)
                for objective in NAMES:
                    found, value = predicted[objective], there[objective]
                    inside = found.low <= value <= found.high
                    rows.append((inside, abs(found.value / value - 1)))
                print(
                    f"without {other.source}, {name}, batch {b}: avg_max_load planned "
                    f"{predicted['avg_max_load'].value:.4f}, there {there['avg_max_load']:.4f}"
                )
    return np.array(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    errors, hits, whole = of_tokens(quick)
    for kind, found in errors.items():
        mean, p99 = np.concatenate(found).T
        print(
            f"{kind}: {len(mean)} layers and cases; error of the mean, median "
            f"{np.median(mean):.1%}, 95th percentile {np.percentile(mean, 95):.1%}; of the 99th "
            f"percentile of steps, median {np.median(p99):.1%}, 90th {np.percentile(p99, 90):.1%}, "
            f"95th {np.percentile(p99, 95):.1%}; mean of all layers, worst {max(whole[kind]):.1%}"
        )
    beginning_together(quick)
    rows = left_out(quick)
    for kind in errors:
        mean, p99 = np.concatenate(errors[kind]).T
        print(f"bar: {kind}, mean busiest share, median error, {np.median(mean):.1%}, 3 %")
        print(f"bar: {kind}, p99 of the busiest share, median error, {np.median(p99):.1%}, 5 %")
        within = np.mean(p99 <= 0.1)
        print(f"bar: {kind}, p99 of the busiest share within 10 %, {within:.1%}, 90 %")
        print(f"bar: {kind}, plans whose interval holds, {np.mean(hits[kind]):.1%}, 90 %")
    print(f"bar: window left out, plans whose interval holds, {rows[:, 0].mean():.1%}, 80 %")


if __name__ == "__main__":
    main()
