"""Moves, recombination and features of rows: the PE of each expert, then a network-on-chip row."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse.csgraph import shortest_path

from problems._arrays import Floats, Ints
from problems.moe_on_chip.kernels import describe
from problems.moe_on_chip.mappings import ExpertStatistics
from problems.noc.chip.platform import Platform
from problems.noc.features.description import Description
from problems.noc.moves import mutate_batch, recombine_batch, sample_batch
from problems.noc.operators import draw_seeds

__all__ = ["FEATURES", "PARTS", "Moves"]

PARTS = ("experts", "network")
"""Parts of a design that can be decided; "network" are the tiles of the PEs and the links."""

FEATURES = (
    "distance of experts",
    "largest load of a PE",
    "loads of PEs",
    "loads of PEs by layer",
    "pairs on one PE",
)
"""The columns that `describe` fills."""

# Probabilities of a move of the network, and of a new fit of one layer, if both parts are decided.
_NETWORK, _FIT = 0.8, 0.1
_KEPT = 64
_TRIES = 30


@dataclass(frozen=True, eq=False)
class Moves:
    """Changes of rows on one platform, for one set of recorded steps.

    Attributes
    ----------
    platform : Platform
    statistics : ExpertStatistics
    sources : float array [n_tiles]
        Share of the tokens that live on each PE.
    network : Description
        Of the network, under the traffic of a reference mapping.
    decide : tuple of str
        Of :data:`PARTS`.
    """

    platform: Platform
    statistics: ExpertStatistics
    sources: Floats
    network: Description
    decide: tuple[str, ...]
    _distances: OrderedDict[bytes, Floats] = field(default_factory=OrderedDict)

    @property
    def shape(self) -> tuple[int, int]:
        """Layers, and experts of a layer."""
        _, n_layers, n_experts = self.statistics.loads.shape
        return n_layers, n_experts

    @property
    def n_mapped(self) -> int:
        """Columns of the experts."""
        n_layers, n_experts = self.shape
        return n_layers * n_experts

    def distance(self, network: Ints) -> Floats:
        """Return the mean cycles between the tokens and each PE that holds experts, [n_pes]."""
        n, tables = self.platform.n_tiles, self.platform.tables
        placement, links = network[:n], np.sort(network[n:])
        key = links.tobytes()
        between = self._distances.get(key)
        if between is None:
            chosen = np.concatenate((links, np.arange(tables.n_candidates, len(tables.link_a))))
            cost = np.zeros((n, n))
            cost[tables.link_a[chosen], tables.link_b[chosen]] = tables.link_cost[chosen]
            between = shortest_path(cost, directed=False)
            self._distances[key] = between
            if len(self._distances) > _KEPT:
                self._distances.popitem(last=False)
        tile = np.argsort(placement)
        far: Floats = self.sources[placement] @ between
        return far[tile[self.statistics.pes]]

    def move(self, row: Ints, random_state: np.random.Generator) -> None:
        """Make one move in a row, in place."""
        kind = random_state.random()
        if "network" not in self.decide:
            kind = _NETWORK + kind * (1 - _NETWORK)
        elif "experts" not in self.decide:
            kind = 0.0
        if kind < _NETWORK:
            network = np.ascontiguousarray(row[None, self.n_mapped :])
            out = np.empty_like(network)
            tables, seeds = self.platform.tables, draw_seeds(random_state, 1)
            mutate_batch(network, tables, self.platform.fixed_part, 1, seeds, out)
            row[self.n_mapped :] = out[0]
        elif kind < _NETWORK + _FIT:
            self._fit(row, random_state)
        else:
            self._swap(row, random_state)

    def _swap(self, row: Ints, random_state: np.random.Generator) -> None:
        """Move an expert to a PE with room, or swap two experts of different PEs."""
        experts = row[: self.n_mapped].reshape(self.shape)
        statistics, (n_layers, n_experts) = self.statistics, self.shape
        for attempt in range(_TRIES):
            layer, a = int(random_state.integers(n_layers)), int(random_state.integers(n_experts))
            own = experts[layer, a]
            pe = int(random_state.choice(statistics.pes))
            if pe == own:
                continue
            fits = np.count_nonzero(experts[layer] == pe) < statistics.layer_capacity
            held = np.argwhere(experts == pe)
            if fits and len(held) < statistics.capacity and random_state.random() < 0.5:
                experts[layer, a] = pe
                return
            if attempt >= _TRIES // 2 or not fits or not len(held):
                # Experts of one layer can always be swapped.
                held = np.argwhere(experts[layer] == pe)
                held = np.concatenate((np.full_like(held, layer), held), axis=1)
            if not len(held):
                continue
            other, b = held[int(random_state.integers(len(held)))].tolist()
            there = np.count_nonzero(experts[other] == own)
            if other == layer or there < statistics.layer_capacity:
                experts[layer, a], experts[other, b] = pe, own
                return

    def _fit(self, row: Ints, random_state: np.random.Generator) -> None:
        """Place the experts of one layer anew for random weights, given the network of the row."""
        mapping = row[: self.n_mapped].reshape(self.shape)
        layer = int(random_state.integers(len(mapping)))
        weights = self.drawn_weights(random_state)
        distance = self.distance(row[self.n_mapped :])
        mapping[layer] = self.statistics.fitted(mapping, layer, distance, weights, random_state)

    @staticmethod
    def drawn_weights(random_state: np.random.Generator) -> tuple[float, float]:
        """Return weights of distance and of shared visits for a fit."""
        near, shared = 10.0 ** random_state.uniform((-1.0, -2.0), (1.5, 1.0))
        return float(near), float(shared) if random_state.random() < 0.7 else 0.0

    def refitted(
        self, mapping: Ints, network: Ints, weights: tuple[float, float], rng: np.random.Generator
    ) -> Ints:
        """Return a mapping whose layers were all fitted in turn, twice."""
        out = mapping.copy()
        distance = self.distance(network)
        for layer in [*range(len(out)), *range(len(out))]:
            out[layer] = self.statistics.fitted(out, layer, distance, weights, rng)
        return out

    def mixed(self, A: Ints, B: Ints, random_state: np.random.Generator) -> tuple[Ints, Ints]:
        """Return two recombinations of each pair of rows of A and B, both [n, n_var].

        Children take each layer from either parent, and networks between those of the parents.
        """
        m, n_layers = self.n_mapped, self.shape[0]
        first, second = A.copy(), B.copy()
        if "network" in self.decide:
            networks = [np.ascontiguousarray(rows[:, m:]) for rows in (A, B)]
            for child, (own, other) in ((first, networks), (second, networks[::-1])):
                out = np.empty_like(own)
                seeds = draw_seeds(random_state, len(own))
                recombine_batch(own, other, self.platform.tables, seeds, out)
                child[:, m:] = out
        if "experts" in self.decide:
            share = random_state.random((len(A), 1))
            swap = np.repeat(random_state.random((len(A), n_layers)) < share, self.shape[1], axis=1)
            first[:, :m] = np.where(swap, B[:, :m], A[:, :m])
            second[:, :m] = np.where(swap, A[:, :m], B[:, :m])
            for children, parents in ((first, A), (second, B)):
                for child, parent in zip(children, parents, strict=True):
                    if not self._repair(child[:m].reshape(self.shape), random_state):
                        child[:m] = parent[:m]
        return first, second

    def _repair(self, experts: Ints, random_state: np.random.Generator) -> bool:
        """Move experts of PEs above their capacity to PEs with room, in place; return success."""
        pes, capacity = self.statistics.pes, self.statistics.capacity
        held = np.bincount((experts - pes[0]).ravel(), minlength=len(pes))
        for q in np.flatnonzero(held > capacity).tolist():
            for layer, expert in random_state.permutation(np.argwhere(experts == pes[q])).tolist():
                in_layer = np.bincount(experts[layer] - pes[0], minlength=len(pes))
                room = np.flatnonzero(
                    (held < capacity) & (in_layer < self.statistics.layer_capacity)
                )
                if not len(room):
                    continue
                other = int(random_state.choice(room))
                experts[layer, expert] = pes[other]
                held[q] -= 1
                held[other] += 1
                if held[q] <= capacity:
                    break
        return bool(held.max() <= capacity)

    def networks(self, n: int, random_state: np.random.Generator) -> Ints:
        """Return networks to begin with, the mesh first, [n, n_network]; see ``NoCSampling``."""
        mesh = np.concatenate(self.platform.mesh)
        out = np.empty((n, len(mesh)), dtype=np.int64)
        tables, seeds = self.platform.tables, draw_seeds(random_state, n)
        sample_batch(mesh, tables, self.platform.fixed_part, seeds, out)
        return out

    def features(self, rows: Ints) -> Floats | None:
        """Return the features of the network, then :data:`FEATURES`, [n, n_features].

        Returns None if a network breaks a rule. It does not look at whether networks are connected.
        """
        network = self.network.features(np.ascontiguousarray(rows[:, self.n_mapped :]))
        return None if network is None else np.concatenate([network, self._mapped(rows)], axis=1)

    def neighbor_features(self, rows: Ints, near: Ints) -> Floats | None:
        """Return the features of neighbors [n, k, n_var] of rows [n, n_var], [n, k, n_features].

        Returns None if a network breaks a rule.
        """
        split = self.n_mapped
        network = self.network.neighbor_features(
            np.ascontiguousarray(rows[:, split:]), np.ascontiguousarray(near[..., split:])
        )
        if network is None:
            return None
        mapped = self._mapped(near.reshape(-1, near.shape[-1]))
        return np.concatenate([network, mapped.reshape(*near.shape[:2], -1)], axis=-1)

    def _mapped(self, rows: Ints) -> Floats:
        statistics, out = self.statistics, np.empty((len(rows), len(FEATURES)))
        describe(
            np.ascontiguousarray(rows), np.ascontiguousarray(statistics.mean), statistics.together,
            int(statistics.pes[0]), self.platform.tables.place, self.sources, out,
        )  # fmt: skip
        return out
