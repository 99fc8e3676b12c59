"""Time that thresholds save on whole steps of the example model, predicted against measured.

    python -m tests.benchmarks.gate_savings [--quick]

The model is measured as `measure_model` does. Plans without and with top-p 0.8, top-p 0.5 and k = 1
are predicted on the packaged trace, applied to the model, and timed on held-out text, in turns with
each other and with the measurement. The saving is
1 - time with the threshold / time without. Process time, one thread.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from moe_costmodel import (
    DeploymentModel,
    GateRule,
    Hardware,
    LatencyModel,
    Plan,
    RoutingTrace,
    contiguous,
)
from moe_costmodel.example import load_model
from moe_costmodel.example.text import corpus
from moe_costmodel.latency.steps.measure_rest import measured_by
from moe_costmodel.latency.steps.model_timer import ModelTimer
from tests.benchmarks import harness

RULES = {
    "top-p .8": GateRule("top-p", 0.8),
    "top-p .5": GateRule("top-p", 0.5),
    "k = 1": GateRule("top-k", 1),
}
BATCHES = (8, 16)
CONTEXT = 128
STEPS = 12


class Case:
    """Decode steps of an applied plan on text."""

    def __init__(self, model, plan):
        self.model, self.plan, self.took = model, plan, []
        text = corpus("code", held_out=True)
        starts = np.linspace(0, len(text) - CONTEXT - STEPS - 1, plan.batch_size).astype(int)
        rows = np.stack([text[s : s + CONTEXT + STEPS] for s in starts])
        self.tokens = torch.from_numpy(rows.astype(np.int64))
        self.filled = []
        with plan.apply(model):
            model(self.tokens[:, :CONTEXT], cache=self.filled)

    def turn(self):
        cache, took = list(self.filled), []
        with self.plan.apply(self.model):
            for step in range(STEPS):
                column = self.tokens[:, CONTEXT + step : CONTEXT + step + 1]
                started = time.process_time()
                self.model(column, cache=cache)
                took.append(time.process_time() - started)
        self.took.append(took[2:])  # the first steps find cold caches

    def seconds(self):
        return float(np.median(np.array(self.took[1:]), axis=0).mean())


def main():
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="a run of under a minute")
    rounds = 7 if parser.parse_args().quick else 41
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    print(harness.machine("torch"))
    model = load_model()
    hardware = Hardware.here(threads=1)
    timer = ModelTimer(model, batch_sizes=(4, 8, 16, 32), contexts=(CONTEXT,), prompts=())
    decided = {
        (name, batch): Plan(
            model="example", shape=timer.shape, mode="decode", batch_size=batch,
            placement=contiguous(6, 32, n_devices=1), gates=(rule,) * 6,
        )
        for batch in BATCHES
        for name, rule in {"none": None, **RULES}.items()
    }  # fmt: skip
    cases = {key: Case(model, plan) for key, plan in decided.items()}
    random = np.random.default_rng(0)
    # Both alternate, since the load of a shared machine changes.
    for number in range(rounds + 1):
        timer.turn(keep=number > 0)
        for i in random.permutation(len(cases)):
            list(cases.values())[i].turn()
    found = measured_by(timer, hardware, [])
    latency = LatencyModel.fit(found.measurements)
    print(latency.report, latency.rule_cost, sep="\n")
    deployment = DeploymentModel(
        RoutingTrace.example("code"), found.measurements.hardware, latency, shape=found.shape,
        rest=found.rest, context=CONTEXT,
    )  # fmt: skip
    plans = {key: deployment.plan(plan) for key, plan in decided.items()}
    rows, worst = [["rule", "B", "saving predicted", "measured", "outside"]], 0.0
    for name, batch in decided:
        keys = (name, batch), ("none", batch)
        predicted = [plans[key].objectives["step_mean_s"].value for key in keys]
        measured = [cases[key].seconds() for key in keys]
        savings = [1 - with_rule / plain for with_rule, plain in (predicted, measured)]
        worst = max(worst, abs(savings[0] - savings[1]))
        outside = "extrapolated" if plans[name, batch].outside else ""
        rows.append([name, str(batch), *(f"{saving:.1%}" for saving in savings), outside])
    print(harness.markdown(rows))
    harness.bar("largest difference of savings in points", f"{100 * worst:.1f}", "at most 5")


if __name__ == "__main__":
    main()
