"""The five objectives of a batch of designs, after the paper or after its released code.

Both models route alike; they differ in what they make of the loads.

================ ================================== ===========================================
objective        ``"published"``                    ``"released"``
================ ================================== ===========================================
mean             mean load of the links             the same
deviation        root of the mean squared deviation root of the *sum* of squared deviations
latency          sum over CPU-LLC flows of traffic  sum over *all* flows among CPUs and LLCs
                 times path delay, over (number of
                 CPUs times number of LLCs)
energy           every link and every router of a   every link, but only the first router after
                 path                               the source
thermal          peak temperature rise of the       sum over stacks of the integer part of the
                 stacks [3]_ times the largest      layer-weighted power
                 spread within a layer
================ ================================== ===========================================

Further objectives, by name, are those of ``problems.noc.evaluation.metrics``.

The load of a link is the traffic that crosses it in both directions; the ports of a router are its
links. A CPU-LLC pair has two flows, requests and replies: the paper sums over pairs without a word
on direction, and here both count, as both keep the core waiting and replies carry most of the
traffic in the measured applications. The numbers in brackets are the references of
``problems.noc.chip.platform``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from problems._arrays import Floats, Ints
from problems.noc.evaluation.metrics import UNITS

if TYPE_CHECKING:
    from problems.noc.chip.platform import Platform

__all__ = ["MODELS", "OBJECTIVES", "check_objectives", "latency_flows"]

MODELS = ("published", "released")

OBJECTIVES = ("mean", "deviation", "latency", "energy", "thermal")
"""Names of the objectives, in the order of the columns that the kernel fills."""


def check_objectives(objectives: int | Sequence[str]) -> tuple[str, ...]:
    """Return the names of objectives given as 3, 4 or 5 or by name; ValueError for any other."""
    wanted: Any = objectives
    if isinstance(wanted, (int, np.integer)) and wanted in (3, 4, 5):
        return OBJECTIVES[: int(wanted)]
    ok = isinstance(wanted, (list, tuple)) and 0 < len(wanted) == len(set(map(str, wanted)))
    if not ok or any(name not in tuple(UNITS) for name in wanted):
        raise ValueError(
            "The 'objectives' parameter of NoC3D must be 3, 4, 5 or a sequence of different names "
            f"from {tuple(UNITS)}. Got {objectives!r} instead."
        )
    return tuple(wanted)


def latency_flows(traffic: Floats, platform: Platform, model: str) -> tuple[Ints, Ints, Floats]:
    """Return the flows that count for latency, and the weight of the path delay of each.

    Parameters
    ----------
    traffic : float array [n_apps, n_tiles, n_tiles]
    platform : Platform
    model : str

    Returns
    -------
    tuple
        Source [n], target [n], weight [n_apps, n].

    Raises
    ------
    ValueError
        The platform has no cores or no caches between which to measure.
    """
    n = platform.n_tiles
    cores = platform.pes_of(platform.core_type)
    caches = platform.pes_of(platform.cache_type)
    if not (cores and caches):
        raise ValueError(
            f"The 'latency' objective of NoC3D must have PEs of types {platform.core_type!r} and "
            f"{platform.cache_type!r} on the platform. "
            f"Got {[kind.name for kind in platform.pe_types]} instead."
        )
    is_core = np.isin(np.arange(n), cores)
    is_cache = np.isin(np.arange(n), caches)
    if model == "released":
        either = is_core | is_cache
        counts = np.outer(either, either)
        share = 1.0
    else:
        counts = np.outer(is_core, is_cache) | np.outer(is_cache, is_core)
        share = 1.0 / (len(cores) * len(caches))
    flows = np.argwhere(counts & (traffic > 0).any(axis=0) & ~np.eye(n, dtype=bool))
    # Own arrays, not strided views: those would be another type to compile for.
    source, target = flows[:, 0].copy(), flows[:, 1].copy()
    return source, target, np.ascontiguousarray(traffic[:, source, target]) * share
