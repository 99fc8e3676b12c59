"""Placement of experts and their replicas on devices as a pymoo problem."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moe_costmodel import Placement, RoutingTrace, cross_node_traffic, sample_loads
from problems._arrays import Floats, Ints
from problems._checks import (
    check_choice,
    check_int,
    check_names,
    check_real,
    require,
    setting_error,
)
from problems.moe.base import (
    AGGREGATES,
    MoEProblem,
    aggregated,
    as_windows,
    exchanged,
)
from problems.moe.placement.checks import (
    check_complete,
    check_layer,
    current_or_default,
    slots_of_layer,
)
from problems.moe.placement.kernels import FEATURES, busiest
from problems.moe.placement.moves import Slots
from problems.moe.placement.pair_search import pairs_of_tokens, second_moments, shares_of
from problems.moe.placement.starts import StartMaker

__all__ = ["ExpertPlacement"]

EVALUATION = 1
"""Version of the evaluation: increased whenever a design gets other objectives than before."""

OBJECTIVES = {
    "avg_max_load": "mean share of a step's tokens on its busiest device, mean of the layers",
    "p99_max_load": "99th percentile of that share over the steps, mean of the layers",
    "replica_bytes": "replicas, over all devices and layers (DeploymentModel: of one device)",
    "cross_node_traffic": "other nodes that a token is sent to, mean of the layers",
    "migration_bytes": "experts to copy from the current placement, over all layers",
}
_PER_LAYER = ("avg_max_load", "p99_max_load", "cross_node_traffic")
_MAX_LAYERS_KEPT = 200_000


class ExpertPlacement(MoEProblem):
    """Place the experts of every layer, and replicas, on devices; all objectives are minimized.

    A row of X holds the expert in each slot, layer by layer, and device by device within a layer:
    the rows of ``Placement.physical_to_logical``. Every expert has at least one slot. The tokens of
    an expert with several slots are split evenly over its copies. The order of a device's slots
    does not matter; ascending is canonical. A second copy on the same device stands for a slot that
    may stay empty: "replica_bytes" leaves it out. An engine that fills every slot needs memory for
    it, too, and ``moe_costmodel.DeploymentModel`` counts it. That model also deals whole tokens to
    the copies, not fractions, so its loads of a placement with replicas differ slightly.

    Layers are independent of one another, so the values of a layer are kept, and a design in which
    one layer changed costs one layer.

    Parameters
    ----------
    trace : RoutingTrace or sequence of RoutingTrace
        Several traces are windows, domains or workloads of the traffic. Traces of loads only are
        enough, except for the traffic between nodes.
    n_devices : int
    n_nodes : int
        Number of nodes, a divisor of `n_devices`; consecutive devices share a node.
    replicas : int
        Slots of a layer beyond one per expert.
    batch_size : int
        Sequences decoded together (decode) or tokens of a step (prefill).
    mode : {"decode", "prefill"}
    k : int, optional
        Experts that each token is sent to. With it, steps of `batch_size` are drawn from traces of
        loads (:func:`moe_costmodel.sample_loads`); without it, their recorded steps count as they
        are. Traces of tokens hold it.
    objectives : sequence of str, optional
        Of "avg_max_load", "p99_max_load", "replica_bytes", "cross_node_traffic" and
        "migration_bytes". By default the loads and the migration; the replicas if there are any;
        and the traffic if there are several nodes and the traces hold the tokens' choices.
    current : Placement, optional
        Placement that runs today, for the migration; by default contiguous.
    expert_bytes : float
        Size of an expert; by default bytes are counted in experts.
    aggregate : {"mean", "worst"}
        How the values of several windows become one.

    Attributes
    ----------
    named_starts : dict of str to Placement
        The classic placements and those of ``problems.moe.placement.pair_search``.

    Raises
    ------
    ValueError
        If a parameter is out of range: more devices than experts, slots that the devices do not
        divide, a load-only trace although tokens are needed.

    References
    ----------
    Avg Max Load, greedy and anti-correlation: arXiv 2303.06182, section 6. Replicate-and-pack:
    DeepSeek's EPLB. See ``moe_costmodel.placement.heuristics``.

    Examples
    --------
    >>> from problems.moe import ExpertPlacement
    >>> problem = ExpertPlacement.example(n_devices=4)
    >>> problem.n_var, problem.objective_names
    (192, ('avg_max_load', 'p99_max_load', 'migration_bytes'))
    """

    feature_names = FEATURES
    _mutation = 0.9, 5
    _sample_moves = 5

    def __init__(
        self,
        trace: RoutingTrace | Sequence[RoutingTrace],
        *,
        n_devices: int,
        n_nodes: int = 1,
        replicas: int = 0,
        batch_size: int = 4,
        mode: str = "decode",
        k: int | None = None,
        objectives: Sequence[str] | None = None,
        current: Placement | None = None,
        expert_bytes: float = 1.0,
        aggregate: str = "mean",
    ) -> None:
        owner = "ExpertPlacement"
        self.windows = as_windows(trace, owner, tokens=False)
        first = self.windows[0]
        n_layers, n_experts = first.n_layers, first.n_experts
        self.n_layers, self.n_experts = n_layers, n_experts
        require(owner, "trace", n_experts, n_experts > 1, "of two experts or more, to be placed")
        self.n_devices = check_int(owner, "n_devices", n_devices, 2, n_experts)
        self.n_nodes = check_int(owner, "n_nodes", n_nodes, 1)
        if self.n_devices % self.n_nodes:
            raise setting_error(owner, "n_nodes", f"a divisor of {n_devices} devices", n_nodes)
        self.n_slots = slots_of_layer(n_experts, replicas, self.n_devices, owner)
        self.n_replicas = int(replicas)
        self.expert_bytes = check_real(owner, "expert_bytes", expert_bytes, 0.0, above=True)
        self.aggregate = check_choice(owner, "aggregate", aggregate, AGGREGATES)
        check_int(owner, "batch_size", batch_size, 1)
        tokens = not any(window.is_load_only for window in self.windows)
        if objectives is None:
            defaults = ["avg_max_load", "p99_max_load"]
            defaults += ["replica_bytes"] * (self.n_replicas > 0)
            defaults += ["cross_node_traffic"] * (self.n_nodes > 1 and tokens)
            objectives = [*defaults, "migration_bytes"]
        self.objective_names = check_names(owner, "objectives", objectives, OBJECTIVES)
        if "cross_node_traffic" in self.objective_names:
            as_windows(trace, owner)
        self._k = None if k is None else check_int(owner, "k", k, 1, n_experts)
        for window in self.windows if k is not None else []:
            holds = window.is_load_only or window.k == k
            require(owner, "k", k, holds, f"that of the choices in {window.source!r}, or None")
        mean, moments, together = self._set_traffic(batch_size, mode)
        maker = StartMaker(
            loads=self._loads, moments=moments, together=together,
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
        self._slots = Slots(
            self.n_devices, self.n_nodes, mean, moments, together, self._current, self._library
        )
        n_var = n_layers * self.n_slots
        super().__init__(np.zeros(n_var), np.full(n_var, n_experts - 1))
        self._known: dict[tuple[int, bytes], Floats] = {}
        self._set_version(
            "placement", EVALUATION, self._loads, self._bounds, self.n_devices, self.n_nodes,
            self.n_replicas, self.objective_names, self.expert_bytes, aggregate, self._current,
            *(w.topk_ids for w in self._token_windows()),
        )  # fmt: skip
        worst = self._values(self._library).max(axis=0)
        self.ref_point = np.where(worst > 0, 1.05 * worst, 1.0)
        self.ref_point_source = "the worst of the starts in each objective, + 5 %"

    @classmethod
    def example(
        cls, domain: str = "code", *, n_devices: int = 4, **settings: Any
    ) -> ExpertPlacement:
        """Return the problem of the packaged example trace; settings are the constructor's."""
        trace = RoutingTrace.example(domain)  # type: ignore[arg-type]
        return cls(trace, n_devices=n_devices, **settings)

    def _token_windows(self) -> list[RoutingTrace]:
        return self.windows if "cross_node_traffic" in self.objective_names else []

    def _steps(
        self, window: RoutingTrace, number: int, batch_size: int, mode: str
    ) -> NDArray[np.generic]:
        """Return the loads of a window's steps, [n_steps, n_layers, n_experts]."""
        if not window.is_load_only:
            return window.loads(batch_size, mode)  # type: ignore[arg-type]
        if self._k is None:
            return window.loads()
        return sample_loads(
            window, batch_size, mode, k=self._k,  # type: ignore[arg-type]
            random_state=np.random.default_rng([number, batch_size]),
        )  # fmt: skip

    def _set_traffic(self, batch_size: int, mode: str) -> tuple[Floats, Floats, Floats]:
        """Set the loads and shares of the traffic; return mean shares and moments of pairs."""
        parts = [self._steps(window, i, batch_size, mode) for i, window in enumerate(self.windows)]
        shares = [shares_of(loads) for loads in parts]
        self._bounds = np.cumsum([0, *map(len, shares)])
        joined = np.concatenate(shares)
        # Workloads of different sizes count alike; anti-correlation takes tokens if there are any.
        loads_only = any(window.is_load_only for window in self.windows)
        self._loads = joined if loads_only else np.concatenate(parts).astype(np.float64)
        self._shares = [np.ascontiguousarray(joined[:, i].T) for i in range(self.n_layers)]
        self._layer_traces = [
            [RoutingTrace(w.topk_ids[:, i : i + 1], n_experts=w.n_experts) for w in self.windows]
            for i in range(self.n_layers)
            if self._token_windows()
        ]
        moments = np.mean([second_moments(w, batch_size, mode) for w in self.windows], axis=0)
        together = np.zeros_like(moments)
        if self.n_nodes > 1 and not loads_only:
            together = pairs_of_tokens(self.windows)
        return np.mean([part.mean(axis=0) for part in shares], axis=0), moments, together

    # ------------------------------------------------------------------------------- evaluation

    def _sorted(self, slots: Ints) -> Ints:
        """Return slots [..., n_slots] with those of each device ascending."""
        n_local = self.n_slots // self.n_devices
        by_device = slots.reshape(*slots.shape[:-1], self.n_devices, n_local)
        return np.sort(by_device, axis=-1).reshape(slots.shape)

    def check(self, X: ArrayLike) -> None:
        """Check designs; the ValueError names a value out of bounds or an expert without a slot."""
        slots = self._rows(X).reshape(-1, self.n_layers, self.n_slots)
        check_complete(slots, self.n_experts, "ExpertPlacement")

    def _evaluate(self, x: ArrayLike, out: dict[str, Floats], *args: object, **kw: object) -> None:
        out["F"] = self._values(self._rows(x))

    def _values(self, rows: Ints) -> Floats:
        slots = self._sorted(rows.reshape(len(rows), self.n_layers, self.n_slots))
        layers = np.empty((len(rows), self.n_layers, len(OBJECTIVES), len(self.windows)))
        for i, row in enumerate(slots):
            for layer, experts in enumerate(row):
                layers[i, layer] = self._layer(layer, experts)
        total = np.ascontiguousarray(layers.transpose(3, 0, 2, 1)).sum(axis=3)
        values = aggregated(total, self.aggregate)
        columns = []
        for name in self.objective_names:
            column = values[:, list(OBJECTIVES).index(name)]
            columns.append(column / self.n_layers if name in _PER_LAYER else column)
        return np.stack(columns, axis=1)

    def _layer(self, layer: int, slots: Ints) -> Floats:
        """Return each objective of one layer on each window, [n_obj, n_windows]."""
        key = (layer, slots.tobytes())
        values = self._known.get(key)
        if values is None:
            values = self._layer_values(layer, slots)
            if len(self._known) >= _MAX_LAYERS_KEPT:
                # The oldest half is dropped: a search seldom returns to its first designs.
                for old in list(self._known)[: _MAX_LAYERS_KEPT // 2]:
                    del self._known[old]
            self._known[key] = values
        return values

    def _layer_values(self, layer: int, slots: Ints) -> Floats:
        n_windows = len(self.windows)
        out = np.zeros((len(OBJECTIVES), n_windows))
        check_layer(slots, layer, self.n_experts, "ExpertPlacement")
        most = busiest(self._shares[layer], slots, self.n_devices, self._bounds, out[0])
        for w in range(n_windows):
            steps = most[self._bounds[w] : self._bounds[w + 1]]
            rank = max(0, int(np.ceil(0.99 * len(steps))) - 1)
            out[1, w] = np.partition(steps, rank)[rank]
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

    # ------------------------------------------------------------------- used by the search

    def canonical(self, X: ArrayLike) -> Ints:
        """Return X with the slots of each device ascending: one row per design, same shape."""
        rows = self._rows(X).reshape(-1, self.n_layers, self.n_slots)
        return self._sorted(rows).reshape(np.shape(X))

    def _move(self, X: Ints, chosen: Ints, random_state: np.random.Generator) -> None:
        if len(chosen):
            X[chosen] = self._slots.moved(X[chosen], random_state)

    def mixed(self, A: Ints, B: Ints, random_state: np.random.Generator) -> tuple[Ints, Ints]:
        """Exchange a random part of the layers between rows of A and B, both [n, n_var]."""
        n = len(A)
        swap = random_state.random((n, self.n_layers)) < random_state.random((n, 1))
        return exchanged(A, B, np.repeat(swap, self.n_slots, axis=1))

    def starts(self) -> Ints:
        """Return the named placements, today's, and ones ever further from it, [n, n_var]."""
        return self._library.copy()

    def features(self, X: ArrayLike) -> Floats:
        """Return the features named in ``feature_names``, summed over layers, [n, 6]."""
        return self._slots.features(self._rows(X))

    def decode(self, x: ArrayLike) -> Placement:
        """Return the Placement of one design; the ValueError names an expert without a slot."""
        row = self._row(x)
        self.check(row)
        return Placement(self._sorted(row.reshape(self.n_layers, self.n_slots)), self.n_devices)

    def encode(self, placement: Placement) -> Ints:
        """Return a Placement as a canonical row, [n_var]."""
        holds = isinstance(placement, Placement)
        require("encode", "placement", placement, holds, "a Placement")
        shape = (placement.n_layers, placement.n_slots, placement.n_devices)
        if shape != (self.n_layers, self.n_slots, self.n_devices):
            expected = f"of {self.n_layers} layers, {self.n_slots} slots, {self.n_devices} devices"
            raise setting_error("encode", "placement", expected, shape)
        return self._sorted(placement.physical_to_logical).ravel()

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_known": {}}
