"""Whole decode steps of the example model, predicted against measured.

The model runs with its MoE layers computed by dynamic gating, or through buffers, on held-out text:
batches, contexts, thresholds and buffers of several sizes. The prediction is the sum of its layers
(a latency model fitted to layers of three shapes in stacks, with routing drawn at random) and of
the rest (measured on the model without its experts). Process time, one thread.
Run: ``python tests/benchmarks/moe_whole_step.py``
"""

from __future__ import annotations

import platform
import time
from dataclasses import replace

import numpy as np
import torch

from moe_costmodel import GateRule, Hardware, LatencyModel, LayerShape, StepModel
from moe_costmodel.example import load_model
from moe_costmodel.example.text import corpus
from moe_costmodel.kernels import BufferedExperts, Experts, apply_rule, dynamic_gating
from moe_costmodel.measure_model import measure_rest
from moe_costmodel.measure_stack import measure_stack

SHAPE = LayerShape(n_experts=32, k=4, d_model=128, d_ffn=40, gated=True)
RULES = {"all": None, "top-p .8": GateRule("top-p", 0.8), "skip .35": GateRule("skip", 0.35)}
STEPS = 8


def run(model, experts, text, batch, context, rule, capacity, repeats=3):
    """Decode STEPS tokens after a context; return median seconds a step, counts and misses."""
    buffers = []
    for block, layer in zip(model.model.layers, experts, strict=True):
        if capacity is None:
            compute = lambda x, w, ids, e=layer: dynamic_gating(x, ids, w, e)  # noqa: E731
        else:
            buffer = BufferedExperts(layer, capacity)
            buffers.append(buffer)
            compute = lambda x, w, ids, b=buffer: b(x, ids, w)  # noqa: E731
        block.mlp.__dict__["compute"] = compute
    counts = np.zeros((STEPS, len(experts), 32), dtype=np.int64)
    misses = np.zeros((STEPS, len(experts), 1), dtype=np.int64)
    step = -1

    def gate(layer, weights, ids):
        changed = weights if rule is None else apply_rule(weights, rule)
        if step >= 0:
            counts[step, layer] = np.bincount(ids[changed > 0].numpy(), minlength=32)
        return changed, ids

    def timed_gate(layer, weights, ids):
        return (weights if rule is None else apply_rule(weights, rule)), ids

    starts = np.linspace(0, len(text) - context - STEPS - 1, batch).astype(int)
    rows = np.stack([text[s : s + context + STEPS] for s in starts]).astype(np.int64)
    tokens = torch.from_numpy(rows)
    filled = []
    model(tokens[:, :context], cache=filled, gate=gate)
    took = np.zeros((repeats + 1, STEPS))
    for repeat in range(repeats + 1):
        cache = list(filled)
        for buffer in buffers:
            buffer.replacement.__init__(buffer.replacement.capacity, buffer.replacement.policy)
        for step in range(STEPS):
            before = [b.statistics.misses for b in buffers]
            start = time.process_time()
            watch = gate if repeat == 0 else timed_gate
            model(tokens[:, context + step : context + step + 1], cache=cache, gate=watch)
            took[repeat, step] = time.process_time() - start
            for layer, buffer in enumerate(buffers):
                misses[step, layer, 0] = buffer.statistics.misses - before[layer]
        step = -1
    for block in model.model.layers:
        del block.mlp.__dict__["compute"]
    return np.median(took[1:], axis=0).sum(), counts, misses if buffers else None


def main():
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    print(f"{platform.machine()}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}")
    model = load_model()
    experts = [
        Experts(b.mlp.experts.gate_up_proj.detach(), b.mlp.experts.down_proj.detach(), "silu", True)
        for b in model.model.layers
    ]
    shapes = [SHAPE, replace(SHAPE, d_ffn=20), replace(SHAPE, d_model=64)]
    measured = measure_stack(
        Hardware.here(), shapes, n_layers=3, tokens=(1, 4, 16, 48), repeats=3, clock="cpu"
    )
    latency = LatencyModel.fit(measured)
    text = corpus("code", held_out=True)
    errors, parts = [], []
    print("rule      buffer  batch  context   predicted    measured   error   rest of it")
    for name, rule in RULES.items():
        options = {
            "gate": lambda layer, w, ids, r=rule: (w if r is None else apply_rule(w, r), ids)
        }
        rest = measure_rest(
            model, batches=(1, 8, 32), contexts=(32, 128, 384), clock="cpu", **options
        )
        steps = StepModel(latency=latency, shape=SHAPE, hardware=measured.hardware, rest=rest)
        for capacity in (None, 16, 8):
            for batch in (1, 4, 16, 40):
                for context in (48, 256):
                    took, counts, misses = run(model, experts, text, batch, context, rule, capacity)
                    predicted = steps.seconds(
                        counts[:, :, None], misses, tokens=batch, context=context + STEPS / 2
                    ).sum()
                    share = STEPS * rest.seconds(batch, context) / predicted
                    errors.append(abs(predicted / took - 1))
                    parts.append(capacity is None)
                    print(
                        f"{name:<9} {capacity or 'none':>6} {batch:>6} {context:>8} "
                        f"{1e3 * predicted / STEPS:>9.3f} ms {1e3 * took / STEPS:>8.3f} ms "
                        f"{errors[-1]:>7.1%} {share:>10.0%}"
                    )
    errors, parts = np.array(errors), np.array(parts)
    print(
        f"median error of {len(errors)} kinds of step: {np.median(errors):.1%} "
        f"(resident {np.median(errors[parts]):.1%}, buffered {np.median(errors[~parts]):.1%}), "
        f"largest {errors.max():.1%}"
    )


if __name__ == "__main__":
    main()
