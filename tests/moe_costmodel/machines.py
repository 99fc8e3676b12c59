"""A made-up machine whose kernel times follow a formula, so that no test must measure."""

from __future__ import annotations

import functools

import numpy as np

from moe_costmodel.hardware import Hardware, Link
from moe_costmodel.latency.model import LatencyModel
from moe_costmodel.measure.measurements import Measurements, Record
from moe_costmodel.shapes import LayerShape, power_law_counts

SHAPE = LayerShape(n_experts=8, k=2, d_model=32, d_ffn=16, gated=True)
LARGER = LayerShape(n_experts=8, k=2, d_model=64, d_ffn=48, gated=True)
LINKS = {
    "slow_to_fast": Link(1e9, 1e-5),
    "device_to_device": Link(2e9, 2e-5),
    "node_to_node": Link(2e8, 5e-5),
}


def hardware(*, links=tuple(LINKS), **settings):
    chosen = {name: LINKS[name] for name in links}
    return Hardware(name="made up", memory_bytes=1 << 30, links=chosen, **settings)


def seconds_of(shape, counts):
    counts = np.asarray(counts)
    active, rows = (counts > 0).sum(axis=-1), counts.sum(axis=-1)
    return 2e-5 + active * (5e-6 + shape.expert_bytes / 2e10) + rows * shape.parameters * 4e-11


@functools.cache
def latency(*, buffered=False, links=tuple(LINKS)):
    random = np.random.default_rng(0)
    records = []
    for e, k, d, f in ((8, 2, 64, 128), (16, 2, 128, 64), (32, 4, 96, 64), (64, 6, 128, 64)):
        shape = LayerShape(n_experts=e, k=k, d_model=d, d_ffn=f, gated=True)
        for n_tokens in (1, 4, 16, 64, 256):
            for skew in (0.0, 1.0):
                counts = power_law_counts(n_tokens, shape, skew, random)
                took = seconds_of(shape, counts) * np.exp(random.normal(0, 0.03, size=5))
                at = {"tokens": n_tokens, "counts": counts.tolist()}
                records.append(Record("layer", at, took.tolist(), shape))
        if buffered:
            for n_tokens, misses in ((1, 3), (4, 9), (16, 30)):
                counts = np.stack([power_law_counts(n_tokens, shape, 0.6, random)] * 4)
                took = 1.1 * seconds_of(shape, counts).sum() + misses * shape.expert_bytes / 1e9
                at = {"tokens": n_tokens, "counts": counts.tolist(), "capacity": 2}
                records.append(Record("buffered", at | {"misses": misses}, [took], shape))
    return LatencyModel.fit(Measurements(hardware(links=links), records, "cpu"), method="linear")


def evaluated(model, **decided):
    """Evaluate a decision, given as the parameters of DeploymentModel.decision."""
    return model.evaluate(model.decision(**decided))


def planned(model, **decided):
    """Plan a decision, given as the parameters of DeploymentModel.decision."""
    return model.plan(model.decision(**decided))
