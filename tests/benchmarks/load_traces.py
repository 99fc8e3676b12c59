"""Steps drawn from loads against those of tokens: the busiest of eight devices' share of a step.

MOELA_DATA=... python -m tests.benchmarks.load_traces

Traces with the choices of each token are collapsed to loads: one window, or the steps of a server
that decodes 16 sequences at independent positions. Steps of 8 and 64 sequences are drawn from
these, and compared with steps of the tokens themselves (other draws of them). Two published windows
of DeepSeek-V3 are left out in turn, to see whether the intervals of plans on the other windows hold
there. The steps of sequences that all begin at once, whose first tokens are alike, are a warning.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import product

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
from tests.benchmarks import harness
from tests.benchmarks.moe_parts import routing

BATCH_SIZES = (8, 64)
N_DEVICES = 8
RECORDED = 16
TRUE_STEPS = 512
NAMES = ("avg_max_load", "p99_max_load")


def model_of(traces, n_devices, k):
    """Return a model whose loads count; its times are those of the packaged example's layers."""
    return DeploymentModel(
        traces,
        measured.example_hardware(n_devices),
        measured.example_latency(),
        shape=LayerShape(n_experts=traces[0].n_experts, k=k, d_model=128, d_ffn=40, gated=True),
    )


def steps_of(trace, batch_size, seed):
    """Return the loads of steps whose tokens are drawn from the trace."""
    rng = np.random.default_rng(seed)
    tokens = sample_tokens(trace, batch_size, n_steps=TRUE_STEPS, random_state=rng)
    return tokens.loads(batch_size)


def busiest(trace, placement, loads, batch_size):
    """Return the busiest device's share of each step: its mean and 99th percentile by layer."""
    shares = placement.device_loads(loads).max(axis=2) / (trace.k * batch_size)
    high = int(np.ceil(0.99 * len(shares))) - 1
    return np.stack((shares.mean(axis=0), np.partition(shares, high, axis=0)[high]), axis=1)


def of_tokens(trace, errors, hits):
    """Compare drawn steps with steps of tokens; add errors and hits by kind of loads."""
    collapsed = {
        kind: RoutingTrace.from_counts(loads, source=trace.source)
        for kind, loads in (
            ("one window", trace.loads()),
            (f"steps of {RECORDED}", steps_of(trace, RECORDED, 0)),
        )
    }
    plain = contiguous(trace.n_layers, trace.n_experts, N_DEVICES)
    placements = plain, greedy(trace.loads(RECORDED), N_DEVICES)
    for (kind, loads), placement, size in product(collapsed.items(), placements, BATCH_SIZES):
        true = busiest(trace, placement, steps_of(trace, size, [1, size]), size)
        model = model_of([loads], N_DEVICES, trace.k)
        decision = model.decision(placement=placement, batch_size=size)
        drawn = np.array([layer.counted[:2, 0] for layer in model.evaluate(decision).layers])
        errors[kind].append(np.abs(drawn / true - 1))
        predicted = model.predict(decision)
        for name, value in zip(NAMES, true.mean(axis=0), strict=True):
            hits[kind].append(predicted[name].low <= value <= predicted[name].high)
    together = busiest(trace, plain, trace.loads(32), 32).mean(axis=0)
    for kind, loads in collapsed.items():
        model = model_of([loads], N_DEVICES, trace.k)
        found = model.evaluate(model.decision(placement=plain, batch_size=32))
        words = (
            f"{name} {found[name] / t - 1:+.1%}" for name, t in zip(NAMES, together, strict=True)
        )
        print(f"{trace.source}, 32 sequences that begin together, {kind}: {', '.join(words)}")


def left_out():
    """Return whether plans on all published windows but one hold on the last."""
    paths = sorted((harness.data_folder() / "loads/deepseek-v3").glob("*.json"))
    # Without the dense layers.
    every = [RoutingTrace.from_counts(RoutingTrace.load(path).loads()[:, 3:]) for path in paths]
    held, n = [], 32
    for other in every[:2]:
        rest = [window for window in every if window is not other]
        shares = np.concatenate([window.shares()[None] for window in rest])
        packed = greedy(shares, n), replicate_and_pack(shares, n, n_replicas=32)
        model = model_of(rest, n, 8)
        for placement in (contiguous(58, 256, n), *packed):
            decision = model.decision(placement=placement, batch_size=64)
            predicted, there = model.predict(decision), model.on(other).evaluate(decision)
            for name in NAMES:
                held.append(predicted[name].low <= there[name] <= predicted[name].high)
    return held


def main() -> None:
    harness.script_parser(__doc__).parse_args()
    errors, hits = defaultdict(list), defaultdict(list)
    for trace in (RoutingTrace.example("code"), routing("intent")):
        of_tokens(trace, errors, hits)
    for kind, found in errors.items():
        mean, p99 = np.concatenate(found).T
        print(f"{kind}: {len(mean)} layers and cases")
        harness.bar(f"{kind}, mean busiest share, median error", f"{np.median(mean):.1%}", "3 %")
        what = f"{kind}, p99 of the busiest share"
        harness.bar(f"{what}, median error", f"{np.median(p99):.1%}", "5 %")
        harness.bar(f"{what} within 10 %", f"{np.mean(p99 <= 0.1):.1%}", "90 %")
        harness.bar(f"{kind}, plans whose interval holds", f"{np.mean(hits[kind]):.1%}", "90 %")
    harness.bar("window left out, plans whose interval holds", f"{np.mean(left_out()):.1%}", "80 %")


if __name__ == "__main__":
    main()
