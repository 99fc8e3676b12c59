"""Prompts of 64 to 2,048 tokens on Hugging Face models under plans, predicted and measured.

    python -m tests.benchmarks.prefill [--quick] [--models NAME ...] [--rounds N]

The models are those of `tests.benchmarks.whole_models`, measured as `measure_model` does with
prompts of 64, 256, 1,024 and 2,048 tokens. Prompts of these and other lengths are predicted,
without thresholds and with top-p 0.6, and timed in turns with the measurement. Process
time, one thread.
"""

from __future__ import annotations

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
    Plan,
    RestOfModel,
    contiguous,
)
from moe_costmodel.latency.steps.measure_rest import measured_by
from moe_costmodel.latency.steps.model_timer import ModelTimer
from tests.benchmarks import harness, hf_models

RESULTS = Path(__file__).parent / "results" / "prefill.json"
MEASURED = (64, 256, 1024, 2048)
LENGTHS = (64, 96, 160, 384, 640, 1536, 2048)
GATES = {"all": None, "top-p .6": GateRule("top-p", 0.6)}


def traces_of(model, lengths):
    """Return the routing of the prompts of each length."""
    return {n: hf_models.trace_of(model, hf_models.tokens_of(1, n, seed=n)) for n in lengths}


def run(name, rounds, measured, lengths):
    """Time prompts and the model in turns; return rows of measured seconds, and measurements."""
    model = hf_models.build(name)
    random = np.random.default_rng(1)
    timer = ModelTimer(model, batch_sizes=(), contexts=(), prompts=measured)
    layers = tuple(int(i) for i in traces_of(model, lengths[:1])[lengths[0]].layers)
    cases = []
    for length in lengths:
        for gate in GATES:
            plan = Plan(
                model=name, shape=timer.shape, mode="prefill", batch_size=length,
                placement=contiguous(len(layers), timer.shape.n_experts, n_devices=1),
                gates=(GATES[gate],) * len(layers), layers=layers,
            )  # fmt: skip
            cases.append((length, gate, plan, hf_models.tokens_of(1, length, seed=length), []))
    for number in range(rounds + 1):
        timer.turn(keep=number > 0)
        for i in random.permutation(len(cases)):
            _, _, plan, tokens, took = cases[i]
            with plan.apply(model):
                started = time.process_time()
                model(tokens, use_cache=True)
                if number:
                    took.append(time.process_time() - started)
    timer.turn()
    # Prompts run between two turns of the timer, so at the mean of their speeds.
    speeds = np.sqrt(timer.speeds[:-1] * timer.speeds[1:])
    rows = [
        {"tokens": length, "gate": gate, "measured": float(np.median(np.array(took) / speeds))}
        for length, gate, _, _, took in cases
    ]
    return rows, measured_by(timer, Hardware.here(threads=1), []).measurements


def predicted(name, model, measurements, rows):
    """Return rows with the predicted seconds and the bounds of their interval."""
    latency, out = LatencyModel.fit(measurements), []
    print(latency.report)
    shape = next(measurements.of("layer")).shape
    rest = RestOfModel.fit(measurements, d_model=shape.d_model, n_layers=1)
    traces = traces_of(model, sorted({row["tokens"] for row in rows}))
    for row in rows:
        deployment = DeploymentModel(
            traces[row["tokens"]], measurements.hardware, latency, shape=shape, rest=rest,
            mode="prefill", name=name,
        )  # fmt: skip
        decision = deployment.decision(batch_size=row["tokens"], gates=GATES[row["gate"]])
        p = deployment.evaluate(decision).predicted("step_mean_s")
        out.append(row | {"predicted": p.value, "low": p.low, "high": p.high})
        print(
            f"{name:<9} {row['tokens']:>5} tokens {row['gate']:<9}{1e3 * p.value:>9.1f} ms "
            f"{1e3 * row['measured']:>9.1f} ms {p.value / row['measured'] - 1:>+7.1%}  "
            f"[{p.low / p.value - 1:+.1%}, {p.high / p.value - 1:+.1%}]",
            flush=True,
        )
    return out


def main():
    parser = harness.script_parser(__doc__)
    parser.add_argument("--models", nargs="+", default=list(hf_models.SETTINGS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--again", action="store_true", help="do not use the stored results")
    parser.add_argument("--quick", action="store_true", help="one model, prompts up to 512")
    parser.add_argument("--kept", type=Path, help="folder of --keep: predict again from it")
    parser.add_argument("--keep", type=Path, help="folder for measurements, to predict again from")
    arguments = parser.parse_args()
    measured, lengths = MEASURED, LENGTHS
    if arguments.quick:
        arguments.models, arguments.rounds = ["mixtral"], 3
        measured, lengths = (64, 192, 512), (96, 256, 512)
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    print(harness.machine("torch", "transformers"))
    stored = {}
    if RESULTS.exists() and not arguments.quick:
        stored = json.loads(RESULTS.read_text(encoding="utf-8"))["models"]
    for name in arguments.models:
        if arguments.kept:
            found, rows = hf_models.kept(arguments.kept, f"{name}_prefill")
            stored[name] = predicted(name, hf_models.build(name), found, rows)
            save(stored)
        elif name not in stored or arguments.again:
            rows, found = run(name, arguments.rounds, measured, lengths)
            if arguments.keep:
                hf_models.keep(arguments.keep, f"{name}_prefill", found, rows)
            stored[name] = predicted(name, hf_models.build(name), found, rows)
            if not arguments.quick:
                save(stored)
    report(stored)


def save(stored):
    content = {"machine": harness.machine("torch", "transformers"), "models": stored}
    RESULTS.write_text(json.dumps(content) + "\n", encoding="utf-8")


def report(stored):
    error, held = {}, {}
    for name, rows in stored.items():
        error[name] = np.array([abs(row["predicted"] / row["measured"] - 1) for row in rows])
        held[name] = [row["low"] <= row["measured"] <= row["high"] for row in rows]
        print(
            f"{name:<9} {len(rows):>3} prompts: median error {np.median(error[name]):.1%}, "
            f"largest {error[name].max():.1%}"
        )
    every = np.concatenate(list(error.values()))
    print(f"bar: prefill, median error in %, {100 * np.median(every):.1f}, under 10")
    print(f"bar: prefill, largest error in %, {100 * every.max():.1f}, under 25")
    hf_models.report_intervals("prefill", held)


if __name__ == "__main__":
    main()
