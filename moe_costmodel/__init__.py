"""A cost model of Mixture-of-Experts inference, fitted to kernels that torch ran.

Follows arXiv 2303.06182. Names are imported when they are first used, so that nothing here loads
torch until a kernel runs or a model is recorded.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "POLICIES": "buffering",
    "ExpertStream": "buffering",
    "MissCurves": "buffering",
    "Placement": "balance",
    "RoutingTrace": "trace",
    "TraceDescription": "characterise",
    "anti_correlation": "balance",
    "avg_max_load": "balance",
    "balancedness": "balance",
    "contiguous": "balance",
    "cross_node_traffic": "balance",
    "expert_streams": "buffering",
    "greedy": "balance",
    "max_load": "balance",
    "migration_bytes": "balance",
    "miss_curves": "buffering",
    "optimal_placement": "balance_search",
    "replay": "buffering",
    "replicate_and_pack": "balance",
    "static_waste": "characterise",
    "swap_search": "balance_search",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
