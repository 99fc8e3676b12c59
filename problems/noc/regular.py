"""Regular networks that a platform allows, with their PEs placed for a problem."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from problems._arrays import Floats, Ints
from problems.noc.baselines import anneal, express_mesh, folded_torus, with_links
from problems.noc.chip.platform import Platform
from problems.noc.chip.traffic import OverloadWarning
from problems.noc.design.design import Design
from problems.noc.evaluation.evaluation import NoCEvaluation
from problems.noc.evaluation.physical import wire_length as length_of_wires
from problems.noc.problem import NoC3D

__all__ = ["Values", "evaluation_on", "named_objectives", "regular_networks", "wires"]

LEAST = 1e-3
"""Smallest value of an objective relative to the mesh that counts for a placement."""


class Values:
    """Metrics of rows of X on any platform, as the problem aggregates them.

    Parameters
    ----------
    problem : NoC3D
    names : sequence of str
        The metrics.

    Attributes
    ----------
    mesh : float array [n_names]
        Values of the problem's mesh. Applications count relative to it, on whatever platform.
    shared : float array [n_names]
        The part of the values that every design has alike.
    """

    def __init__(self, problem: NoC3D, names: Sequence[str]) -> None:
        self.names = names
        own = evaluation_on(problem.platform, problem)
        mesh = own.values(problem.mesh_row()[None], names)
        assert mesh is not None, "The mesh keeps all rules."
        self._units = own.units(mesh[0], names)
        self.mesh: Floats = own.aggregated(mesh, self._units)[0]
        self.shared: Floats = np.array(own.alike(names, self._units))

    def __call__(self, own: NoCEvaluation, row: Ints) -> Floats:
        """Return the metrics of a row, [n_names]; ``own`` is of the platform of the row."""
        values = own.values(row[None], self.names)
        assert values is not None, "A design keeps all rules."
        return own.aggregated(values, self._units)[0]


def named_objectives(problem: NoC3D) -> tuple[str, ...]:
    """Return the objectives of a problem that are metrics, without those that a subclass adds."""
    return tuple(name for name in problem.objective_names if name in problem.metric_names)


def evaluation_on(platform: Platform, problem: NoC3D) -> NoCEvaluation:
    """Return the evaluation of a problem's traffic on another platform."""
    n = platform.n_tiles
    traffic = np.array(problem.traffic).reshape(-1, n, n)
    return NoCEvaluation(platform, traffic, problem.model, problem.aggregate)


def wires(design: Design) -> float:
    """Return the length of the planar links of a design, in tile pitches."""
    return float(length_of_wires(design.platform, design.row()[None])[0])


def regular_networks(
    problem: NoC3D, wire_length: float, rng: np.random.Generator, n_eval: int
) -> tuple[dict[str, Design], dict[str, str]]:
    """Return regular networks with their PEs placed, and the reasons why others are missing.

    Parameters
    ----------
    problem : NoC3D
    wire_length : float
        Length of the planar links of the express mesh, in tile pitches; at least that of the mesh.
    rng : Generator
    n_eval : int
        Designs that each placement evaluates.
    """
    networks, missing = _allowed(problem.platform, wire_length)
    if not problem.platform.fixed_placement:
        for name in [name for name in networks if name != "mesh"]:
            regular = networks.pop(name)
            moves = _placements(problem, regular)
            if moves is None:
                missing[name] = "it needs more wires or TSVs than the technology has"
            else:
                networks[name] = _placed(problem, moves, regular, rng, n_eval)
    return networks, missing


def _allowed(platform: Platform, wire_length: float) -> tuple[dict[str, Design], dict[str, str]]:
    """Return the networks that the platform allows, and the reasons why others are missing."""
    mesh = Design.mesh(platform)
    networks, missing = {"mesh": mesh, "placed mesh": mesh}, dict[str, str]()
    if platform.fixed_placement:
        del networks["placed mesh"]
        missing["placed mesh"] = "the platform fixes the placement"
    makers: dict[str, Callable[[], Design]] = {
        "folded torus": partial(folded_torus, platform),
        "express mesh": partial(_express, platform, wire_length),
    }
    longest = "" if platform.max_length is None else f" and max_length of {platform.max_length:g}"
    for name, make in makers.items():
        if platform.routing == "dimension_order":
            missing[name] = "routes in dimension order are for meshes"
            continue
        try:
            networks[name] = make()
        except ValueError:
            missing[name] = f"a max_degree of {platform.max_degree}{longest} does not allow it"
    return networks, missing


def _express(platform: Platform, wire_length: float) -> Design:
    """Return the express mesh with some wire, but at least that of the plain mesh."""
    least = wires(express_mesh(platform, spans=()))
    return express_mesh(platform, wire_length=max(wire_length, least))


def _placements(problem: NoC3D, network: Design) -> NoC3D | None:
    """Return a problem of all placements on a network; None if the technology forbids all."""
    platform = with_links(network.platform, network.links)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OverloadWarning)  # the problem itself has warned
        try:
            return NoC3D(problem.traffic, platform=platform, objectives=("mean",))
        except ValueError:
            if platform.technology is None:
                raise
            return None


def _placed(
    problem: NoC3D, moves: NoC3D, network: Design, rng: np.random.Generator, n_eval: int
) -> Design:
    """Return a network with PEs placed for the objectives of the problem."""
    # The layers take long to count, and hardly depend on the placement.
    names = [name for name in named_objectives(problem) if name != "virtual_layers"]
    values_of = Values(problem, names or named_objectives(problem))
    mesh = values_of.mesh - values_of.shared
    own = evaluation_on(moves.platform, problem)

    def score(row: Ints) -> float:
        relative = np.ones(mesh.size)
        np.divide(values_of(own, row) - values_of.shared, mesh, out=relative, where=mesh > 0)
        return float(np.exp(np.log(np.maximum(relative, LEAST)).mean()))

    return anneal(network, moves, score, rng, n_eval)
