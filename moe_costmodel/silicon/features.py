"""Features of a serving point, for the calibration."""

from __future__ import annotations

import math

from moe_costmodel.shapes import DTYPE_BYTES
from moe_costmodel.silicon.sample import ServingPoint
from moe_costmodel.silicon.serving import ServingEstimate
from moe_costmodel.silicon.step_time import StepTime
from moe_costmodel.silicon.tables.gpu import Gpu
from moe_costmodel.silicon.tables.package import version_key
from moe_costmodel.silicon.tables.reader import BACKENDS

__all__ = ["features_of", "version_number"]

_UNKNOWN = -1.0
# Operators by their first word.
_PARTS = {
    "moe": "moe", "exchange": "exchange", "router": "router", "head": "head", "norms": "norms",
    "shared": "shared", "dense": "projections", "projections": "projections",
    "latent": "projections",
}  # fmt: skip
_NAMES = ("moe", "attention", "projections", "exchange", "router", "head", "norms", "shared")


def features_of(point: ServingPoint, estimate: ServingEstimate, gpu: Gpu) -> dict[str, float]:
    """Return what is known of a system before it is measured, as numbers.

    Neither the architecture's name nor anything measured of the system is among them.
    """
    shape, layout, experts = point.shape, point.layout, point.shape.experts
    decode, prefill = estimate.decode.seconds, estimate.prefill.seconds
    kinds = [block.attention for block in shape.blocks]
    found = {
        "decode": math.log(decode),
        "prefill": math.log(prefill),
        "composed": math.log(estimate.tpot),
        "first": math.log(estimate.ttft),
        "share": math.log(estimate.prefill_share / decode + 1e-3),
        "burst": math.log(estimate.sequences * prefill),
        "layer": math.log(decode / shape.n_layers),
        "sequences": math.log(estimate.sequences),
        "concurrency": math.log(point.concurrency),
        "input": math.log(point.input_tokens),
        "output": math.log(point.output_tokens),
        "tp": float(layout.tp),
        "dp": float(layout.dp),
        "moe_tp": float(layout.moe_tp),
        "moe_ep": float(layout.moe_ep),
        "gpus": float(layout.n_gpus),
        "bandwidth": gpu.bandwidth,
        "generation": float(gpu.generation),
        "per_node": float(gpu.n_per_node),
        "operations": gpu.operations["bf16"],
        "year": point.year or _UNKNOWN,
        "version": version_number(point.version),
        "layers": float(shape.n_layers),
        "d_model": float(shape.d_model),
        "active": math.log(shape.n_active),
        "total": math.log(shape.n_parameters),
        "k": float(experts.k if experts else 0),
        "n_experts": float(experts.n_experts if experts else 0),
        "has_shared": float(bool(experts and experts.d_shared)),
        "latent": float(any(a.kind == "mla" for a in kinds)),
        "linear": float(any(a.kind in ("linear", "kda") for a in kinds)),
        "window": float(any(a.window for a in kinds)),
        "indexer": float(any(a.index_topk for a in kinds)),
        "expert_bytes": DTYPE_BYTES[shape.dtypes["experts" if experts else "dense"]],
        "attention_bytes": DTYPE_BYTES[shape.dtypes["attention"]],
    }
    found |= {backend: float(point.backend == backend) for backend in BACKENDS}
    for phase, step in (("decode", estimate.decode), ("prefill", estimate.prefill)):
        found |= {f"{phase}_{name}": share for name, share in _shares(step).items()}
    return found


def _shares(step: StepTime) -> dict[str, float]:
    """Return the fraction of a step that each part takes."""
    total = sum(operator.seconds for operator in step.operators)
    shares = dict.fromkeys(_NAMES, 0.0)
    for operator in step.operators:
        part = _PARTS.get(operator.operator.split()[0], "attention")
        shares[part] += operator.seconds / total
    return shares


def version_number(version: str) -> float:
    """Return a number that rises with an engine's version; -1 if the version is unknown."""
    if not version[:1].isdigit():
        return _UNKNOWN
    key = [*version_key(version), 0.0, 0.0, 0.0, 0.0, 0.0]
    number = key[0] * 1e4 + key[1] * 1e2 + key[2]
    if key[3] == -0.5:  # release candidate, perhaps with a post release
        return number - 0.5 + 0.02 * key[4] + (0.003 * (1 + key[6]) if key[5] == 0.5 else 0.0)
    return number + (0.01 * (1 + key[4]) if key[3] == 0.5 else 0.0)
