"""Whole decode steps of Hugging Face models under plans of their fronts, predicted and measured.

    python -m tests.benchmarks.whole_models [--quick] [--models NAME ...] [--rounds N]

Four models with random weights (OLMoE-, Mixtral-, Qwen3-MoE- and DeepSeek-like; d = 256) are
recorded and measured as `measure_model` does. Deployments on one device are drawn at random; plans
spread along the front of tokens per second, memory and lost gate mass are applied to the model and
timed, in turns with the measurement. Process time, one thread.
"""

from __future__ import annotations

import inspect
import json
import time
from pathlib import Path

import numpy as np
import torch

from moe_costmodel import DeploymentModel, GateRule, Hardware, LatencyModel
from moe_costmodel.latency.measure_rest import measured_by
from moe_costmodel.latency.model_timer import ModelTimer
from tests.benchmarks import hf_models, tables
from tests.benchmarks.moe_verify import POLICIES

RESULTS = Path(__file__).parent / "results" / "whole_models.json"
BATCHES = (1, 2, 4, 8, 16, 32)
CONTEXT = 96
STEPS = 10
N_DRAWN = 400


class Case:
    """Decode steps of an applied plan."""

    def __init__(self, model, decision, plan, tokens):
        self.model, self.decision, self.plan, self.took = model, decision, plan, []
        self.tokens = tokens[: plan.batch_size]
        self.applied = None

    def turn(self):
        from transformers import DynamicCache

        took = []
        # transformers 5 renamed the parameter in one of its minor versions.
        known = inspect.signature(type(self.model).forward).parameters
        name = "cache" if "cache" in known else "past_key_values"
        with self.plan.apply(self.model):
            cache = DynamicCache(config=self.model.config)
            options = {name: cache, "use_cache": True}
            self.model(self.tokens[:, :CONTEXT], **options)
            for step in range(STEPS):
                column = self.tokens[:, CONTEXT + step : CONTEXT + step + 1]
                started = time.process_time()
                self.model(column, **options)
                took.append(time.process_time() - started)
        self.took.append(took[2:])

    def seconds(self):
        return float(np.median(np.array(self.took), axis=0).mean())


