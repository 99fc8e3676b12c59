"""Names of the features of a network-on-chip, and the constants that they are computed from."""

from __future__ import annotations

import math
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from problems._arrays import Floats, Ints

if TYPE_CHECKING:
    from problems.noc.chip.platform import Platform

__all__ = ["FeaturePlan"]

WITHIN = ("one link", "two links", "three links")


class FeaturePlan(NamedTuple):
    """Constants of the features of one platform and traffic, which is in whole units."""

    volume: Ints  # [n_tiles, n_tiles] traffic between two PEs, both directions together
    ends: Ints  # [n_tiles] traffic that starts or ends at each PE
    share: Floats  # [n_tiles] `ends` as a share of all traffic
    everything: int  # all traffic
    grid: Ints  # [3]
    length: Ints  # [n_planar_candidates] length of each planar candidate, rounded up
    longest: int  # the largest of them
    first_of_type: Ints  # [n_types + 1] first PE of each type; ids of a type are consecutive
    pair_class: Ints  # [n_types, n_types] column of two types with traffic, -1 for others
    class_of: Ints  # [n_tiles, n_tiles] column of two PEs; 0 for those without traffic
    pair_volume: Ints  # [n_pair_classes] traffic between each such pair of types

    @classmethod
    def of(cls, platform: Platform, traffic: Floats) -> tuple[FeaturePlan, tuple[str, ...]]:
        """Return the plan, and the names of the features."""
        kinds = [kind.name for kind in platform.pe_types]
        between = traffic + traffic.T
        np.fill_diagonal(between, 0.0)
        volume = whole_units(between, max(sum(platform.grid), 2 * platform.max_degree))
        pair_class = np.full((len(kinds), len(kinds)), -1)
        volumes: list[int] = []
        pairs: list[str] = []
        for a, b in combinations_with_replacement(range(len(kinds)), 2):
            block = volume[np.ix_(platform.pe_type == a, platform.pe_type == b)]
            total = int(block.sum()) // (2 if a == b else 1)
            if total > 0:
                pair_class[a, b] = pair_class[b, a] = len(volumes)
                volumes.append(total)
                pairs.append(f"{kinds[a]}-{kinds[b]}")
        x, y, z = platform.grid
        planar = platform.candidate_lengths[: platform.n_planar_candidates]
        length = np.ceil(np.round(planar, 9)).astype(np.int64)
        longest = int(length.max(initial=0))
        names = [f"{kind} in layer {k}" for k in range(z) for kind in kinds]
        names += [f"links in layer {k}" for k in range(z)]
        names += [f"links of length {k + 1}" for k in range(longest)]
        names += [f"distance {pair}" for pair in pairs]
        names += [f"within {n} {pair}" for n in WITHIN for pair in pairs]
        names += [f"degree {kind}" for kind in kinds]
        names += ["degree by traffic", "degree deviation", "routers at the cap"]
        names += ["port load peak", "port load deviation"]
        for axis, size in zip("xyz", (x, y, z), strict=True):
            names += [f"cut load {axis} {k}" for k in range(size - 1)]
        names += ["heat peak", "heat spread", "heat deviation"]
        ends = volume.sum(axis=1)
        everything = int(ends.sum()) // 2
        plan = cls(
            volume=volume,
            ends=ends,
            share=ends / everything,
            everything=everything,
            grid=np.array(platform.grid, dtype=np.int64),
            length=length,
            longest=longest,
            first_of_type=np.cumsum([0, *platform.tables.type_count], dtype=np.int64),
            pair_class=pair_class,
            class_of=np.maximum(pair_class, 0)[np.ix_(platform.pe_type, platform.pe_type)],
            pair_volume=np.array(volumes, dtype=np.int64),
        )
        return plan, tuple(names)


def whole_units(between: Floats, most: int) -> Ints:
    """Return traffic as whole numbers whose sum times ``most`` stays below 2^62."""
    total = between.sum() * most
    return np.rint(np.ldexp(between, 61 - math.frexp(total)[1])).astype(np.int64)
