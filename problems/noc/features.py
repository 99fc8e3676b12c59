"""A few dozen numbers about each design for learned models, far cheaper than its evaluation.

They stand for what drives the objectives: who sits in which layer and how far from whom it talks
to, where the links are, how traffic presses on routers and on the cuts of the chip, and how heat
is spread over the stacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .jit import compiled
from .tables import Floats, Ints, Tables

if TYPE_CHECKING:
    from .platform import Platform

__all__ = ["FeaturePlan", "features_batch"]


class FeaturePlan(NamedTuple):
    """What the features of one platform and traffic need, and how many there are.

    Attributes
    ----------
    volume : float64 [n_tiles, n_tiles]
        Traffic between two PEs, both directions together.
    ends : float64 [n_tiles]
        Traffic that starts or ends at each PE.
    grid : int64 [3]
    length : int64 [n_planar_candidates]
        Length of each planar candidate, rounded up.
    pair_class : int64 [n_types, n_types]
        Column of two types that talk to each other, -1 where they do not.
    pair_share : float64 [n_pair_classes]
        One over the traffic of each such pair of types.
    n_features : int
    """

    volume: Floats
    ends: Floats
    grid: Ints
    length: Ints
    pair_class: Ints
    pair_share: Floats
    n_features: int

    @classmethod
    def of(cls, platform: Platform, traffic: Floats) -> tuple[FeaturePlan, tuple[str, ...]]:
        """Return the plan, and the names of the features."""
        kinds = [kind.name for kind in platform.pe_types]
        between = traffic + traffic.T
        np.fill_diagonal(between, 0.0)
        pair_class = np.full((len(kinds), len(kinds)), -1)
        shares: list[float] = []
        pairs: list[str] = []
        for a in range(len(kinds)):
            for b in range(a, len(kinds)):
                block = between[np.ix_(platform.pe_type == a, platform.pe_type == b)]
                total = block.sum() / (2 if a == b else 1)
                if total > 0:
                    pair_class[a, b] = pair_class[b, a] = len(shares)
                    shares.append(1.0 / total)
                    pairs.append(f"{kinds[a]}-{kinds[b]}")
        x, y, z = platform.grid
        planar = platform.candidate_lengths[: platform.n_planar_candidates]
        length = np.ceil(np.round(planar, 9)).astype(np.int64)
        names = [f"{kind} in layer {k}" for k in range(z) for kind in kinds]
        names += [f"links in layer {k}" for k in range(z)]
        names += [f"links of length {k + 1}" for k in range(int(length.max(initial=0)))]
        names += [f"distance {pair}" for pair in pairs]
        names += [f"degree {kind}" for kind in kinds]
        names += ["degree by traffic", "degree deviation", "routers at the cap"]
        names += ["traffic over one link", "port load peak", "port load deviation"]
        for axis, size in zip("xyz", (x, y, z), strict=True):
            names += [f"cut load {axis} {k}" for k in range(size - 1)]
        names += ["heat peak", "heat spread", "heat deviation"]
        plan = cls(
            volume=between,
            ends=between.sum(axis=1),
            grid=np.array(platform.grid, dtype=np.int64),
            length=length,
            pair_class=pair_class,
            pair_share=np.array(shares),
            n_features=len(names),
        )
        return plan, tuple(names)


@compiled
def features_batch(X: Ints, tables: Tables, plan: FeaturePlan, out: Floats) -> None:
    """Fill ``out`` [n, n_features] with the features of legal rows of X."""
    n = tables.pe_type.size
    n_types = tables.allowed.shape[0]
    n_levels = plan.grid[2]
    n_stacks = n // n_levels
    n_vertical = tables.link_a.size - tables.n_candidates
    longest = plan.length.max() if plan.length.size > 0 else 0
    widest = plan.grid.max()
    degree = np.empty(n, np.int64)
    between = np.empty((3, widest, widest), np.float64)
    crossing = np.empty((3, widest), np.float64)
    heat = np.empty((n_levels, n_stacks), np.float64)
    everything = plan.ends.sum() / 2
    for i in range(X.shape[0]):
        row = out[i]
        row.fill(0.0)
        pe = X[i, :n]
        at = 0
        for t in range(n):
            row[at + tables.place[t, 2] * n_types + tables.pe_type[pe[t]]] += 1.0
        at += n_levels * n_types

        # Links: by layer, by length, over the cuts; and what traffic they carry in one hop.
        degree.fill(0)
        crossing.fill(0.0)
        direct = 0.0
        for k in range(tables.n_chosen + n_vertical):
            c = X[i, n + k] if k < tables.n_chosen else tables.n_candidates + k - tables.n_chosen
            a, b = tables.link_a[c], tables.link_b[c]
            degree[a] += 1
            degree[b] += 1
            direct += plan.volume[pe[a], pe[b]]
            if k < tables.n_planar:
                row[at + tables.place[a, 2]] += 1.0
                row[at + n_levels + plan.length[c] - 1] += 1.0
            for axis in range(3):
                low = min(tables.place[a, axis], tables.place[b, axis])
                high = max(tables.place[a, axis], tables.place[b, axis])
                for cut in range(low, high):
                    crossing[axis, cut] += 1.0
        at += n_levels + longest

        # Pairs: traffic-weighted grid distance between types, and traffic over the cuts.
        between.fill(0.0)
        for t in range(n):
            p = pe[t]
            x, y, z = tables.place[t, 0], tables.place[t, 1], tables.place[t, 2]
            for u in range(t):
                volume = plan.volume[p, pe[u]]
                if volume > 0.0:
                    x2, y2, z2 = tables.place[u, 0], tables.place[u, 1], tables.place[u, 2]
                    distance = abs(x - x2) + abs(y - y2) + abs(z - z2)
                    row[at + plan.pair_class[tables.pe_type[p], tables.pe_type[pe[u]]]] += (
                        volume * distance
                    )
                    between[0, min(x, x2), max(x, x2)] += volume
                    between[1, min(y, y2), max(y, y2)] += volume
                    between[2, min(z, z2), max(z, z2)] += volume
        for c in range(plan.pair_share.size):
            row[at + c] *= plan.pair_share[c]
        at += plan.pair_share.size

        # Routers.
        mean_degree = 2.0 * (tables.n_chosen + n_vertical) / n
        mean_load = 0.0
        for t in range(n):
            kind = tables.pe_type[pe[t]]
            row[at + kind] += degree[t] / tables.type_count[kind]
            row[at + n_types] += degree[t] * plan.ends[pe[t]] / (2 * everything)
            row[at + n_types + 1] += (degree[t] - mean_degree) ** 2 / n
            row[at + n_types + 2] += 1.0 if degree[t] == tables.max_degree else 0.0
            load = plan.ends[pe[t]] / max(degree[t], 1) / everything
            mean_load += load / n
            row[at + n_types + 4] = max(row[at + n_types + 4], load)
        row[at + n_types + 1] = np.sqrt(row[at + n_types + 1])
        row[at + n_types + 3] = direct / everything
        at += n_types + 4
        for t in range(n):
            load = plan.ends[pe[t]] / max(degree[t], 1) / everything
            row[at + 1] += (load - mean_load) ** 2 / n
        row[at + 1] = np.sqrt(row[at + 1])
        at += 2

        for axis in range(3):
            for cut in range(plan.grid[axis] - 1):
                over = 0.0
                for low in range(cut + 1):
                    for high in range(cut + 1, plan.grid[axis]):
                        over += between[axis, low, high]
                row[at] = over / max(crossing[axis, cut], 1.0) / everything
                at += 1

        # Heat at the far end of each stack, the hottest of it.
        for t in range(n):
            heat[tables.level[t], tables.stack[t]] = tables.power[pe[t]]
        mean, squares, hot, cold = 0.0, 0.0, -np.inf, np.inf
        for s in range(n_stacks):
            rise = 0.0
            for k in range(n_levels):
                resistance = (k + 1) * tables.layer_resistance + tables.base_resistance
                rise += heat[k, s] * resistance
            mean += rise / n_stacks
            squares += rise * rise / n_stacks
            hot = max(hot, rise)
            cold = min(cold, rise)
        row[at] = hot
        row[at + 1] = hot - cold
        row[at + 2] = np.sqrt(max(squares - mean * mean, 0.0))
