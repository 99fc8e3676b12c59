"""Whole decode steps of Hugging Face models under plans of their fronts, predicted and measured.

    python -m tests.benchmarks.whole_models [--quick] [--models NAME ...] [--rounds N]

Four models with random weights (OLMoE-, Mixtral-, Qwen3-MoE- and DeepSeek-like; d = 256) are
recorded and measured as `measure_model` does. Deployments on one device are drawn at random. A
quarter of the plans are gated, a quarter buffered, a quarter both and a quarter neither, no two
alike, all on the front of tokens per second, memory and lost gate mass of their batch size. They
are applied to the model and timed, in turns with the measurement. Process time, one thread.
Measurements are kept in ``tests/benchmarks/results/measured``, and predictions computed from them.
"""

from __future__ import annotations

import itertools
import time
from functools import partial

import numpy as np

from moe_costmodel import GateRule, Hardware
from moe_costmodel.latency.steps.measure_rest import measured_by
from moe_costmodel.latency.steps.model_timer import ModelTimer
from tests.benchmarks import harness, hf_models, measured_models

SCRIPT = "whole_models"
BATCHES = (1, 2, 4, 8, 16, 32)
POLICIES = ("paper", "lfu", "inactive-lfu")
CONTEXT = 96
STEPS, WARM = 16, 4  # decode steps of a turn, and how many of them fill caches and buffers
N_DRAWN = 400
KINDS = ("neither", "gated", "buffered", "both")


def seconds_of(model, plan, begin):
    """Return the seconds of each decode step of an applied plan."""
    took, step = [], begin()
    with plan.apply(model) as applied:
        for layer in applied.layers:
            for buffer in layer.buffers:
                # New memory costs time when it is first touched, which happens once in a run.
                buffer.fast.up.zero_()
                buffer.fast.down.zero_()
        for t in range(CONTEXT, CONTEXT + STEPS):
            started = time.process_time()
            step(t)
            took.append(time.process_time() - started)
    return took[WARM:]


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


def measure(name, rounds, quick):
    """Time plans and the model in turns; return measurements, and rows of measured seconds."""
    model, random = hf_models.build(name), np.random.default_rng(1)
    tokens = hf_models.tokens_of(max(BATCHES), CONTEXT + STEPS)
    timer = ModelTimer(
        model, batch_sizes=BATCHES, contexts=(16, CONTEXT, 256), prompts=(),
        policies=POLICIES, trace=hf_models.trace_of(model, tokens, slice(CONTEXT)),
    )  # fmt: skip
    for number in range(3):
        timer.turn(keep=number > 0)
    hardware = Hardware.here(threads=1)
    first = deployment_of(name, measured_by(timer, hardware, []).measurements, model)
    plain = [first.decision(batch_size=b) for b in BATCHES]
    chosen = distinct(drawn_fronts(first, random) + plain, 8 if quick else 16, random)
    begin = {size: hf_models.decoding(model, tokens[:size], CONTEXT) for size in BATCHES}
    cases = [
        partial(seconds_of, model, first.plan(decision), begin[decision.batch_size])
        for decision in chosen
    ]
    took = measured_models.in_turns(timer, cases, rounds, random)
    seconds = measured_models.at_usual_speed(timer, took).mean(axis=1)
    print("speeds of the turns:", timer.speeds.round(2))
    rows = [
        described(decision) | {"measured": float(one)}
        for decision, one in zip(chosen, seconds, strict=True)
    ]
    return measured_by(timer, hardware, []).measurements, rows


def deployment_of(name, measurements, model):
    """Return the model of a deployment that decodes the steps that plans are timed in."""
    tokens = hf_models.tokens_of(max(BATCHES), CONTEXT + STEPS)
    trace = hf_models.trace_of(model, tokens, slice(CONTEXT, None))
    return measured_models.fitted(name, measurements)(trace, context=CONTEXT + STEPS / 2)


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


def predicted(name, measurements, rows):
    """Return rows with the predicted seconds and the bounds of their interval."""
    deployment, out = deployment_of(name, measurements, hf_models.build(name)), []
    for row in rows:
        found = deployment.evaluate(decision_of(deployment, row))
        p = found.predicted("step_mean_s")
        # The steps that were timed: those of the first sequences, once the buffers are full.
        value = float(found.step_seconds[WARM:STEPS].mean())
        low, high = (value * bound / p.value for bound in (p.low, p.high))
        out.append(row | {"predicted": value, "low": low, "high": high})
    return out


def words_of(row):
    kinds = ("gated" if row["gates"] else "", "buffered" if row["buffers"] else "")
    return f"B={row['batch']:<3} {kinds[0]:<6}{kinds[1]}"


def main():
    rows = measured_models.run(__doc__, SCRIPT, measure, predicted, words_of, rounds=13)
    measured_models.report("decode", rows, most=(8, 20))
    signed = {True: [], False: []}
    for row in itertools.chain(*rows.values()):
        signed[row["gates"] is not None].append(row["predicted"] / row["measured"] - 1)
    bias = np.median(signed[True]) - np.median(signed[False])
    harness.bar("decode, bias of gated plans in points", f"{100 * bias:+.1f}", "within 5")


if __name__ == "__main__":
    main()
