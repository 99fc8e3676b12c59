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

from moe_costmodel import DeploymentModel, GateRule, Hardware, LatencyModel, Plan, contiguous
from moe_costmodel.latency.measure_rest import measured_by
from moe_costmodel.latency.model_timer import ModelTimer
from tests.benchmarks import hf_models, tables

RESULTS = Path(__file__).parent / "results" / "prefill.json"
MEASURED = (64, 256, 1024, 2048)
LENGTHS = (64, 96, 160, 384, 640, 1536, 2048)
GATES = {"all": None, "top-p .6": GateRule("top-p", 0.6)}


def run(name, rounds, measured, lengths):
    """Return rows of one model: tokens, gated, predicted and measured seconds, inside."""
    model = hf_models.build(name)
    hardware, random = Hardware.here(threads=1), np.random.default_rng(1)
    timer = ModelTimer(model, batch_sizes=(), contexts=(), prompts=measured)
    traces = {n: hf_models.trace_of(model, hf_models.tokens_of(2, n, seed=n)) for n in lengths}
    cases = []
    for length in lengths:
        for gate in GATES.values():
            n_layers = traces[length].n_layers
            decision = Plan(
                model=name, shape=timer.shape, mode="prefill", batch_size=length,
                placement=contiguous(n_layers, timer.shape.n_experts, n_devices=1),
                gates=(gate,) * n_layers, layers=tuple(int(i) for i in traces[length].layers),
            )  # fmt: skip
            cases.append((decision, hf_models.tokens_of(1, length, seed=length), []))
    for number in range(rounds + 1):
        timer.turn(keep=number > 0)
        for i in random.permutation(len(cases)):
            decision, tokens, took = cases[i]
            with decision.apply(model):
                started = time.process_time()
                model(tokens, use_cache=True)
                if number:
                    took.append(time.process_time() - started)
    found = measured_by(timer, hardware, [])
    latency = LatencyModel.fit(found.measurements)
    print(latency.report)
    rows = []
    for decision, _, took in cases:
        deployment = DeploymentModel(
            traces[decision.batch_size], found.measurements.hardware, latency, shape=found.shape,
            rest=found.rest, mode="prefill", name=name,
        )  # fmt: skip
        p = deployment.predict(decision)["step_mean_s"]
        seconds = float(np.median(took))
        gated = decision.has_thresholds
        rows.append([decision.batch_size, gated, p.value, seconds, p.low <= seconds <= p.high])
        print(
            f"{name:<9} {decision.batch_size:>5} tokens {'gated' if gated else '':<6}"
            f"{1e3 * p.value:>9.1f} ms {1e3 * seconds:>9.1f} ms {p.value / seconds - 1:>+7.1%}",
            flush=True,
        )
    return rows


def main():
    parser = tables.script_parser(__doc__)
    parser.add_argument("--models", nargs="+", default=list(hf_models.SETTINGS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--again", action="store_true", help="do not use the stored results")
    parser.add_argument("--quick", action="store_true", help="one model, prompts up to 512")
    arguments = parser.parse_args()
    measured, lengths = MEASURED, LENGTHS
    if arguments.quick:
        arguments.models, arguments.rounds = ["mixtral"], 3
        measured, lengths = (64, 192, 512), (96, 256, 512)
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    print(tables.machine("torch", "transformers"))
    stored = {}
    if RESULTS.exists() and not arguments.quick:
        stored = json.loads(RESULTS.read_text(encoding="utf-8"))["models"]
    for name in arguments.models:
        if name not in stored or arguments.again:
            stored[name] = run(name, arguments.rounds, measured, lengths)
            if not arguments.quick:
                RESULTS.parent.mkdir(exist_ok=True)
                content = {"machine": tables.machine("torch", "transformers"), "models": stored}
                RESULTS.write_text(json.dumps(content) + "\n", encoding="utf-8")
    rows = np.array([row for rows in stored.values() for row in rows], dtype=float)
    error = rows[:, 2] / rows[:, 3] - 1
    for name, own in stored.items():
        of_model = np.array([row[2] / row[3] - 1 for row in own])
        print(
            f"{name:<9} {len(own):>3} prompts: median error {np.median(abs(of_model)):.1%}, "
            f"largest {abs(of_model).max():.1%}"
        )
    print(f"inside their interval: {rows[:, 4].mean():.0%}")
    print(f"bar: prefill, median error in %, {100 * np.median(abs(error)):.1f}, under 10")
    print(f"bar: prefill, largest error in %, {100 * abs(error).max():.1f}, under 25")


if __name__ == "__main__":
    main()
