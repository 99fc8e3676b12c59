"""Experts to PEs, PEs to tiles, and links of a network-on-chip, jointly, as a pymoo problem."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from moe_costmodel import RoutingTrace
from moela.heartbeat.working import long_work
from problems._arrays import Floats, Ints
from problems._checks import check_choice, check_names, check_real, require
from problems.moe.base import AGGREGATES, MoEProblem, aggregated, as_windows
from problems.moe_on_chip.chip import MoEChip
from problems.moe_on_chip.demand import Activations, Demand, Roles
from problems.moe_on_chip.evaluation import UNITS, step_metrics
from problems.moe_on_chip.mappings import ExpertStatistics, check_mapping
from problems.moe_on_chip.moves import FEATURES, PARTS, Moves
from problems.moe_on_chip.settings import checked_capacities, checked_constraints
from problems.moe_on_chip.starts import drawn_rows, fitted_rows, named_mappings
from problems.moe_on_chip.visits import StepTraffic
from problems.noc.chip.given import movable, platform_of
from problems.noc.chip.platform import Platform
from problems.noc.design.design import Design
from problems.noc.design.rules import accepted, broken_row
from problems.noc.evaluation.physical import check_has_technology
from problems.noc.features.description import Description, check_near
from problems.noc.links import ALL

if TYPE_CHECKING:
    from problems.noc.problem import NoC3D

__all__ = ["MoEOnChip"]

EVALUATION = 1
"""Version of the evaluation; increased whenever a design gets other objectives than before."""


class MoEOnChip(MoEProblem):
    """Map experts to PEs, place PEs and links of a 3D chip, jointly; all objectives minimized.

    A row of X holds integers: the PE of each expert, layer by layer, then a row of ``NoC3D``, the
    PE on each tile and the links. Traffic follows from recorded routing; see ``traffic``.

    Parameters
    ----------
    trace : RoutingTrace or sequence of RoutingTrace
        Several traces are domains or windows of the traffic.
    platform : Platform, optional
        By default the 4 x 4 x 4 chip of the MOELA paper.
    activations : Activations
        Sizes of the messages.
    roles : Roles, optional
        Types of PEs that hold tokens, experts and memory.
    capacity : int, optional
        Experts that a PE can hold; by default the fewest with which all find a place.
    layer_capacity : int, optional
        Experts of one layer that a PE can hold; by default the fewest, so that all PEs take part in
        the computation of each layer.
    batch_size : int, optional
        Tokens of a step (prefill), or sequences decoded together (decode); by default two for each
        PE that holds tokens.
    mode : {"prefill", "decode"}
        "prefill" unless stated, while functions of a trace itself take "decode" by default.
        Decoding starts with all sequences of a batch at their first token, which often choose the
        same experts.
    objectives : sequence of str
        "latency" is the mean cycles of a packet under the mean traffic, "p99_latency" the 99th
        percentile of that mean over the recorded steps. "energy", "peak_load",
        "peak_temperature" and the other metrics of ``problems.noc.evaluation.metrics`` are those
        under the mean traffic.
    constraints : mapping from name to float, optional
        Largest value allowed of any objective by name, in each window, such as ``{"port_load":
        0.9}``. The platform adds its own limits, as in ``NoC3D``.
    step_cycles : float, optional
        Cycles of a step; by default as in ``traffic``.
    max_steps : int or None
        Recorded steps of a trace that count, evenly spaced.
    aggregate : {"mean", "worst"}
        How the values of several windows become one.
    decide : sequence of str
        Of "experts" and "network"; a part that is not decided keeps that of ``reference``.
    reference : MoEChip, optional
        By default the greedy mapping on the mesh: the busiest experts near their sources.
    held_out : RoutingTrace, optional
        A domain that does not count for the objectives.

    Attributes
    ----------
    capacity, layer_capacity : int
    demand : Demand
    step_cycles : float
    named_starts : dict of str to int array [n_layers, n_experts]
        The mappings "in order of ids", "greedy" and "anti-correlation".
    reference : MoEChip
        Its objectives are the reference point.
    held_out : MoEOnChip or None
        The same problem under the held-out trace alone.

    Raises
    ------
    ValueError
        A parameter is out of range: the PEs cannot hold all experts, a trace has other layers or
        experts, or no full step.

    References
    ----------
    Network: arXiv 2303.06169. Anti-correlation: arXiv 2303.06182, section 6.

    Examples
    --------
    >>> from problems import MoEOnChip
    >>> problem = MoEOnChip.example()
    >>> problem.n_var, problem.objective_names
    (352, ('p99_latency', 'energy', 'peak_temperature'))
    """

    _mutation = 1.0, 3
    _sample_moves = 3

    @long_work("building the problem of experts on a chip")
    def __init__(
        self,
        trace: RoutingTrace | Sequence[RoutingTrace],
        *,
        activations: Activations,
        platform: Platform | None = None,
        roles: Roles | None = None,
        capacity: int | None = None,
        layer_capacity: int | None = None,
        batch_size: int | None = None,
        mode: str = "prefill",
        objectives: Sequence[str] = ("p99_latency", "energy", "peak_temperature"),
        constraints: Mapping[str, float] | None = None,
        step_cycles: float | None = None,
        max_steps: int | None = 64,
        aggregate: str = "mean",
        decide: Sequence[str] = PARTS,
        reference: MoEChip | None = None,
        held_out: RoutingTrace | None = None,
    ) -> None:
        owner = "MoEOnChip"
        platform = platform_of(platform, owner)
        roles = Roles() if roles is None else roles
        require(owner, "roles", roles, isinstance(roles, Roles), "a Roles")
        if batch_size is None:
            batch_size = 2 * len(roles.pes(platform, "attention"))
        self.demand = Demand.checked(
            owner, platform, activations, roles, batch_size, mode, max_steps
        )
        self.windows = as_windows(trace, owner)
        self.n_layers, self.n_experts = self.windows[0].n_layers, self.windows[0].n_experts
        self.aggregate = check_choice(owner, "aggregate", aggregate, AGGREGATES)
        self.objective_names = check_names(owner, "objectives", objectives, UNITS)
        self.constraints = checked_constraints(constraints, platform)
        self._wanted = list(dict.fromkeys((*self.objective_names, *self.constraints)))
        check_has_technology(owner, self._wanted, platform)
        self.decide = check_names(owner, "decide", decide, PARTS)
        self._pes = roles.pes(platform, "experts")
        require(owner, "roles", roles, len(self._pes) > 1, "such that two PEs or more hold experts")
        size = len(self._pes), self.n_layers, self.n_experts
        self.capacity, self.layer_capacity = checked_capacities(size, capacity, layer_capacity)
        self._set_traffic(step_cycles)
        self._set_bounds()
        self._set_starts(reference)
        self._set_version(
            "moe-on-chip", EVALUATION, repr(platform.to_dict()), activations, roles, self.capacity,
            self.layer_capacity, self.demand.batch_size, mode, max_steps, self.step_cycles,
            self.objective_names, self.constraints, aggregate, self.decide, self._reference_row,
            *(w.topk_ids for w in self.windows), *(w.sequence_lengths for w in self.windows),
        )  # fmt: skip
        self.ref_point = aggregated(
            self._by_window(self._reference_row[None], self.objective_names), self.aggregate
        )[0]
        self.ref_point_source = "the reference, by default the greedy mapping on the mesh"
        self.held_out = None if held_out is None else self._under(held_out, owner, "held_out")

    @classmethod
    def example(cls, domain: str = "code", **settings: object) -> MoEOnChip:
        """Return the problem of the packaged example trace; settings are the constructor's."""
        trace = RoutingTrace.example(domain)  # type: ignore[arg-type]
        own: dict[str, object] = {"activations": Activations(d_model=2048)}
        return cls(trace, **(own | settings))  # type: ignore[arg-type]

    def under(self, trace: RoutingTrace | Sequence[RoutingTrace]) -> MoEOnChip:
        """Return the same problem, constraints aside, under other traces of the model."""
        return self._under(trace, "under", "trace")

    def _under(
        self, trace: RoutingTrace | Sequence[RoutingTrace], owner: str, name: str
    ) -> MoEOnChip:
        """Return `under`; messages name the parameter `name` of `owner`."""
        listed = as_windows(trace, owner, name=name)
        size = (listed[0].n_layers, listed[0].n_experts)
        expected = f"of {self.n_layers} layers of {self.n_experts} experts"
        require(owner, name, size, size == (self.n_layers, self.n_experts), expected)
        demand = self.demand
        return MoEOnChip(
            listed, activations=demand.activations, platform=demand.platform, roles=demand.roles,
            capacity=self.capacity, layer_capacity=self.layer_capacity,
            batch_size=demand.batch_size, mode=demand.mode,
            objectives=self.objective_names, step_cycles=self.step_cycles,
            max_steps=demand.max_steps, aggregate=self.aggregate, decide=self.decide,
            reference=self.reference,
        )  # fmt: skip

    def _set_traffic(self, step_cycles: float | None) -> None:
        recorded = [self.demand.record(window) for window in self.windows]
        if step_cycles is None:
            step_cycles = self.demand.step_cycles(recorded)
        self.step_cycles = check_real("MoEOnChip", "step_cycles", step_cycles, 0.0, above=True)
        self._traffic = [StepTraffic(self.demand, one, self.step_cycles) for one in recorded]
        limits = (self.capacity, self.layer_capacity)
        self._statistics = ExpertStatistics.of(recorded, self.n_experts, self._pes, limits)
        source = np.concatenate([one.source for one in recorded])
        self._sources = np.bincount(source, minlength=self.demand.platform.n_tiles) / len(source)

    def _set_bounds(self) -> None:
        platform = self.demand.platform
        n, m = platform.n_tiles, self.n_layers * self.n_experts
        planar, low = platform.n_planar_links, platform.n_planar_candidates
        counts = (m, n, planar, platform.n_chosen - planar)
        first, last = float(self._pes.min()), float(self._pes.max())
        super().__init__(
            np.repeat((first, 0.0, 0.0, float(low)), counts),
            np.repeat((last, n - 1.0, low - 1.0, len(platform.candidates) - 1.0), counts),
            n_ieq_constr=len(self.constraints),
        )

    def _set_starts(self, reference: MoEChip | None) -> None:
        platform, statistics = self.demand.platform, self._statistics
        mesh = np.concatenate(platform.mesh)
        mean = self._mean_traffic(statistics.in_order())
        expected = "such that tokens are sent to other PEs than their own"
        require("MoEOnChip", "trace", self.windows[0].source, mean.any(), expected)
        network = Description(platform, mean)
        self.feature_names = (*network.names, *FEATURES)
        decide = tuple(self.decide)
        if "experts" not in decide:
            movable(platform)
        elif platform.fixed_part == ALL:
            decide = ("experts",)
        self._moves = Moves(platform, statistics, self._sources, network, decide)
        self.named_starts = named_mappings(statistics, self._moves.distance(mesh))
        if reference is None:
            reference = MoEChip(self.named_starts["greedy"], Design.mesh(platform))
        self.reference = reference
        self._reference_row = self.encode(reference)

    # ------------------------------------------------------------------------------- evaluation

    def _split(self, row: Ints) -> tuple[Ints, Ints]:
        m = self.n_layers * self.n_experts
        return row[:m].reshape(self.n_layers, self.n_experts), row[m:]

    def _mapping(self, owner: str, experts: ArrayLike) -> Ints:
        shape = (self.n_layers, self.n_experts)
        limits = (self.capacity, self.layer_capacity)
        return check_mapping(owner, experts, shape, self._pes, *limits)

    def check(self, X: ArrayLike) -> None:
        """Check designs; the ValueError names the first row that breaks a rule, and the rule."""
        for i, row in enumerate(self._rows(X)):
            experts, network = self._split(row)
            self._mapping(f"row {i} of X", experts)
            broken = broken_row(self.demand.platform, network)
            if broken:
                raise ValueError(f"Row {i} of X breaks a rule: {broken} instead.")

    def _evaluate(self, x: ArrayLike, out: dict[str, Floats], *args: object, **kw: object) -> None:
        values = self._by_window(self._rows(x), self._wanted)
        out["F"] = aggregated(values[..., : self.n_obj], self.aggregate)
        if self.constraints:
            limits = np.array(list(self.constraints.values()))
            columns = [self._wanted.index(name) for name in self.constraints]
            out["G"] = values[..., columns].max(axis=0) / limits - 1.0

    def _by_window(self, rows: Ints, names: Sequence[str]) -> Floats:
        """Return metrics by name under each window, [n_windows, n, n_names]."""
        out = np.empty((len(self._traffic), len(rows), len(names)))
        for i, row in enumerate(rows):
            experts, network = self._split(row)
            self._mapping(f"row {i} of X", experts)
            for w, window in enumerate(self._traffic):
                steps = window.matrices(experts)
                values = step_metrics(self.demand.platform, steps, network, names)
                if values is None:
                    self.check(rows)
                    raise AssertionError("The kernel refused rows that break no rule.")
                out[w, i] = values
        return out

    def measure(self, X: ArrayLike, names: Sequence[str]) -> dict[str, Floats]:
        """Return metrics by name, objectives or not, each float [n], aggregated over windows."""
        listed = check_names("measure", "names", names, UNITS)
        check_has_technology("measure", listed, self.demand.platform)
        values = aggregated(self._by_window(self._rows(X), listed), self.aggregate)
        return {name: values[:, k] for k, name in enumerate(listed)}

    def beside_reference(
        self, chip: MoEChip, names: Sequence[str] | None = None
    ) -> dict[str, tuple[float, float, float]]:
        """Compare a chip with the reference, by default the greedy mapping on the mesh.

        Parameters
        ----------
        chip : MoEChip
        names : sequence of str, optional
            Metrics; by default the objectives and the constraints.

        Returns
        -------
        dict
            Metric -> value, value of the reference, change in per cent.
        """
        rows = np.stack((self.encode(chip), self._reference_row))
        found = self.measure(rows, self._wanted if names is None else names)
        return {
            name: (float(a), float(b), 100.0 * (float(a) / float(b) - 1.0) if b else math.nan)
            for name, (a, b) in found.items()
        }

    def _mean_traffic(self, experts: Ints) -> Floats:
        parts = [window.matrices(experts).mean(axis=0) for window in self._traffic]
        return np.mean(parts, axis=0)

    def traffic_of(self, chip: MoEChip, *, per_step: bool = False) -> Floats:
        """Return flits per cycle between the PEs of a chip, [n, n], or [n_steps, n, n] by step."""
        experts, _ = self._split(self.encode(chip))
        if per_step:
            return np.concatenate([window.matrices(experts) for window in self._traffic])
        return self._mean_traffic(experts)

    def network_problem(self, chip: MoEChip, **settings: object) -> NoC3D:
        """Return the problem of the network alone under the mean traffic of a chip's mapping.

        Settings are those of ``NoC3D``.
        """
        from problems.noc.problem import NoC3D

        traffic = self.traffic_of(chip)
        return NoC3D(traffic, platform=self.demand.platform, **settings)  # type: ignore[arg-type]

    # ------------------------------------------------------------------- used by the search

    def canonical(self, X: ArrayLike) -> Ints:
        """Return X with the links of each row ascending: one row per design, same shape."""
        rows = self._rows(X).copy()
        rows[:, self.n_layers * self.n_experts + self.demand.platform.n_tiles :].sort(axis=1)
        return rows.reshape(np.shape(X))

    def _move(self, X: Ints, chosen: Ints, random_state: np.random.Generator) -> None:
        for i in chosen.tolist():
            self._moves.move(X[i], random_state)

    def mixed(self, A: Ints, B: Ints, random_state: np.random.Generator) -> tuple[Ints, Ints]:
        """Return two recombinations of each pair of rows of A and B, both [n, n_var].

        Children take the experts of each layer from either parent; their networks lie between
        those of the parents.
        """
        return self._moves.mixed(A, B, random_state)

    def starts(self) -> Ints:
        """Return the named mappings, and fits for several weights, on the reference network."""
        experts, network = self._split(self._reference_row)
        if "experts" not in self.decide:
            return self._reference_row[None].copy()
        return fitted_rows(self._moves, self.named_starts, experts, network)

    def sampled(self, n_samples: int, random_state: np.random.Generator) -> Ints:
        """Return `n_samples` designs: starts, and their mappings on other networks.

        A third are starts if there are enough.
        """
        plain, rest = drawn_rows(self.starts(), n_samples, random_state)
        if "network" in self.decide and len(rest):
            rest[:, self.n_layers * self.n_experts :] = self._moves.networks(
                len(rest), random_state
            )
        return np.concatenate((plain, self.moved(rest, random_state, max_moves=3)))

    def features(self, X: ArrayLike) -> Floats:
        """Return the features named in ``feature_names`` for learned models, [n, n_features]."""
        rows = self._rows(X)
        return accepted(self._moves.features(rows), self.check, rows)

    def neighbor_features(self, X: ArrayLike, near: ArrayLike) -> Floats:
        """Return ``features`` of neighbors near [n, k, n_var] of designs X, [n, k, n_features]."""
        rows = self._rows(X)
        check_near(near, rows)
        flat = self._rows(np.reshape(near, (-1, self.n_var)))
        features = self._moves.neighbor_features(rows, flat.reshape(np.shape(near)))
        return accepted(features, self.check, rows, flat)

    def decode(self, x: ArrayLike) -> MoEChip:
        """Return the MoEChip of one design; the ValueError names the rule that it breaks."""
        row = self._row(x)
        self.check(row)
        platform = self.demand.platform
        experts, network = self._split(row[0])
        placement, links = np.split(network, [platform.n_tiles])
        return MoEChip(experts, Design(placement, platform.candidates[links], platform))

    def encode(self, chip: MoEChip) -> Ints:
        """Return a MoEChip of this platform and model as a canonical row, [n_var]."""
        platform = self.demand.platform
        holds = isinstance(chip, MoEChip) and chip.design.platform == platform
        require("encode", "chip", chip, holds, "a MoEChip on the problem's platform")
        experts = self._mapping("encode", chip.experts)
        return np.concatenate((experts.ravel(), chip.design.row()))
