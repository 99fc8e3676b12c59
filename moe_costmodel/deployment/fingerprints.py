"""Fingerprints of traces, hardware and latency models, for the record of a plan."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict
from importlib import metadata
from typing import TYPE_CHECKING

import numpy as np

from moe_costmodel._fields import of_numpy
from moe_costmodel.hardware import Hardware
from moe_costmodel.latency.model import LatencyModel
from moe_costmodel.objectives import quantity
from moe_costmodel.traces.trace import RoutingTrace

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from moe_costmodel.deployment.model import DeploymentModel

__all__ = ["of_hardware", "of_latency", "of_trace", "sources", "versions"]


def _short(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:16]


def _json(parts: DataclassInstance) -> bytes:
    """Return the fields of a dataclass as JSON, the same for equal fields."""
    return json.dumps(asdict(parts), sort_keys=True, default=of_numpy).encode()


def of_trace(trace: RoutingTrace) -> str:
    """Return the fingerprint of a trace's choices, weights and sequences (or loads)."""
    if trace.is_load_only:
        return _short(np.ascontiguousarray(trace.loads()).tobytes())
    parts = [
        np.ascontiguousarray(trace.topk_ids, dtype=np.uint16).tobytes(),
        np.ascontiguousarray(trace.sequence_lengths, dtype=np.int64).tobytes(),
        str((trace.topk_ids.shape, trace.n_experts)).encode(),
    ]
    if trace.has_weights:
        parts.append(np.ascontiguousarray(trace.topk_weights, dtype=np.float32).tobytes())
    return _short(*parts)


def of_hardware(hardware: Hardware) -> str:
    """Return the fingerprint of a machine's description."""
    return _short(_json(hardware))


def of_latency(latency: LatencyModel) -> str:
    """Return the fingerprint of what a latency model was fitted to, and how well."""
    report = latency.report
    parts = [report.method.encode(), report.wide_log_ratios.tobytes()]
    parts += [_json(shape) for shape in report.shapes]
    for cost in (latency.buffer_cost, latency.rule_cost):
        if cost is not None:
            parts.append(_json(cost))
    return _short(*parts)


def sources(deployment: DeploymentModel) -> dict[str, str]:
    """Return the sources of a deployment's numbers: traces, hardware and latency model."""
    out = {
        f"trace {i}": f"{trace.source} ({of_trace(trace)})"
        for i, trace in enumerate(deployment.traces)
    }
    hardware, report = deployment.hardware, deployment.latency.report
    out["hardware"] = f"{hardware.name} ({of_hardware(hardware)})"
    out["latency"] = (
        f"{report.method}, median error {report.median:.1%} on layers not fitted to "
        f"({of_latency(deployment.latency)})"
    )
    if deployment.miss_cost is not None:
        terms = asdict(deployment.miss_cost)
        out["misses"] = ", ".join(f"{name} {quantity(v, 's')}" for name, v in terms.items())
    return out


def versions() -> dict[str, str]:
    """Return the versions of the software that makes a plan."""
    out = {"python": platform.python_version(), "numpy": np.__version__}
    try:
        out["moela"] = metadata.version("moela")
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        out["moela"] = "source"
    return out
