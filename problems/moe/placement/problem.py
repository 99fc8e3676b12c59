"""Where to put experts and their replicas as a pymoo problem."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from moe_costmodel import Placement, RoutingTrace, cross_node_traffic
from moe_costmodel._checks import count, invalid
from problems._arrays import Floats, Ints
from problems.moe.base import OVER, MoEProblem, as_windows, checked_names, combine
from problems.moe.placement.checks import check_complete, current_or_default, slots_of_layer
from problems.moe.placement.kernels import DRAWS, busiest, describe, move_rows
from problems.moe.placement.operators import (
    PlacementCrossover,
    PlacementMutation,
    PlacementSampling,
)
from problems.moe.placement.pair_search import pairs_of_tokens, second_moments
from problems.moe.placement.starts import StartMaker

__all__ = ["ExpertPlacement"]

EVALUATION = 1
"""Counts up whenever the same design would get other objectives than before."""

OBJECTIVES = {
    "avg_max_load": "mean share of a step's tokens on its busiest device, mean of the layers",
    "p99_max_load": "that share in the 99th percentile of the steps, mean of the layers",
    "replica_bytes": "replicas, over all devices and layers",
    "cross_node_traffic": "other nodes that a token is sent to, mean of the layers",
    "migration_bytes": "experts to copy from the current placement, over all layers",
}
_PER_LAYER = ("avg_max_load", "p99_max_load", "cross_node_traffic")
_MAX_LAYERS_KEPT = 200_000


class ExpertPlacement(MoEProblem):
    """Place the experts of every layer, and replicas, on devices; all objectives minimized.

    A row of X holds the expert in each slot, layer by layer, and in a layer device by device: the
    rows of ``Placement.physical_to_logical``. Every expert has a slot; those with several are
    replicated, and their tokens are split evenly over the copies. The order of a device's slots
    does not matter; ascending is canonical. A second copy on the same device is a slot left empty:
    it takes no memory.

    Layers do not depend on one another, so what a layer is worth is kept, and a design in which
    one layer changed costs one layer.

    Parameters
    ----------
    trace : RoutingTrace or sequence of RoutingTrace
        Several are windows, domains or workloads of the traffic. Traces that hold loads only will
        do, except for the traffic between nodes.
    devices : int
    nodes : int
        Divides the devices; node n holds the n-th run of them.
    replicas : int
        Slots of a layer beyond one for each expert.
    batch_size : int
        Sequences decoded together (decode) or tokens of a step (prefill).
    mode : {"decode", "prefill"}
    objectives : sequence of str, optional
        Of "avg_max_load", "p99_max_load", "replica_bytes", "cross_node_traffic" and
        "migration_bytes". By default the loads and the migration, the replicas where there are
        any, and the traffic where there are several nodes and the traces know the tokens.
    current : Placement, optional
        What runs today, for the migration; by default contiguous.
    expert_bytes : float
        Size of an expert; by default bytes are counted in experts.
    over : {"mean", "worst"}
        How several windows become one.

    Attributes
    ----------
    named_starts : dict of str to Placement
        The classic placements and those of ``problems.moe.placement.pair_search``.

    Raises
    ------
    ValueError
        A parameter is wrong: more devices than experts, slots that do not divide, a load-only
        trace where tokens are needed.

    References
    ----------
    Avg Max Load, greedy and anti-correlation: arXiv 2303.06182, section 6. Replicate-and-pack:
    DeepSeek's EPLB. See ``moe_costmodel.placement.heuristics``.

    Examples
    --------
    >>> from problems.moe import ExpertPlacement
    >>> problem = ExpertPlacement.example(devices=4)
    >>> problem.n_var, problem.objective_names
    (192, ('avg_max_load', 'p99_max_load', 'migration_bytes'))
    """

    feature_names = (
        "mean square share",
        "largest mean share",
        "largest root mean square share",
        "experts migrated",
        "experts held",
        "pairs on one node",
    )

    def __init__(
        self,
        trace: RoutingTrace | Sequence[RoutingTrace],
        *,
        devices: int,
        nodes: int = 1,
        replicas: int = 0,
        batch_size: int = 4,
        mode: str = "decode",
        objectives: Sequence[str] | None = None,
        current: Placement | None = None,
        expert_bytes: float = 1.0,
        over: str = "mean",
    ) -> None:
        owner = "ExpertPlacement"
        self.windows = as_windows(trace, owner, tokens=False)
        first = self.windows[0]
        n_layers, n_experts = first.n_layers, first.n_experts
        self.n_layers, self.n_experts = n_layers, n_experts
        self.n_devices = count(owner, "devices", devices)
        self.n_nodes = count(owner, "nodes", nodes)
        if not 2 <= self.n_devices <= n_experts:
            raise invalid(
                owner, "devices", devices, f"from 2 to the {n_experts} experts of a layer"
            )
        if self.n_devices % self.n_nodes:
            raise invalid(owner, "nodes", nodes, f"a divisor of {devices} devices")
        self.n_slots = slots_of_layer(n_experts, replicas, self.n_devices, owner)
        self.n_replicas = int(replicas)
        if not 0 < expert_bytes < float("inf"):
            raise invalid(owner, "expert_bytes", expert_bytes, "a positive number")
        if over not in OVER:
            raise invalid(owner, "over", repr(over), f"one of {OVER}")
        self.expert_bytes, self.over = float(expert_bytes), over
        count(owner, "batch_size", batch_size)
        tokens = not any(window.is_load_only for window in self.windows)
        if objectives is None:
            wanted_names = ["avg_max_load", "p99_max_load"]
            wanted_names += ["replica_bytes"] * (self.n_replicas > 0)
            wanted_names += ["cross_node_traffic"] * (self.n_nodes > 1 and tokens)
            objectives = [*wanted_names, "migration_bytes"]
        self.objective_names = checked_names(objectives, OBJECTIVES, owner)
        if "cross_node_traffic" in self.objective_names:
            as_windows(trace, owner)
        self._set_traffic(batch_size, mode)
        maker = StartMaker(
            loads=self._loads, moments=self._moments, together=self._together,
            n_devices=self.n_devices, n_nodes=self.n_nodes, n_replicas=self.n_replicas,
        )  # fmt: skip
        named = {name: self._sorted(slots) for name, slots in maker.named().items()}
        self.named_starts = {name: Placement(s, self.n_devices) for name, s in named.items()}
        wanted = (n_layers, n_experts, self.n_devices)
        self.current = current_or_default(current, wanted, named["replicate-and-pack"], owner)
        self._current = self.current.on_device() > 0
        library = list(named.values())
        if self.current.n_slots == self.n_slots:
            library.append(self._sorted(self.current.physical_to_logical))
            library.extend(maker.path_from(self.current))
        self._library = self._sorted(np.array(library)).reshape(len(library), -1)
        super().__init__(
            n_var=n_layers * self.n_slots,
            n_obj=len(self.objective_names),
            xl=np.zeros(n_layers * self.n_slots),
            xu=np.full(n_layers * self.n_slots, n_experts - 1.0),
            vtype=int,
        )
        self._known: dict[tuple[int, bytes], Floats] = {}
        self._set_identity(
            "placement", EVALUATION, self._loads, self._bounds, self.n_devices, self.n_nodes,
            self.n_replicas, self.objective_names, self.expert_bytes, over, self._current,
            *(w.topk_ids for w in self._token_windows()),
        )  # fmt: skip
        worst = self._values(self._library).max(axis=0)
        self.ref_point = np.where(worst > 0, 1.05 * worst, 1.0)
        self.ref_point_source = "the worst of the starts in each objective, + 5 %"

    @classmethod
    def example(cls, domain: str = "code", *, devices: int = 4, **settings: Any) -> ExpertPlacement:
        """Make the problem of the packaged example trace; settings are the constructor's."""
        return cls(RoutingTrace.example(domain), devices=devices, **settings)  # type: ignore[arg-type]

    def _token_windows(self) -> list[RoutingTrace]:
        return self.windows if "cross_node_traffic" in self.objective_names else []

    def _set_traffic(self, batch_size: int, mode: str) -> None:
        """Keep what the evaluation needs of the traffic, layer by layer."""
        parts = [
            (window.loads() if window.is_load_only else window.loads(batch_size, mode))  # type: ignore[arg-type]
            for window in self.windows
        ]
        shares, moments = [], []
        for window, loads in zip(self.windows, parts, strict=True):
            loads = loads.astype(np.float64)
            total = loads.sum(axis=2, keepdims=True)
            even = np.full_like(loads, 1.0 / self.n_experts)
            shares.append(np.divide(loads, total, out=even, where=total > 0))
            moments.append(second_moments(window, batch_size, mode))
        self._bounds = np.cumsum([0, *map(len, shares)])
        joined = np.concatenate(shares)
        # Workloads of other sizes count alike; anti-correlation wants tokens where it can get them.
        loads_only = any(window.is_load_only for window in self.windows)
        self._loads = joined if loads_only else np.concatenate(parts).astype(np.float64)
        self._shares = [np.ascontiguousarray(joined[:, i].T) for i in range(self.n_layers)]
        self._moments = np.mean(moments, axis=0)
        self._mean = np.mean([part.mean(axis=0) for part in shares], axis=0)
        self._together = np.zeros_like(self._moments)
        if self.n_nodes > 1 and not loads_only:
            self._together = pairs_of_tokens(self.windows)
        self._layer_traces = [
            [RoutingTrace(w.topk_ids[:, i : i + 1], n_experts=w.n_experts) for w in self.windows]
            for i in range(self.n_layers)
            if self._token_windows()
        ]

    # ------------------------------------------------------------------------------- evaluation

    def _sorted(self, slots: Ints) -> Ints:
        """Return slots [..., n_slots] with those of each device ascending."""
        n_local = self.n_slots // self.n_devices
        by_device = slots.reshape(*slots.shape[:-1], self.n_devices, n_local)
        return np.sort(by_device, axis=-1).reshape(slots.shape)

    def check(self, X: ArrayLike) -> None:
        """Check rows of X, [n, n_var] or [n_var].

        Raises
        ------
        ValueError
            An expert of some layer has no slot; the message names the first.
        """
        slots = self._rows(X).reshape(-1, self.n_layers, self.n_slots)
        check_complete(slots, self.n_experts, "ExpertPlacement")

    def _evaluate(self, x: ArrayLike, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        out["F"] = self._values(self._rows(x))

    def _values(self, rows: Ints) -> Floats:
        slots = self._sorted(rows.reshape(len(rows), self.n_layers, self.n_slots))
        layers = np.empty((len(rows), self.n_layers, len(OBJECTIVES), len(self.windows)))
        for i, row in enumerate(slots):
            for layer, experts in enumerate(row):
                layers[i, layer] = self._layer(layer, experts)
        total = np.ascontiguousarray(layers.transpose(3, 0, 2, 1)).sum(axis=3)
        values = combine(total, self.over)
        columns = []
        for name in self.objective_names:
            column = values[:, list(OBJECTIVES).index(name)]
            columns.append(column / self.n_layers if name in _PER_LAYER else column)
        return np.stack(columns, axis=1)

    def _layer(self, layer: int, slots: Ints) -> Floats:
        """Return each objective of one layer on each window, [n_objectives, n_windows]."""
        key = (layer, slots.tobytes())
        found = self._known.get(key)
        if found is None:
            found = self._layer_values(layer, slots)
            if len(self._known) >= _MAX_LAYERS_KEPT:
                # The oldest half goes: a search seldom comes back to where it began.
                for old in list(self._known)[: _MAX_LAYERS_KEPT // 2]:
                    del self._known[old]
            self._known[key] = found
        return found

    def _layer_values(self, layer: int, slots: Ints) -> Floats:
        n_windows = len(self.windows)
        out = np.zeros((len(OBJECTIVES), n_windows))
        if np.bincount(slots, minlength=self.n_experts).min() == 0:
            self.check(self._with_layer(layer, slots))
        busiest(self._shares[layer], slots, self.n_devices, self._bounds, out[:2])
        by_device = slots.reshape(self.n_devices, -1)
        held = np.zeros((self.n_experts, self.n_devices), dtype=bool)
        held[by_device.T, np.arange(self.n_devices)] = True
        out[2] = (int(held.sum()) - self.n_experts) * self.expert_bytes
        if self._layer_traces:
            one = Placement(slots[None], self.n_devices)
            for w, trace in enumerate(self._layer_traces[layer]):
                out[3, w] = cross_node_traffic(trace, one, self.n_nodes)[0]
        out[4] = int((held & ~self._current[layer]).sum()) * self.expert_bytes
        return out

    def _with_layer(self, layer: int, slots: Ints) -> Ints:
        rows = self._library[0].reshape(self.n_layers, -1).copy()
        rows[layer] = slots
        return rows.ravel()

    # ------------------------------------------------------------------- what a search can use

    def canonical(self, X: ArrayLike) -> Ints:
        """Return X with the slots of each device ascending: one row per design, same shape."""
        rows = self._rows(X).reshape(-1, self.n_layers, self.n_slots)
        return self._sorted(rows).reshape(np.shape(X))

    def operators(self) -> dict[str, Any]:
        """Return fresh sampling, crossover and mutation, as ``NSGA2(**problem.operators())``."""
        return {
            "sampling": PlacementSampling(),
            "crossover": PlacementCrossover(),
            "mutation": PlacementMutation(),
        }

    def moved(self, X: Ints, random_state: np.random.Generator, *, max_moves: int = 1) -> Ints:
        """Return each row after 1 to `max_moves` legal moves."""
        out = X.copy()
        moves = random_state.integers(1, max_moves + 1, len(out))
        for i in range(max_moves):
            due = np.flatnonzero(moves > i)
            if len(due):
                some = np.ascontiguousarray(out[due])
                draws = random_state.random((len(due), DRAWS))
                move_rows(
                    some, self.n_layers, self.n_devices, self._mean, self._current, self._library,
                    draws, False,
                )  # fmt: skip
                out[due] = some
        return out

    def neighbors_many(self, X: ArrayLike, k: int, random_state: np.random.Generator) -> Ints:
        """Return k designs one move away from each row of X, [n, k, n_var].

        A move swaps two experts of a layer, mostly one of the hottest device; turns one copy into
        a copy of a busier expert; sends an expert back to where it is today; or takes a layer from
        one of the starts.
        """
        rows = self._rows(X)
        near = self.moved(np.repeat(rows, k, axis=0), random_state)
        return near.reshape(len(rows), k, self.n_var)

    def starts(self) -> Ints:
        """Return the named placements, today's, and steps on the way from there, [n, n_var]."""
        return self._library.copy()

    def features(self, X: ArrayLike) -> Floats:
        """Return what ``feature_names`` says, summed over layers, [n, 6]."""
        rows = np.ascontiguousarray(self._rows(X))
        out = np.zeros((len(rows), len(self.feature_names)))
        describe(
            rows, self.n_layers, self.n_devices, self.n_nodes, self._moments, self._mean,
            self._together, self._current, out,
        )  # fmt: skip
        return out

    def decode(self, x: ArrayLike) -> Placement:
        """Return the Placement of one row; ValueError names the expert that has no slot."""
        row = self._rows(np.reshape(x, (1, -1)))
        self.check(row)
        return Placement(self._sorted(row.reshape(self.n_layers, self.n_slots)), self.n_devices)

    def encode(self, placement: Placement) -> Ints:
        """Return a Placement as a canonical row, [n_var]."""
        shape = (placement.n_layers, placement.n_slots, placement.n_devices)
        if shape != (self.n_layers, self.n_slots, self.n_devices):
            raise invalid(
                "encode",
                "placement",
                shape,
                f"of {self.n_layers} layers, {self.n_slots} slots, {self.n_devices} devices",
            )
        return self._sorted(placement.physical_to_logical).ravel()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_known": {}}
