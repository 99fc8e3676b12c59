"""MoE layers in torch, one way of computing a module, all with the signature of `Kernel`.

``kernel(x, ids, weights, experts)`` takes tokens [S, D], chosen experts [S, k], their weights
[S, k] and the experts, and returns [S, D]. A choice of weight 0 is not computed.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "BufferedExperts": "buffered",
    "BufferStatistics": "buffered",
    "Experts": "experts",
    "ExpertParallel": "parallel",
    "apply_rule": "router",
    "dynamic_gating": "dynamic",
    "expert_products": "dynamic",
    "padded_batch": "padded",
    "peak_activation_bytes": "memory",
    "reference": "experts",
    "route": "router",
    "static_gating": "static",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
