"""Prompts of 64 to 2,048 tokens on Hugging Face models under plans, predicted and measured.

    python -m tests.benchmarks.prefill [--quick] [--models NAME ...] [--rounds N]

The models are those of `tests.benchmarks.whole_models`, measured as `measure_model` does with
prompts of 64, 256, 1,024 and 2,048 tokens. Prompts of these and other lengths are predicted,
without thresholds and with top-p 0.6, and timed in turns with the measurement. Process
time, one thread. Measurements are kept in ``tests/benchmarks/results/measured``, and predictions
computed from them.
"""

from __future__ import annotations

import itertools
import time
from functools import partial

import numpy as np

from moe_costmodel import GateRule, Hardware, Plan, contiguous
from moe_costmodel.latency.steps.measure_rest import measured_by
from moe_costmodel.latency.steps.model_timer import ModelTimer
from tests.benchmarks import hf_models, measured_models

SCRIPT = "prefill"
MEASURED = (64, 256, 1024, 2048)
LENGTHS = (64, 96, 160, 384, 640, 1536, 2048)
GATES = {"all": None, "top-p .6": GateRule("top-p", 0.6)}


def traces_of(model, lengths):
    """Return the routing of the prompts of each length."""
    return {n: hf_models.trace_of(model, hf_models.tokens_of(1, n, seed=n)) for n in lengths}


def measure(name, rounds, quick):
    """Time prompts and the model in turns; return measurements, and rows of measured seconds."""
    model = hf_models.build(name)
    measured, lengths = ((64, 192, 512), (96, 256, 512)) if quick else (MEASURED, LENGTHS)
    timer = ModelTimer(model, batch_sizes=(), contexts=(), prompts=measured)
    layers = tuple(int(i) for i in traces_of(model, lengths[:1])[lengths[0]].layers)
    cases = []
    for length, rule in itertools.product(lengths, GATES.values()):
        plan = Plan(
            model=name, shape=timer.shape, mode="prefill", batch_size=length,
            placement=contiguous(len(layers), timer.shape.n_experts, n_devices=1),
            gates=(rule,) * len(layers), layers=layers,
        )  # fmt: skip
        cases.append(partial(seconds_of, model, plan))
    took = measured_models.in_turns(timer, cases, rounds, np.random.default_rng(1))
    seconds = measured_models.at_usual_speed(timer, took).tolist()
    rows = [
        {"tokens": length, "gate": gate, "measured": one}
        for (length, gate), one in zip(itertools.product(lengths, GATES), seconds, strict=True)
    ]
    return measured_by(timer, Hardware.here(threads=1), []).measurements, rows


def seconds_of(model, plan):
    """Return the seconds of a prompt under a plan."""
    tokens = hf_models.tokens_of(1, plan.batch_size, seed=plan.batch_size)
    with plan.apply(model):
        started = time.process_time()
        model(tokens, use_cache=True)
        return time.process_time() - started


def predicted(name, measurements, rows):
    """Return rows with the predicted seconds and the bounds of their interval."""
    fitted, out = measured_models.fitted(name, measurements), []
    traces = traces_of(hf_models.build(name), sorted({row["tokens"] for row in rows}))
    for row in rows:
        deployment = fitted(traces[row["tokens"]], mode="prefill")
        decision = deployment.decision(batch_size=row["tokens"], gates=GATES[row["gate"]])
        p = deployment.evaluate(decision).predicted("step_mean_s")
        out.append(row | {"predicted": p.value, "low": p.low, "high": p.high})
    return out


def words_of(row):
    return f"{row['tokens']:>5} tokens {row['gate']}"


def main():
    rows = measured_models.run(__doc__, SCRIPT, measure, predicted, words_of, rounds=5)
    measured_models.report("prefill", rows, most=(10, 25))


if __name__ == "__main__":
    main()
