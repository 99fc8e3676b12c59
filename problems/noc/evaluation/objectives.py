"""The five objectives of a design, by the paper or by its released code.

Both models route alike; their formulas differ.

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

``problems.noc.evaluation.metrics`` has further objectives.

The load of a link is the traffic that crosses it in both directions; the ports of a router are its
links. A CPU-LLC pair has two flows, requests and replies. The paper sums over pairs and does not
mention the direction. Here both flows count, since the core waits for both, and replies carry most
of the traffic in the measured applications. The numbers in brackets are the references of
``problems.noc.chip.platform``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from problems._arrays import Floats, Ints
from problems._checks import check_names, require
from problems.noc.evaluation.metrics import ALL_UNITS
from problems.noc.evaluation.physical import check_has_technology

if TYPE_CHECKING:
    from problems.noc.chip.platform import Platform

__all__ = ["MODELS", "OBJECTIVES", "check_objectives", "latency_flows"]

MODELS = ("published", "released")

OBJECTIVES = ("mean", "deviation", "latency", "energy", "thermal")
"""Names of the objectives, in the order of the columns that the kernel fills."""


def check_objectives(objectives: int | Sequence[str], platform: Platform) -> tuple[str, ...]:
    """Return the names of objectives given as 3, 4 or 5 or by name; ValueError for any other.

    Those in physical units need a platform with a technology.
    """
    if isinstance(objectives, int | np.integer) and objectives in (3, 4, 5):
        return OBJECTIVES[: int(objectives)]
    names = check_names("NoC3D", "objectives", objectives, ALL_UNITS, more="3, 4, 5 or ")
    check_has_technology("NoC3D", names, platform)
    return names


def latency_flows(traffic: Floats, platform: Platform, model: str) -> tuple[Ints, Ints, Floats]:
    """Return the flows that count for latency: source [n], target [n], and weight [n_apps, n].

    The weight multiplies the delay of the path. ``traffic`` is [n_apps, n_tiles, n_tiles]. A
    ValueError tells that the platform has no cores or no caches.
    """
    n = platform.n_tiles
    cores = platform.pes_of(platform.core_type)
    caches = platform.pes_of(platform.cache_type)
    types = (platform.core_type, platform.cache_type)
    expected = f"one with the types {types[0]!r} and {types[1]!r}, which 'latency' needs"
    present = [kind.name for kind in platform.pe_types]
    require("NoC3D", "platform", present, cores and caches, expected)
    is_core, is_cache = (np.isin(np.arange(n), kind) for kind in (cores, caches))
    counts = np.outer(is_core, is_cache) | np.outer(is_cache, is_core)
    share = 1.0 / (len(cores) * len(caches))
    if model == "released":
        counts, share = np.outer(is_core | is_cache, is_core | is_cache), 1.0
    flows = np.argwhere(counts & (traffic > 0).any(axis=0) & ~np.eye(n, dtype=bool))
    # Contiguous copies: numba would compile again for strided views.
    source, target = flows[:, 0].copy(), flows[:, 1].copy()
    return source, target, np.ascontiguousarray(traffic[:, source, target]) * share