def drawn_front(model, random):
    """Draw deployments; return those that no other of their batch size dominates."""
    n_local, k, designs, values = model.shape.n_experts, model.shape.k, [], []
    for _ in range(N_DRAWN):
        gates, capacities = None, None
        if random.random() < 0.6:
            kind = random.choice(["top-p", "skip", "top-k"])
            draw = {
                "top-p": lambda: round(random.uniform(0.4, 0.95), 2),
                "skip": lambda: round(random.uniform(0.1, 0.7), 2),
                "top-k": lambda: int(random.integers(1, k + 1)),
            }[str(kind)]
            gates = [GateRule(str(kind), draw()) for _ in range(model.n_layers)]
        if random.random() < 0.5:
            middle = random.integers(max(1, n_local // 4), n_local + 1)
            capacities = np.clip(middle + random.integers(-2, 3, model.n_layers), 1, n_local)
        decision = model.decision(
            batch_size=int(random.choice(BATCHES)), gates=gates, capacities=capacities,
            policy=str(random.choice(POLICIES)),
        )  # fmt: skip
        found = model.evaluate(decision)
        designs.append(decision)
        values.append((-found["tokens_per_s"], found["memory_bytes"], found["quality_loss"]))
    f, size = np.array(values), np.array([design.batch_size for design in designs])
    dominated = [
        ((f <= row).all(axis=1) & (f < row).any(axis=1) & (size == of_row)).any()
        for row, of_row in zip(f, size, strict=True)
    ]
    kept = np.flatnonzero(~np.array(dominated))
    chosen = [designs[i] for i in kept[np.lexsort((f[kept, 0], size[kept]))]]
    return list({str(design): design for design in chosen}.values())


def spread(designs, n):
    """Return n designs, at least a third of them gated, buffered, and neither."""
    groups = [
        [d for d in designs if d.has_thresholds and not d.is_buffered],
        [d for d in designs if d.is_buffered],
        list(
            {
                d.batch_size: d for d in designs if not d.has_thresholds and not d.is_buffered
            }.values()
        ),
    ]
    chosen = []
    for group in groups:
        for i in np.unique(np.linspace(0, len(group) - 1, n // 3).round().astype(int)):
            if group:
                chosen.append(group[i])
    return chosen


def run(name, rounds, n_plans):
    """Return rows of one model: batch, gated, buffered, predicted and measured seconds."""
    model = hf_models.build(name)
    tokens = hf_models.tokens_of(max(BATCHES), CONTEXT + STEPS)
    trace = hf_models.trace_of(model, tokens)
    hardware, random = Hardware.here(threads=1), np.random.default_rng(1)
    timer = ModelTimer(
        model, batch_sizes=BATCHES, contexts=(16, CONTEXT, 256), prompts=(), policies=POLICIES
    )

    def deployment():
        found = measured_by(timer, hardware, [])
        latency = LatencyModel.fit(found.measurements)
        return DeploymentModel(
            trace, found.measurements.hardware, latency, shape=found.shape, rest=found.rest,
            context=CONTEXT + STEPS / 2, name=name,
        )  # fmt: skip

    for number in range(3):
        timer.turn(keep=number > 0)
    first = deployment()
    plain = [first.decision(batch_size=b) for b in BATCHES]
    cases = [
        Case(model, d, first.plan(d), tokens)
        for d in spread(drawn_front(first, random) + plain, n_plans)
    ]
    for case in cases:
        case.turn()
        case.took.clear()
    for _ in range(rounds):
        timer.turn()
        for i in random.permutation(len(cases)):
            cases[i].turn()
    last = deployment()
    print(last.latency.report)
    rows = []
    for case in cases:
        p = last.predict(case.decision)["step_mean_s"]
        d = case.decision
        rows.append([d.batch_size, d.has_thresholds, d.is_buffered, p.value, case.seconds(),
                     p.low <= case.seconds() <= p.high])  # fmt: skip
        print(
            f"{name:<9} B={d.batch_size:<3} {'gated' if d.has_thresholds else '':<6}"
            f"{'buffered' if d.is_buffered else '':<9} {1e3 * p.value:>8.2f} ms "
            f"{1e3 * case.seconds():>8.2f} ms {p.value / case.seconds() - 1:>+7.1%}",
            flush=True,
        )
    return rows


def main():
    parser = tables.script_parser(__doc__)
    parser.add_argument("--models", nargs="+", default=list(hf_models.SETTINGS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--plans", type=int, default=12, help="plans of each model")
    parser.add_argument("--again", action="store_true", help="do not use the stored results")
    parser.add_argument("--quick", action="store_true", help="one model, few repeats")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.models, arguments.rounds, arguments.plans = ["mixtral"], 2, 6
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    print(tables.machine("torch", "transformers"))
    stored = {}
    if RESULTS.exists() and not arguments.quick:
        stored = json.loads(RESULTS.read_text(encoding="utf-8"))["models"]
    for name in arguments.models:
        if name not in stored or arguments.again:
            stored[name] = run(name, arguments.rounds, arguments.plans)
            if not arguments.quick:
                RESULTS.parent.mkdir(exist_ok=True)
                content = {"machine": tables.machine("torch", "transformers"), "models": stored}
                RESULTS.write_text(json.dumps(content) + "\n", encoding="utf-8")
    report(stored)


def report(stored):
    rows = np.array([row for rows in stored.values() for row in rows], dtype=float)
    error = rows[:, 3] / rows[:, 4] - 1
    for name, own in stored.items():
        of_model = np.array([row[3] / row[4] - 1 for row in own])
        print(
            f"{name:<9} {len(own):>3} plans: median error {np.median(abs(of_model)):.1%}, "
            f"largest {abs(of_model).max():.1%}"
        )
    gated = rows[:, 1] > 0
    bias = np.median(error[gated]) - np.median(error[~gated]) if gated.any() else 0.0
    print(f"inside their interval: {rows[:, 5].mean():.0%}")
    print(f"bar: decode, median error in %, {100 * np.median(abs(error)):.1f}, under 8")
    print(f"bar: decode, largest error in %, {100 * abs(error).max():.1f}, under 20")
    print(f"bar: decode, bias of gated plans in points, {100 * bias:+.1f}, within 5")


if __name__ == "__main__":
    main()
