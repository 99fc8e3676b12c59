"""The design of a 3D network-on-chip manycore as a pymoo problem."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from pymoo.core.crossover import Crossover
from pymoo.core.mutation import Mutation
from pymoo.core.problem import Problem
from pymoo.core.sampling import Sampling

from moela.heartbeat.working import long_work
from problems._arrays import Floats, Ints
from problems._checks import check_choice, check_int, require, setting_error
from problems.noc.chip.given import movable, platform_of
from problems.noc.chip.platform import Platform
from problems.noc.chip.traffic import (
    RELEASED_SCALE,
    OverloadWarning,
    check_applications,
    load_traffic,
    synthetic_traffic,
    warn_of_overload,
    warn_of_scale,
)
from problems.noc.design.design import Design
from problems.noc.design.difference import describe_differences
from problems.noc.design.rules import accepted
from problems.noc.evaluation.evaluation import AGGREGATES, NoCEvaluation
from problems.noc.evaluation.legality import first_illegal
from problems.noc.evaluation.limits import check_constraints, refuse_unreachable
from problems.noc.evaluation.metrics import CAPACITY_BOUND
from problems.noc.evaluation.objectives import MODELS, check_objectives
from problems.noc.features.description import Description, check_near
from problems.noc.measures import Measures
from problems.noc.moves import neighbors_batch
from problems.noc.operators import NoCCrossover, NoCMutation, NoCSampling, draw_seeds
from problems.noc.rows import canonical_rows, check_rows, design_of, rows_of
from problems.noc.version import version_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from problems.noc.comparison import BaselineComparison

__all__ = ["NoC3D"]


class NoC3D(Problem):
    """Place the PEs and the links of a 2D or 3D manycore chip, all objectives minimized.

    A row of X holds integers: the PE id on each tile (``n_tiles`` of them), then the indices of the
    design's links in ``platform.candidates``: ``n_planar_links`` tile pairs within layers and, if
    the platform has a TSV budget, ``n_vertical_links`` between layers. The order of the links of a
    kind does not matter; ascending is canonical.

    Parameters
    ----------
    traffic : float array-like [n_tiles, n_tiles], or a sequence of them
        Traffic from PE i to PE j, in flits per cycle (the objectives of the paper accept any unit;
        energy is per that unit); the diagonal never enters the network. Several matrices are
        applications that one design has to serve.
    platform : Platform, optional
        By default the 4 x 4 x 4 chip of the paper.
    objectives : {3, 4, 5} or sequence of str
        3 is mean and deviation of the link load and latency; 4 adds energy, 5 thermal. Also names
        in any order: "mean", "deviation", "latency", "energy", "thermal", "packet_latency",
        "peak_load", "port_load", "temperature", "peak_temperature", "edp", "wire_length",
        "router_area", "virtual_layers", "mean_hops"; see ``problems.noc.evaluation.metrics``. With
        a technology also those of ``problems.noc.evaluation.physical``.
    model : {"published", "released"}
        The formulas of the paper, or those of its released code, quirks included: see
        ``problems.noc.evaluation.objectives``.
    constraints : mapping from name to float, optional
        Largest value allowed of any objective by name, such as ``{"temperature": 85, "peak_load":
        1}``, in each application. A row of G is value / limit - 1 (value - limit if limit <= 0).
        The routing "lash" limits "virtual_layers", a technology "wire_tracks" and "tsv_area".
    aggregate : {"mean", "worst"}
        How the values of several applications become one objective. Values that depend on traffic
        are first divided by those of the mesh under the same application, since the totals of
        applications differ by orders of magnitude.
    held_out : float array-like [n_tiles, n_tiles], optional
        An application that does not count for the objectives.

    Attributes
    ----------
    objective_names : tuple of str
    constraints : dict
    ref_point : float array [n_obj]
        Objectives of the mesh, the reference point of the hypervolumes in the MOELA paper.
    held_out : NoC3D or None
        The same problem under the held-out application alone, to evaluate the final designs.
    version : str
        Hash of all that determines an evaluation.

    Notes
    -----
    A subclass may append objectives of its own: it adds to ``n_obj``, ``objective_names`` and
    ``ref_point``, changes ``version``, and adds columns to F in ``_evaluate``. Comparisons with
    the mesh and other networks then hold the metrics of this class only.

    Raises
    ------
    ValueError
        A parameter is wrong, or no design can meet a constraint.

    Warns
    -----
    OverloadWarning
        A PE sends or receives more than its port takes: of traffic files always, of arrays if an
        objective or constraint depends on the capacity of the links.

    Examples
    --------
    >>> from problems.noc import NoC3D
    >>> problem = NoC3D.example("bfs", objectives=3)
    >>> problem.n_var, problem.n_obj
    (160, 3)
    """

    @long_work("building the network-on-chip problem")
    def __init__(
        self,
        traffic: ArrayLike | Sequence[Floats],
        *,
        platform: Platform | None = None,
        objectives: int | Sequence[str] = 5,
        model: str = "published",
        constraints: Mapping[str, float] | None = None,
        aggregate: str = "mean",
        held_out: ArrayLike | None = None,
    ) -> None:
        self.platform = platform = platform_of(platform, "NoC3D")
        self.model = check_choice("NoC3D", "model", model, MODELS)
        self.aggregate = check_choice("NoC3D", "aggregate", aggregate, AGGREGATES)
        self.objective_names = check_objectives(objectives, platform)
        self.constraints = check_constraints(constraints, platform)
        # The names of the objectives come first.
        self._wanted = list(dict.fromkeys((*self.objective_names, *self.constraints)))
        self._traffic = check_applications(traffic, platform.n_tiles)
        self._evaluation = NoCEvaluation(platform, self._traffic, model, aggregate)
        counted = np.zeros_like(self._traffic)
        if "latency" in self._wanted:
            source, target, weight = self._evaluation.flows
            counted[:, source, target] = weight
        refuse_unreachable(self.constraints, platform, self._traffic, counted)
        if not CAPACITY_BOUND.isdisjoint(self._wanted):
            warn_of_overload(self._traffic, platform.link_capacity)
        # Each of several applications has the same weight, whatever its total.
        shares = self._traffic / self._traffic.sum(axis=(1, 2), keepdims=True)
        combined = self._traffic[0] if len(shares) == 1 else shares.mean(axis=0)
        self._description = Description(platform, combined)
        n, n_planar = platform.n_tiles, platform.n_planar_links
        counts = (n, n_planar, platform.n_chosen - n_planar)
        low, high = platform.n_planar_candidates, len(platform.candidates)
        super().__init__(
            n_var=n + platform.n_chosen,
            n_obj=len(self.objective_names),
            n_ieq_constr=len(self.constraints),
            xl=np.repeat((0.0, 0.0, float(low)), counts),
            xu=np.repeat((n - 1.0, low - 1.0, high - 1.0), counts),
            vtype=int,
        )
        several = self.aggregate if len(self._traffic) > 1 else ""
        self.version = version_of(
            platform, self._traffic, self.model, self.objective_names, self.constraints, several
        )
        mesh = self._measures.values(self.mesh_row()[None], self.objective_names)
        self._unit = self._evaluation.units(mesh[0], self.objective_names)
        self.ref_point: Floats = self._evaluation.aggregated(mesh, self._unit)[0]
        other = None if held_out is None else check_applications(held_out, n, "held_out")
        self.held_out = None if other is None else self.under(other)

    @classmethod
    def from_traffic(
        cls,
        path: str | Path | Sequence[str | Path],
        *,
        platform: Platform | None = None,
        scale: float = RELEASED_SCALE,
        held_out: str | Path | None = None,
        **settings: Any,
    ) -> NoC3D:
        """Make the problem from files, divided by `scale`; see `problems.noc.load_traffic`."""
        platform = platform_of(platform, "from_traffic")
        paths = [path] if isinstance(path, str | Path) else list(path)
        require("from_traffic", "path", paths, paths, "one traffic file or more")
        read = partial(load_traffic, n=platform.n_tiles, scale=scale)
        other = None if held_out is None else read(held_out)
        traffic = [read(p) for p in paths]
        for matrix, source in zip(traffic, paths, strict=True):
            warn_of_scale(matrix, scale, str(source))
        warn_of_overload(traffic, platform.link_capacity, [str(p) for p in paths])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OverloadWarning)  # said above, with the names of files
            return cls(traffic, platform=platform, held_out=other, **settings)

    @classmethod
    def example(
        cls,
        application: str = "bfs",
        *,
        platform: Platform | None = None,
        seed: int = 0,
        **settings: Any,
    ) -> NoC3D:
        """Make the problem with made-up traffic; see `problems.noc.synthetic_traffic`."""
        platform = platform_of(platform, "example")
        rng = np.random.default_rng(check_int("example", "seed", seed, 0))
        return cls(synthetic_traffic(application, platform, rng), platform=platform, **settings)

    def under(self, traffic: ArrayLike | Sequence[Floats]) -> NoC3D:
        """Return the same problem, constraints aside, under other traffic."""
        names, model, how = self._wanted[: self._unit.shape[-1]], self.model, self.aggregate
        return NoC3D(traffic, platform=self.platform, objectives=names, model=model, aggregate=how)

    @property
    def traffic(self) -> Floats:
        """Traffic between PEs, [n_tiles, n_tiles] or [n_apps, n_tiles, n_tiles]; read-only."""
        view = (self._traffic[0] if len(self._traffic) == 1 else self._traffic).view()
        view.flags.writeable = False
        return view

    def __repr__(self) -> str:
        n, platform = len(self._traffic), self.platform
        pes = ", ".join(f"{kind.count} {kind.name}" for kind in platform.pe_types)
        grid = " x ".join(map(str, platform.grid))
        applications = "1 application" if n == 1 else f"{n} applications ({self.aggregate})"
        limits = "".join(f", {name} <= {limit:g}" for name, limit in self.constraints.items())
        return (
            f"{type(self).__name__}: {grid} tiles ({pes}), {applications}, minimize "
            f"{', '.join(self.objective_names)}{limits}"
        )

    def _evaluate(self, x: ArrayLike, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        values = self._measures.values(self._rows(x), self._wanted)
        # A subclass may have more objectives than are named here.
        out["F"] = self._evaluation.aggregated(values[..., : self._unit.shape[-1]], self._unit)
        if self.constraints:
            limits = np.array(list(self.constraints.values()))
            columns = [self._wanted.index(name) for name in self.constraints]
            worst = values[..., columns].max(axis=1)
            out["G"] = (worst - limits) / np.where(limits > 0, limits, 1.0)

    @property
    def _measures(self) -> Measures:
        return Measures(self._evaluation, self.check)

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Names of the possible objectives and constraints on this platform."""
        return self._measures.names

    def measure(self, X: ArrayLike, names: Sequence[str] | None = None) -> dict[str, Floats]:
        """Return metrics by name, objectives or not, each float [n], or [n, n_apps].

        Parameters
        ----------
        X : int array-like [n, n_var]
        names : sequence of str, optional
            Names from ``metric_names``; by default all.
        """
        measures = self._measures
        names = measures.names if names is None else measures.checked(names, "measure")
        values = measures.values(self._rows(X), names)
        values = values[:, 0] if len(self._traffic) == 1 else values
        return {name: values[..., k] for k, name in enumerate(names)}

    def beside_mesh(
        self, x: ArrayLike | Design, names: Sequence[str] | None = None
    ) -> dict[str, tuple[float, float, float]]:
        """Compare a design with the mesh.

        Parameters
        ----------
        x : int array-like [n_var] or Design
        names : sequence of str, optional
            Names from ``metric_names``; by default the objectives and the constraints.

        Returns
        -------
        dict
            Metric -> value, value of the mesh, change in per cent (NaN if that of the mesh is 0).
            Several applications are aggregated as in the objectives. The percentage leaves out
            the part that every design has alike: waits of packets in the queues of the PEs, their
            length, and the ambient temperature.
        """
        row = self.encode(x) if isinstance(x, Design) else np.reshape(x, -1)
        measures = self._measures
        names = self._wanted if names is None else measures.checked(names, "beside_mesh")
        return measures.beside(self._rows(row)[0], self.mesh_row(), names)

    def plot_beside_mesh(self, x: ArrayLike | Design, names: Sequence[str] | None = None) -> Figure:
        """Draw a design below the mesh, with every objective's change; as ``beside_mesh``."""
        from problems.noc.design.drawing import draw_beside  # matplotlib takes long to import

        design = x if isinstance(x, Design) else self.decode(x)
        mesh = Design.mesh(self.platform)
        rows = np.stack((self.encode(design), self.mesh_row()))
        loads, mesh_loads = self.channel_loads(rows).sum(axis=-1).mean(axis=1)
        return draw_beside(design, mesh, loads, mesh_loads, self.beside_mesh(design, names))

    def beside_baselines(
        self, x: ArrayLike | Design, names: Sequence[str] | None = None, **settings: Any
    ) -> BaselineComparison:
        """Compare a design with regular networks; see `problems.noc.BaselineComparison`."""
        from problems.noc.comparison import compare_with_baselines

        return compare_with_baselines(self, x, names, **settings)

    def plot_traffic(self, titles: Sequence[str] = ()) -> Figure:
        """Draw the traffic between PEs, a panel for each application, with these titles."""
        from problems.noc.design.drawing import draw_traffic

        return draw_traffic(self._traffic, self.platform, titles)

    def link_loads(self, X: ArrayLike) -> Floats:
        """Return the traffic that crosses each link in both directions, [n, n_links] or [n_links].

        The chosen links come in the order of the row, then those of every design in the platform's
        order. With several applications [n, n_apps, n_links] or [n_apps, n_links].
        """
        loads = self.channel_loads(X).sum(axis=-1)
        return loads[..., 0, :] if len(self._traffic) == 1 else loads

    def channel_loads(self, X: ArrayLike) -> Floats:
        """Return loads by direction, [n, n_apps, n_links, 2], or without n for one row.

        The first direction is from the tile with the smaller index to the other.
        """
        rows = self._rows(X)
        loads = self._measures.channel_loads(rows)
        return loads if np.ndim(X) == 2 else loads[0]

    def check(self, X: ArrayLike) -> None:
        """Check rows of X, [n, n_var] or [n_var].

        A ValueError names the first row that breaks a rule, the rule and the place.
        """
        check_rows(self._rows(X), self.platform)

    def legal_rows(self, X: ArrayLike) -> Ints:
        """Return X as int64 rows [n, n_var] for compiled code; ValueError if a row breaks a rule.

        Only ``check`` looks at connectedness, which compiled code does not need.
        """
        rows = self._rows(X)
        if first_illegal(rows, self.platform.tables) >= 0:
            self.check(rows)
        return rows

    def _rows(self, X: ArrayLike) -> Ints:
        return rows_of(X, self.platform)

    def operators(self) -> dict[str, Sampling | Crossover | Mutation]:
        """Return fresh sampling, crossover and mutation, as ``NSGA2(**problem.operators())``."""
        return {"sampling": NoCSampling(), "crossover": NoCCrossover(), "mutation": NoCMutation()}

    def neighbors(self, x: ArrayLike, k: int, random_state: np.random.Generator) -> Ints:
        """Return k neighbors of the design x [n_var], [k, n_var]; see ``neighbors_many``."""
        return self.neighbors_many(np.reshape(x, (1, -1)), k, random_state)[0]

    def neighbors_many(self, X: ArrayLike, k: int, random_state: np.random.Generator) -> Ints:
        """Return k different designs one move away from each row of X, [n, k, n_var].

        A move swaps two PEs or moves one link, vertical ones with a TSV budget, with equal chances.
        A pair of PEs of one type is drawn a quarter as often as one of two types. Moves repeat only
        if the platform leaves fewer than k. The neighbors of a row depend on it and its position.
        """
        rows = self.legal_rows(X)
        k = check_int("neighbors", "k", k, 0)
        out = np.empty((len(rows), k, self.n_var), dtype=np.int64)
        seeds = draw_seeds(random_state, len(rows), "neighbors")
        platform = movable(self.platform)
        neighbors_batch(rows, platform.tables, platform.fixed_part, seeds, out)
        return out

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns of ``features``."""
        return self._description.names

    def features(self, X: ArrayLike) -> Floats:
        """Return a few dozen numbers about each design for learned models, [n, n_features]."""
        rows = self._rows(X)
        return accepted(self._description.features(rows), self.check, rows)

    def neighbor_features(self, X: ArrayLike, near: ArrayLike) -> Floats:
        """Return ``features`` of neighbors near [n, k, n_var] of designs X, [n, k, n_features].

        What a neighbor shares with its design is not counted again.
        """
        rows = self._rows(X)
        check_near(near, rows)
        flat = self._rows(np.reshape(near, (-1, self.n_var)))
        features = self._description.neighbor_features(rows, flat.reshape(np.shape(near)))
        return accepted(features, self.check, rows, flat)

    def canonical(self, X: ArrayLike) -> Ints:
        """Return X with the links of each row ascending: one row per design, same shape."""
        return canonical_rows(self._rows(X), self.platform).reshape(np.shape(X))

    def mesh_row(self) -> Ints:
        """Return the mesh as a row of X, [n_var]."""
        return np.concatenate(self.platform.mesh)

    def decode(self, x: ArrayLike) -> Design:
        """Return the Design of one row; ValueError names the rule that it breaks."""
        row = self._rows(np.reshape(x, -1))
        self.check(row)
        return design_of(row[0], self.platform)

    def describe_differences(self, x: ArrayLike, y: ArrayLike) -> list[str]:
        """Return phrases on what row x has instead of row y: PEs at other tiles, links."""
        return describe_differences(self.decode(x), self.decode(y))

    def encode(self, design: Design) -> Ints:
        """Return a Design of this platform as a canonical row, [n_var]."""
        if not isinstance(design, Design) or design.platform != self.platform:
            raise setting_error("encode", "design", "a Design of the problem's platform", design)
        return design.row()
