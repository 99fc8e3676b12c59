"""Whole decode steps of the example model, predicted against measured.

    python -m tests.benchmarks.moe_whole_step [rounds]

The model runs on held-out text, with its MoE layers computed by dynamic gating or through buffers,
for several batch sizes, contexts, thresholds and buffer sizes. The prediction is the sum of its MoE
layers (a latency model fitted to stacks of layers of three shapes, with random routing) and of the
rest (measured on the model without its experts). All cases alternate, round by round, and medians
are compared, so that a slowdown of the machine affects all alike. Process time, one thread.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace

import numpy as np
import torch

from moe_costmodel import GateRule, Hardware, LatencyModel, LayerShape, RestOfModel, StepModel
from moe_costmodel.example import load_model
from moe_costmodel.example.text import corpus
from moe_costmodel.kernels import BufferedExperts, Experts, apply_rule, dynamic_gating
from moe_costmodel.latency.steps.measure_rest import without_experts
from moe_costmodel.latency.steps.model_steps import decode_step
from moe_costmodel.measure.stack import StackTimer
from tests.benchmarks import harness

SHAPE = LayerShape(n_experts=32, k=4, d_model=128, d_ffn=40, gated=True)
RULES = {"all": None, "top-p .8": GateRule("top-p", 0.8), "skip .35": GateRule("skip", 0.35)}
STEPS = 8


def gate_of(rule):
    return lambda layer, weights, ids: (weights if rule is None else apply_rule(weights, rule), ids)


def seconds_of(call):
    start = time.process_time()
    call()
    return time.process_time() - start


class Case:
    """Some steps of the model under a rule, with or without buffers."""

    def __init__(self, model, experts, tokens, filled, rule, capacity, context):
        self.model, self.experts, self.tokens, self.filled = model, experts, tokens, filled
        self.rule, self.capacity, self.context = rule, capacity, context
        self.took = []
        self.misses = None

    def run(self, gate):
        buffers = []
        for block, layer in zip(self.model.model.layers, self.experts, strict=True):
            if self.capacity is None:
                compute = lambda x, w, ids, e=layer: dynamic_gating(x, ids, w, e)  # noqa: E731
            else:
                buffers.append(BufferedExperts(layer, self.capacity))
                compute = lambda x, w, ids, b=buffers[-1]: b(x, ids, w)  # noqa: E731
            block.mlp.__dict__["compute"] = compute
        cache, took, misses = list(self.filled), [], []
        for step in range(STEPS):
            column = self.tokens[:, self.context + step : self.context + step + 1]
            before = [b.statistics.misses for b in buffers]
            took.append(seconds_of(lambda c=column: self.model(c, cache=cache, gate=gate)))
            missed = [b.statistics.misses - n for b, n in zip(buffers, before, strict=True)]
            misses.append(missed)
        for block in self.model.model.layers:
            del block.mlp.__dict__["compute"]
        self.misses = np.array(misses)[:, :, None] if buffers else None
        return took

    def turn(self):
        self.took.append(self.run(gate_of(self.rule)))

    def counts(self):
        """Run once more and count the choices that the rule keeps: (steps, layers, experts)."""
        counts = []
        plain = gate_of(self.rule)

        def gate(layer, weights, ids):
            changed, _ = plain(layer, weights, ids)
            counts.append(np.bincount(ids[changed > 0].numpy(), minlength=32))
            return changed, ids

        self.run(gate)
        return np.array(counts).reshape(STEPS, len(self.experts), 32)


def main():
    parser = harness.script_parser(__doc__)
    parser.add_argument("rounds", nargs="?", type=int, default=9)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    print(harness.machine("torch"))
    model = load_model()
    experts = [
        Experts(b.mlp.experts.gate_up_proj.detach(), b.mlp.experts.down_proj.detach(), "silu", True)
        for b in model.model.layers
    ]
    text = corpus("code", held_out=True)
    cases, rests = [], {}
    for name, rule in RULES.items():
        rests[name] = [
            (batch, context, decode_step(model, batch, context, gate=gate_of(rule)).begin(), [])
            for batch in (1, 8, 40)
            for context in (32, 128, 320)
        ]
        for batch in (1, 4, 16, 40):
            for context in (48, 256):
                starts = np.linspace(0, len(text) - context - STEPS - 1, batch).astype(int)
                rows = np.stack([text[s : s + context + STEPS] for s in starts])
                tokens = torch.from_numpy(rows.astype(np.int64))
                filled = []
                model(tokens[:, :context], cache=filled, gate=gate_of(rule))
                for capacity in (None, 16, 8):
                    case = Case(model, experts, tokens, filled, rule, capacity, context)
                    cases.append((name, batch, case))
    shapes = [SHAPE, replace(SHAPE, d_ffn=20), replace(SHAPE, d_model=64)]
    with tempfile.TemporaryDirectory() as folder:
        timer = StackTimer(
            Hardware.here(), shapes, n_layers=6, folder=folder, tokens=(1, 4, 16, 48), clock="cpu"
        )
        for number in range(rounds + 1):
            timer.turn(keep=number > 0)
            with without_experts(model):
                for points in rests.values():
                    for _, _, call, took in points:
                        took.append(min(seconds_of(call) for _ in range(2)))
            for _, _, case in cases:
                case.turn()
        measured = timer.measurements()
    latency = LatencyModel.fit(measured)
    report(cases, rests, latency, measured.hardware)


def report(cases, rests, latency, hardware):
    errors, resident = [], []
    print("rule      buffer  batch  context   predicted    measured   error   rest of it")
    for name, batch, case in cases:
        points = rests[name]
        rest = RestOfModel.from_times(
            [p[0] for p in points],
            [p[1] for p in points],
            [np.median(p[3][1:]) for p in points],
        )
        model = StepModel(latency=latency, shape=SHAPE, hardware=hardware, rest=rest)
        counts = case.counts()[:, :, None]
        context = case.context + STEPS / 2
        predicted = model.seconds(counts, case.misses, tokens=batch, context=context).mean()
        took = np.median(case.took[1:], axis=0).mean()
        errors.append(abs(predicted / took - 1))
        resident.append(case.capacity is None)
        print(
            f"{name:<9} {case.capacity or 'none':>6} {batch:>6} {case.context:>8} "
            f"{1e3 * predicted:>9.3f} ms {1e3 * took:>8.3f} ms {predicted / took - 1:>+7.1%} "
            f"{rest.seconds(batch, context) / predicted:>10.0%}"
        )
    errors, resident = np.array(errors), np.array(resident)
    print(
        f"median error of {len(errors)} kinds of step: {np.median(errors):.1%} "
        f"(resident {np.median(errors[resident]):.1%}, "
        f"buffered {np.median(errors[~resident]):.1%}), largest {errors.max():.1%}"
    )


if __name__ == "__main__":
    main()
