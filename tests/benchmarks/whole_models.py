"""Whole decode steps of Hugging Face models under plans of their fronts, predicted and measured.

    python -m tests.benchmarks.whole_models [--quick] [--models NAME ...] [--rounds N]

Four models with random weights (OLMoE-, Mixtral-, Qwen3-MoE- and DeepSeek-like; d = 256) are
recorded and measured as `measure_model` does. Deployments on one device are drawn at random. A
quarter of the plans are gated, a quarter buffered, a quarter both and a quarter neither, no two
alike, all on the front of tokens per second, memory and lost gate mass of their batch size. They
are applied to the model and timed, in turns with the measurement. Process time, one thread.
"""

from __future__ import annotations

import copy
import inspect
import json
import time
from pathlib import Path

import numpy as np
import torch

from moe_costmodel import (
    DeploymentModel,
    GateRule,
    Hardware,
    LatencyModel,
    RestOfModel,
    RoutingTrace,
)
from moe_costmodel.latency.steps.measure_rest import measured_by
from moe_costmodel.latency.steps.model_timer import ModelTimer
from tests.benchmarks import harness, hf_models

RESULTS = Path(__file__).parent / "results" / "whole_models.json"
BATCHES = (1, 2, 4, 8, 16, 32)
POLICIES = ("paper", "lfu", "inactive-lfu")
CONTEXT = 96
STEPS, WARM = 16, 4  # decode steps of a turn, and how many of them fill caches and buffers
N_DRAWN = 400
KINDS = ("neither", "gated", "buffered", "both")


class Case:
    """Decode steps of an applied plan."""

    def __init__(self, model, decision, plan, tokens):
        from transformers import DynamicCache

        self.model, self.decision, self.plan, self.took = model, decision, plan, []
        self.tokens = tokens[: plan.batch_size]
        # transformers 5 renamed the parameter in one of its minor versions.
        known = inspect.signature(type(model).forward).parameters
        self.name = "cache" if "cache" in known else "past_key_values"
        self.filled = DynamicCache(config=model.config)
        self._call(self.tokens[:, :CONTEXT], self.filled)

    def _call(self, tokens, cache):
        self.model(tokens, **{self.name: cache}, use_cache=True)

    def turn(self):
        took, cache = [], copy.deepcopy(self.filled)
        with self.plan.apply(self.model) as applied:
            for layer in applied.layers:
                for buffer in layer.buffers:
                    # New memory costs time when it is first touched, which happens once in a run.
                    buffer.fast.up.zero_()
                    buffer.fast.down.zero_()
            for step in range(STEPS):
                column = self.tokens[:, CONTEXT + step : CONTEXT + step + 1]
                started = time.process_time()
                self._call(column, cache)
                took.append(time.process_time() - started)
        self.took.append(took[WARM:])

    def seconds(self, speeds):
        """Return the time of a step at the machine's usual speed; `speeds` has those of turns."""
        return float(np.median(np.array(self.took) / speeds[:, None], axis=0).mean())


def kind_of(decision):
    """Return which of KINDS a decision is of."""
    return KINDS[int(decision.has_thresholds) + 2 * int(decision.is_buffered)]


def drawn_fronts(model, random):
    """Draw deployments; return those that no other of their batch size and kind dominates."""
    n_local, k, designs, values = model.shape.n_experts, model.shape.k, [], []
    for number in range(N_DRAWN):
        gates, capacities = None, None
        if number % 2:
            kind = random.choice(["top-p", "skip", "top-k"])
            draw = {
                "top-p": lambda: round(random.uniform(0.4, 0.95), 2),
                "skip": lambda: round(random.uniform(0.1, 0.7), 2),
                "top-k": lambda: int(random.integers(1, k + 1)),
            }[str(kind)]
            gates = [GateRule(str(kind), draw()) for _ in range(model.n_layers)]
        if number // 2 % 2:
            middle = random.integers(max(1, n_local // 4), n_local + 1)
            capacities = np.clip(middle + random.integers(-2, 3, model.n_layers), 1, n_local)
        decision = model.decision(
            batch_size=int(random.choice(BATCHES)), gates=gates, capacities=capacities,
            policy=str(random.choice(POLICIES)),
        )  # fmt: skip
        found = model.evaluate(decision)
        designs.append(decision)
        values.append((-found["tokens_per_s"], found["memory_bytes"], found["quality_loss"]))
    f, group = np.array(values), np.array([f"{d.batch_size} {kind_of(d)}" for d in designs])
    return [
        design
        for design, row, own in zip(designs, f, group, strict=True)
        if not ((f <= row).all(axis=1) & (f < row).any(axis=1) & (group == own)).any()
    ]


def distinct(designs, n, random):
    """Return n designs, as many of each kind, of batch sizes as various as can be."""
    chosen = []
    for kind in KINDS:
        own = [d for d in designs if kind_of(d) == kind]
        own = list({d.by_layer: d for d in own}.values())
        order, times = random.permutation(len(own)), dict.fromkeys(BATCHES, 0)
        places = {}
        for i in order:
            size = own[i].batch_size
            places[i], times[size] = times[size], times[size] + 1
        # Each batch size has its turn before any has the next; large ones, which serve, go first.
        order = sorted(order, key=lambda i: (places[i], -own[i].batch_size))
        chosen += [own[i] for i in order[: n // len(KINDS)]]
    return chosen


class Session:
    """A model, its timer, and the plans that are timed in turns with it."""

    def __init__(self, name):
        self.name, self.model = name, hf_models.build(name)
        self.tokens = hf_models.tokens_of(max(BATCHES), CONTEXT + STEPS)
        self.trace = trace_of(self.model, self.tokens)
        self.timer = ModelTimer(
            self.model, batch_sizes=BATCHES, contexts=(16, CONTEXT, 256), prompts=(),
            policies=POLICIES, trace=trace_of(self.model, self.tokens, before=True),
        )  # fmt: skip
        self.random = np.random.default_rng(1)
        for number in range(3):
            self.timer.turn(keep=number > 0)

    def deployment(self):
        """Return the deployment model of what was measured so far, and the measurements."""
        found = measured_by(self.timer, Hardware.here(threads=1), [])
        return deployment_of(self.name, self.trace, found.measurements, found.shape, found.rest)

    def run(self, rounds, n_plans):
        """Time plans and the model in turns; return rows of predicted and measured seconds."""
        first = self.deployment()
        plain = [first.decision(batch_size=b) for b in BATCHES]
        found = distinct(drawn_fronts(first, self.random) + plain, n_plans, self.random)
        cases = [Case(self.model, d, first.plan(d), self.tokens) for d in found]
        for case in cases:
            case.turn()
            case.took.clear()
        self.timer.turn()
        for _ in range(rounds):
            for i in self.random.permutation(len(cases)):
                cases[i].turn()
            self.timer.turn()
        # Plans run between two turns of the timer, so at the mean of their speeds.
        speeds = np.sqrt(self.timer.speeds[-rounds - 1 : -1] * self.timer.speeds[-rounds:])
        print("speeds of the turns:", self.timer.speeds.round(2))
        return [described(case.decision) | {"measured": case.seconds(speeds)} for case in cases]


def trace_of(model, tokens, before=False):
    """Return the routing of the steps that plans run, or else of the steps before these."""
    whole = hf_models.trace_of(model, tokens)
    place = np.arange(whole.n_tokens).reshape(len(tokens), -1)
    place = place[:, :CONTEXT] if before else place[:, CONTEXT:]
    return RoutingTrace(
        whole.topk_ids[place.ravel()], whole.topk_weights[place.ravel()],
        n_experts=whole.n_experts, sequence_lengths=[place.shape[1]] * len(tokens),
        layers=whole.layers, source=whole.source,
    )  # fmt: skip


def deployment_of(name, trace, measurements, shape, rest):
    latency = LatencyModel.fit(measurements)
    return DeploymentModel(
        trace, measurements.hardware, latency, shape=shape, rest=rest,
        context=CONTEXT + STEPS / 2, name=name,
    )  # fmt: skip


def described(decision):
    """Return a decision as JSON; see :func:`decision_of`."""
    gates, buffers = decision.gates, None
    if decision.is_buffered:
        buffers = [decision.policy, *decision.capacities[:, 0].tolist()]
    return {
        "batch": decision.batch_size,
        "gates": [[g.kind, g.value] for g in gates] if decision.has_thresholds else None,
        "buffers": buffers,
    }


def decision_of(model, row):
    """Return the decision that a row describes."""
    gates, buffers = row["gates"], row["buffers"] or ["paper"]
    return model.decision(
        batch_size=row["batch"], gates=gates and [GateRule(*gate) for gate in gates],
        capacities=buffers[1:] or None, policy=buffers[0],
    )  # fmt: skip


def predicted(deployment, rows):
    """Return rows with the predicted seconds and the bounds of their interval."""
    out = []
    for row in rows:
        found = deployment.evaluate(decision_of(deployment, row))
        p = found.predicted("step_mean_s")
        # The steps that were timed: those of the first sequences, once the buffers are full.
        value = float(found.step_seconds[WARM:STEPS].mean())
        low, high = (value * bound / p.value for bound in (p.low, p.high))
        out.append(row | {"predicted": value, "low": low, "high": high})
        print(
            f"{deployment.name:<9} B={row['batch']:<3} {'gated' if row['gates'] else '':<6}"
            f"{'buffered' if row['buffers'] else '':<9} {1e3 * value:>8.2f} ms "
            f"{1e3 * row['measured']:>8.2f} ms {value / row['measured'] - 1:>+7.1%}  "
            f"[{low / value - 1:+.1%}, {high / value - 1:+.1%}]",
            flush=True,
        )
    return out


def main():
    parser = harness.script_parser(__doc__)
    parser.add_argument("--models", nargs="+", default=list(hf_models.SETTINGS))
    parser.add_argument("--rounds", type=int, default=13)
    parser.add_argument("--plans", type=int, default=16, help="plans of each model")
    parser.add_argument("--again", action="store_true", help="do not use the stored results")
    parser.add_argument("--quick", action="store_true", help="one model, few repeats")
    parser.add_argument("--kept", type=Path, help="folder of --keep: predict again from it")
    parser.add_argument("--keep", type=Path, help="folder for measurements, to predict again from")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.models, arguments.rounds, arguments.plans = ["mixtral"], 2, 8
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    print(harness.machine("torch", "transformers"))
    stored = {}
    if RESULTS.exists() and not arguments.quick:
        stored = json.loads(RESULTS.read_text(encoding="utf-8"))["models"]
    for name in arguments.models:
        if arguments.kept:
            found, rows = hf_models.kept(arguments.kept, name)
            model, shape = hf_models.build(name), next(found.of("layer")).shape
            trace = trace_of(model, hf_models.tokens_of(max(BATCHES), CONTEXT + STEPS))
            rest = RestOfModel.fit(found, d_model=shape.d_model, n_layers=1)
            stored[name] = predicted(deployment_of(name, trace, found, shape, rest), rows)
            save(stored)
        elif name not in stored or arguments.again:
            session = Session(name)
            rows = session.run(arguments.rounds, arguments.plans)
            if arguments.keep:
                found = measured_by(session.timer, Hardware.here(threads=1), [])
                hf_models.keep(arguments.keep, name, found.measurements, rows)
            deployment = session.deployment()
            print(deployment.latency.report)
            stored[name] = predicted(deployment, rows)
            if not arguments.quick:
                save(stored)
    report(stored)


def save(stored):
    content = {"machine": harness.machine("torch", "transformers"), "models": stored}
    RESULTS.write_text(json.dumps(content) + "\n", encoding="utf-8")


def report(stored):
    error, signed, held = {}, {True: [], False: []}, {}
    for name, rows in stored.items():
        ratio = np.array([row["predicted"] / row["measured"] - 1 for row in rows])
        error[name] = abs(ratio)
        for row, own in zip(rows, ratio, strict=True):
            signed[row["gates"] is not None].append(own)
        inside = [row["low"] <= row["measured"] <= row["high"] for row in rows]
        held[name] = inside
        print(
            f"{name:<9} {len(rows):>3} plans: median error {np.median(error[name]):.1%}, "
            f"largest {error[name].max():.1%}, inside their 80 % interval {np.mean(inside):.0%}"
        )
    every = np.concatenate(list(error.values()))
    bias = np.median(signed[True]) - np.median(signed[False])
    print(f"bar: decode, median error in %, {100 * np.median(every):.1f}, under 8")
    print(f"bar: decode, largest error in %, {100 * every.max():.1f}, under 20")
    print(f"bar: decode, bias of gated plans in points, {100 * bias:+.1f}, within 5")
    hf_models.report_intervals("decode", held)


if __name__ == "__main__":
    main()
